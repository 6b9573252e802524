"""The bases and targets that another run has stored, walked once more: two devices compared curve by curve.

Base activations differ by rounding between devices, and curves by more than that. With the same bases and targets what
is left is how the curves are computed. A store is anybody's: what it says and holds is checked before it is walked.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError, reading
from plateaulens.store.identity import differences
from plateaulens.store.reading import open_run, sample_ranges
from plateaulens.store.sae_settings import without_settings
from plateaulens.store.schema import ACTIVATIONS, COMPLETED, ENCODED, MIXED, RunSpec, Variable
from plateaulens.store.spans import Values

_FURTHEST = 0.1
"""Of a base activation's length, how far another device's or precision's may be from it: rounding is far below."""
_REMEDY = "see `plateaulens verify`"
_CONSTANTS = {"anchor_cosine", "anchor_pool", "baseline_pool", "kept_share"}


@dataclass(frozen=True, eq=False)
class Taken:
    """The `/activations` of a run, of as many samples and those types as another one walks."""

    where: str
    """The run, as messages call it."""
    group: xr.Dataset
    """Its `/activations`, lazy."""
    types: tuple[str, ...]
    """Those that are walked, in their order."""
    samples: int
    mixed: int
    """Prompts that a target is mixed of, at most, in the run that is made."""
    encoded: bool = False
    """Whether it is stored what the SAE makes of every target."""

    @classmethod
    def open(
        cls, config: RunConfig, identity: Mapping[str, Any], tokens: NDArray[np.int64], *, width: int, mixed: int
    ) -> Self:
        """The activations of the run that a configuration names, when they are those that it would have made.

        Parameters
        ----------
        config
            Whose `targets.of_run` names a run.
        identity
            What identifies this run's model, SAE, prompts and types, as in `plateaulens.collect.context.attributes`.
        tokens
            Token ids of the base prompts, shaped (sample, position).
        width
            Of the write site.
        mixed
            Of how many prompts one target is mixed, at most.

        Returns
        -------
        Taken
            Whose values are checked as they are read.

        Raises
        ------
        UsageError
            When there is no such run, when it is of another model, SAE, site, seed, other prompts, types or constants,
            or when it has not stored as many samples yet.
        """
        assert config.targets.of_run is not None
        where = f"activations of {config.targets.of_run}"
        tree = open_run(config.targets.of_run)
        types = config.targets.names
        with reading(f"{where} cannot be read", _REMEDY):
            spec = RunSpec.from_json(str(tree.attrs.get("layout")))
            stored = RunConfig.model_validate_json(str(tree.attrs.get("config")))
            before = _comparable(stored, json.loads(str(tree.attrs.get("identity"))), types)
            group, prompts = tree["activations"].to_dataset(), tree["prompts"].to_dataset()
        own = _comparable(config, identity, types)
        if found := differences(before, own, "asked"):
            raise UsageError(f"{where} were not made for this run: {'; '.join(found)}")
        if lacking := [name for name in types if name not in spec.activation_types]:
            raise UsageError(
                f"{where} have no type {lacking[0]!r}; take it out of targets.types: there is "
                f"{', '.join(spec.activation_types)}"
            )
        if mixed and not spec.mixed:
            raise UsageError(f"{where} do not say what targets are mixed of: collect that run anew")
        taken = cls(where, group, types, config.samples, mixed, spec.encoded)
        taken._check_extent(prompts, tokens, spec, width)
        return taken

    def _check_extent(self, prompts: xr.Dataset, tokens: NDArray[np.int64], spec: RunSpec, width: int) -> None:
        with reading(f"{self.where} cannot be read", _REMEDY):
            done = int(np.logical_and.accumulate(self.group[COMPLETED].to_numpy()).sum())
            known = prompts["token"].transpose("sample", "position")[: self.samples].to_numpy()
        if spec.d_model != width:
            raise UsageError(f"{self.where} are {spec.d_model} wide, and the write site is {width} wide")
        if done < self.samples:
            raise UsageError(
                f"{self.where} are there of {done} base prompts, and {self.samples} are asked for: ask for fewer "
                "(--samples), or go on with that run first"
            )
        if known.shape != tokens.shape or (known != tokens).any():
            raise UsageError(f"{self.where} belong to other base prompts: use that run's prompts and seed")

    @property
    def _variables(self) -> tuple[Variable, ...]:
        own = tuple(each for each in ACTIVATIONS if each.name != COMPLETED)
        return (*own, *((MIXED,) if self.mixed else ()), *(ENCODED if self.encoded else ()))

    @cached_property
    def identity(self) -> dict[str, str]:
        """The SHA-256 of what is walked: bases, targets, and where these are from, of all samples and types."""
        digest = hashlib.sha256()
        for span in sample_ranges(self.samples):
            found = self.values(span)
            for name, values in sorted(
                (each.name, found[each.name]) for each in self._variables if each not in ENCODED
            ):
                digest.update(f"{name} {values.shape}\n".encode())
                digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
        return {"sha256": digest.hexdigest()}

    def values(self, span: slice) -> Values:
        """The values of `/activations` for a span, as that run has stored them.

        Parameters
        ----------
        span
            The samples, with a start and a stop.

        Returns
        -------
        Values
            As `plateaulens.collect.context.RunContext.activations` gives them, without what the SAE makes of targets
            where that run has not stored it.

        Raises
        ------
        UsageError
            When they are damaged, of another shape or kind of number than a run has, or not finite.
        """
        count = span.stop - span.start
        names = [each.name for each in self._variables]
        with reading(f"{self.where} are damaged", _REMEDY):
            part = self.group[names].isel(sample=span).sel(activation_type=list(self.types)).load()
            found = {each.name: part[each.name].transpose(*each.dims).to_numpy() for each in self._variables}
        if self.mixed:
            found[MIXED.name] = found[MIXED.name][..., : self.mixed]
        wide = part.sizes["d_model"]
        sizes = {"sample": count, "activation_type": len(self.types), "d_model": wide, "mixed": self.mixed}
        for variable in self._variables:
            name, array = variable.name, found[variable.name]
            if array.dtype != variable.dtype or array.shape != tuple(sizes[axis] for axis in variable.dims):
                raise UsageError(f"{self.where}: {name} is {array.dtype} {array.shape}, which no run has: {_REMEDY}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise UsageError(f"{self.where}: {name} has values that are no finite numbers: {_REMEDY}")
        return found

    def check_bases(self, own: NDArray[np.float32]) -> None:
        """Refuse bases that are not those of this model, whatever the run says that it is of.

        Parameters
        ----------
        own
            The base activations as they are on this device, shaped (sample, d_model), of the first samples.

        Raises
        ------
        UsageError
            When one is further from its own than any rounding could bring it.
        """
        for span in sample_ranges(len(own)):
            stored, here = self.values(span)["base"].astype(np.float64), own[span].astype(np.float64)
            far = np.linalg.norm(stored - here, axis=1) > _FURTHEST * np.linalg.norm(here, axis=1)
            if far.any():
                raise UsageError(
                    f"{self.where}: the base of sample {span.start + int(far.argmax())} is no activation of this model "
                    "at its prompt: use that run's model and write site"
                )


def _comparable(config: RunConfig, identity: Mapping[str, Any], types: Sequence[str]) -> dict[str, Any]:
    """What bases and targets of these types depend on beside the device and the precision."""
    made, variants = identity["activation_types"], config.targets.variants
    return {
        **{key: identity[key] for key in ("model", "prompts", "write_site", "processing")},
        "sae": without_settings(identity["sae"]),
        "seed": config.seed,
        "prompt": config.prompts.model_dump(include={"length", "position"}),
        "targets": config.targets.model_dump(include=_CONSTANTS),
        "activation_types": {name: made[name] for name in types if name in made},
        "variants": {name: variants[name].model_dump() for name in types if name in variants},
    }
