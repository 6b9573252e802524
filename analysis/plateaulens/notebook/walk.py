"""Walking from base activations towards targets, from what a notebook has in memory to a run as it is stored."""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import ValidationError
from sae_lens import SAE
from torch import Tensor

from plateaulens.collect.collect import collect
from plateaulens.collect.context import RunContext, assemble, base_rows, sae_for
from plateaulens.collect.footprint import check_memory, needs
from plateaulens.config import FileConfig, RunConfig, SaeConfig
from plateaulens.errors import UsageError, explain, reading, shown
from plateaulens.names import DEFAULT_METRICS, EXPERIMENTS, REFERENCE
from plateaulens.notebook.subject import MEMORY, Subject, Texts, TokenIds, is_whole, prompts_of
from plateaulens.progress import print_notes
from plateaulens.replacing import scratch
from plateaulens.store.location import Location
from plateaulens.store.reading import open_run
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.model import Subject as LoadedSubject
from plateaulens.subject.prompts import Prompts, surprises
from plateaulens.subject.sae import LoadedSae
from plateaulens.subject.tokenizing import has_special
from plateaulens.targets import registry
from plateaulens.targets.base import ActivationType, Pool
from plateaulens.targets.files import FileType

Activations = Tensor | NDArray[np.floating]
"""One for each prompt (prompt, width), or a single one for all of them (width,)."""
NEEDS_COVARIANCE = ("random", "covariance_mixture")
"""The types that ship and draw from the covariance of the real activations."""


class ArrayType(FileType):
    """The activation type whose targets are rows of an array in memory, one for each prompt or one for all.

    Parameters
    ----------
    name
        The type's name.
    activation
        The rows, shaped (row, width).
    settings
        `prompt` where each prompt has its row, `pool` where there is one for all.
    """

    @property
    def definition(self) -> str:
        """Which rows of it."""
        return "a given activation, the same for all" if len(self._rows) == 1 else "the activation given for the prompt"


def walk(
    subject: Subject,
    tokens: TokenIds | Texts,
    targets: Mapping[str, Activations | Callable[..., Any] | str],
    *,
    steps: int = 101,
    experiments: str | Sequence[str] = "sensitivity",
    step_length: float | None = None,
    samples: int | None = None,
    length: int | None = None,
    pool: Activations | TokenIds | Texts | None = None,
    sae: str | Path | SAE[Any] | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    out: Location | None = None,
    name: str = "walk",
    engine: Mapping[str, Any] | None = None,
    constants: Mapping[str, float] | None = None,
    quiet: bool = False,
) -> xr.DataTree:
    """Walk from every prompt's activation towards a target of each type, and measure the model on the way.

    What comes is a run as `open_run` gives it, since it is one: it went through the ordinary store. The type `real`,
    which every other one is compared with, is there whether it is named or not.

    Parameters
    ----------
    subject
        The model and its sites.
    tokens
        The prompts: token ids (prompt, position), or texts.
    targets
        By the name of the type: an activation for each prompt (prompt, width) or a single one (width,), torch or NumPy;
        the name of a type that there is ("real", "random", ...), drawn again where the name is another one; or a
        function `(base, context, rng) -> activation`. In the run, types that there are and functions come first, then
        types drawn again, then arrays, each in the order given.
    steps
        Points on each path, the start included.
    experiments
        Which, of `plateaulens.names.EXPERIMENTS`; one or several.
    step_length
        Distance of two points, in units of the residual stream, in experiments with steps of one length.
    samples
        None makes a base of every prompt, in order; a number draws so many of them, as a run does.
    length
        Tokens that each prompt is cut to; None takes them whole.
    pool
        Where `real` is drawn from and `random` has its mean and covariance from, beside the prompts' own activations:
        further prompts, or real activations (row, width). None takes those of the prompts alone.
    sae
        For types that need one: a SAELens SAE, or what `[sae] source` of a preset may be.
    metrics
        What every point is measured by.
    seed
        Of every random choice.
    out
        Where the run is stored, a path or a URL: a walk that was interrupted there goes on. None keeps it in memory.
    name
        What the run is called.
    engine, constants
        Keys of `[engine]`, and the constants of `[targets]`.
    quiet
        Whether there is neither a progress bar nor a line on how the model is run and what may surprise in the prompts.

    Returns
    -------
    DataTree
        The run, in memory, or where there is `out`, as opened from there.

    Raises
    ------
    UsageError
        For what is missing or does not fit: it names what came and what is wanted.

    Warns
    -----
    UserWarning
        When a type draws from the covariance of no more activations than they are wide, and so in a part of the space.
    """
    check_subject(subject, "walk")
    for what, given in (("engine", engine), ("constants", constants)):
        if given is not None and not isinstance(given, Mapping):
            raise UsageError(f"walk: {what} is a {type(given).__name__}: give a mapping of keys and values")
    context = memory_context(
        subject,
        tokens,
        targets,
        experiments=(experiments,) if isinstance(experiments, str) else tuple(experiments),
        section={"steps": steps, "step_length": step_length},
        samples=samples,
        length=length,
        pool=pool,
        sae=sae,
        settings={"name": name, "seed": seed, "metrics": tuple(metrics), "engine": dict(engine or {})},
        constants=dict(constants or {}),
    )
    if not quiet:
        print_notes(context.notes)
    if out is not None:
        collect(context.config, out, context, quiet=quiet)
        return open_run(out)
    with scratch("plateaulens-walk-") as folder:
        collect(context.config, folder / "run.zarr", context, quiet=quiet)
        with open_run(folder / "run.zarr") as run:
            return run.load()


def check_subject(subject: object, what: str) -> None:
    """Refuse what is no `Subject`, a model itself above all.

    Parameters
    ----------
    subject
        What was given.
    what
        The function that it was given to.

    Raises
    ------
    UsageError
        Says how to make one.
    """
    if not isinstance(subject, Subject):
        raise UsageError(f'{what}: subject is a {type(subject).__name__}: give pl.Subject(model, write="blocks.1...")')


def memory_context(
    subject: Subject,
    tokens: TokenIds | Texts,
    targets: Mapping[str, Activations | Callable[..., Any] | str],
    *,
    experiments: Sequence[str],
    section: Mapping[str, Any],
    samples: int | None,
    length: int | None,
    pool: Activations | TokenIds | Texts | None,
    sae: str | Path | SAE[Any] | None,
    settings: Mapping[str, Any],
    constants: Mapping[str, float],
) -> RunContext:
    """What a run of things in memory needs, with a configuration that says what it was.

    Parameters
    ----------
    subject, tokens, targets, samples, length, pool, sae, constants
        As `walk` takes them.
    experiments
        Their names.
    section
        The settings of each of them, but for the samples.
    settings
        Other keys of the configuration.

    Returns
    -------
    RunContext
        As `plateaulens.collect.context.open_context` gives it for a preset.

    Raises
    ------
    UsageError
        As `walk` does.
    """
    _check_names(targets)
    ids = prompts_of(subject.loaded, tokens, length)
    check_architecture(subject.loaded.config, length=ids.shape[1])
    further = _pool(subject, pool, ids.shape[1])
    if samples is not None and not (is_whole(samples) and 1 <= samples <= len(ids)):
        raise UsageError(
            f"samples is {shown(samples)}, and there are {len(ids)} prompts: give a whole number up to that"
        )
    rows = np.arange(len(ids)) if samples is None else base_rows(settings["seed"], len(ids))[:samples]
    arrays = {
        kind: _rows(kind, given, len(ids), subject.loaded.width)
        for kind, given in targets.items()
        if not isinstance(given, str) and not callable(given)
    }
    config = _config(
        subject,
        targets,
        arrays,
        sae=None if sae is None else str(sae) if isinstance(sae, str | Path) else MEMORY,
        prompts={"source": MEMORY, "length": ids.shape[1], "position": subject.loaded.position},
        sections={each: {"samples": len(rows), **_section(each, section)} for each in dict.fromkeys(experiments)},
        constants=constants,
        settings=settings,
    )
    kinds = _kinds(config, targets, arrays)
    count = len(ids) + (0 if further is None else len(further))
    drawn = [kind.name for kind in kinds if _shipped_name(kind) in NEEDS_COVARIANCE]
    if drawn and count <= subject.loaded.width:
        warnings.warn(
            f"{', '.join(drawn)}: the covariance of {count} activations that are {subject.loaded.width} wide leaves "
            "directions without variance: give pool= further prompts",
            stacklevel=3,
        )
    identity = {"tokens": _sha256(ids.numpy().astype("<i8"))}
    if further is not None:
        identity["pool"] = _sha256(further.numpy().astype("<f4"))
    special = has_special(ids.numpy(), subject.loaded.tokenizer)
    prompts = Prompts(ids, identity, tuple(surprises(ids.numpy(), special)))
    if subject.loaded.model is not None:
        check_memory(needs(config, subject.loaded.model, prompts=count, loaded=True), config, loaded=True)

    def find_sae(own: LoadedSubject) -> LoadedSae | None:
        if config.sae is None or sae is None:
            return None
        return sae_for(config.sae, own, prompts) if isinstance(sae, str | Path) else _given(sae, own, prompts)

    def find_pool(own: LoadedSubject) -> Pool:
        real = own.last_activations(ids).cpu()
        token = np.full(count, -1)  # nobody knows which one further activations are of
        token[: len(ids)] = ids[:, config.prompts.position].numpy()
        return Pool(real if further is None else torch.cat([real, further]), np.arange(count), token)

    return assemble(config, kinds, subject.loaded, prompts, base_row=rows, find_sae=find_sae, find_pool=find_pool)


def _check_names(targets: Mapping[str, Any]) -> None:
    if not isinstance(targets, Mapping):
        raise UsageError(f'targets are a {type(targets).__name__}: give a mapping such as {{"mine": activations}}')
    known = registry.names()
    for kind, given in targets.items():
        if kind in known and not (isinstance(given, str) and given == kind):
            raise UsageError(
                f"targets have {kind!r}, the name of another activation type that there is: choose another"
            )


def _section(experiment: str, section: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of one experiment: relative steps have no length."""
    known = EXPERIMENTS.get(experiment)
    if known is not None and known.steps == "relative":
        return {key: value for key, value in section.items() if key != "step_length"}
    return section


def _config(
    subject: Subject,
    targets: Mapping[str, Any],
    arrays: Mapping[str, Tensor],
    *,
    sae: str | None,
    prompts: Mapping[str, Any],
    sections: Mapping[str, Any],
    constants: Mapping[str, float],
    settings: Mapping[str, Any],
) -> RunConfig:
    names = {kind: given for kind, given in targets.items() if isinstance(given, str)}
    own = [kind for kind, given in targets.items() if callable(given) or (isinstance(given, str) and given == kind)]
    files = {
        kind: FileConfig(path=MEMORY, rows="pool" if len(rows) == 1 else "prompt") for kind, rows in arrays.items()
    }
    try:
        return RunConfig.model_validate(
            {
                **settings,
                "experiments": tuple(sections),
                "model": subject.model,
                "sites": subject.sites,
                "sae": None if sae is None else SaeConfig(source=sae),
                "prompts": prompts,
                "targets": {
                    "types": tuple(dict.fromkeys([*([] if REFERENCE in targets else [REFERENCE]), *own])),
                    "variants": {kind: {"type": other} for kind, other in names.items() if kind != other},
                    "files": files,
                    **constants,
                },
                **sections,
            }
        )
    except ValidationError as error:
        raise UsageError(f"walk: {explain(error)}") from None


def _kinds(config: RunConfig, targets: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> tuple[ActivationType, ...]:
    """The types in the order of `config.targets.names`."""
    kinds: dict[str, ActivationType] = {
        kind: registry.FunctionType(kind, False, given) for kind, given in targets.items() if callable(given)
    }
    kinds |= {kind: ArrayType(kind, rows, config.targets.files[kind]) for kind, rows in arrays.items()}
    there = config.targets.model_copy(
        update={"types": tuple(each for each in config.targets.types if each not in kinds), "files": {}}
    )
    kinds |= {kind.name: kind for kind in registry.create_all(there, has_sae=config.sae is not None)}
    return tuple(kinds[each] for each in config.targets.names)


def _shipped_name(kind: ActivationType) -> str:
    return kind.kind.name if isinstance(kind, registry.Variant) else kind.name


def _rows(name: str, given: Any, prompts: int, width: int) -> Float[Tensor, "row width"]:
    """The activations of a type, one for each prompt or one for all."""
    wanted = f"wanted is ({prompts}, {width}), or ({width},) for one that all prompts have"
    rows = _numbers(f"target {name!r}", given, wanted)
    if tuple(rows.shape) not in {(prompts, width), (width,)}:
        raise UsageError(f"target {name!r} is {tuple(rows.shape)}: {wanted}")
    return rows.reshape(-1, width)


def _numbers(what: str, given: Any, wanted: str) -> Tensor:
    with reading(f"{what} is no array of numbers ({type(given).__name__})", wanted):
        rows = given.detach().cpu().to_dense() if isinstance(given, Tensor) else torch.from_numpy(np.array(given))
    if not rows.is_floating_point():
        raise UsageError(f"{what} is {str(rows.dtype).removeprefix('torch.')}, wanted are real floating-point numbers")
    rows = rows.float().contiguous().clone()
    if not rows.isfinite().all():
        raise UsageError(f"{what} has values that are no finite numbers")
    return rows


def _pool(subject: Subject, pool: Any, length: int) -> Float[Tensor, "row width"] | None:
    """Real activations beside those of the prompts."""
    if pool is None:
        return None
    floating = (isinstance(pool, Tensor) and pool.is_floating_point()) or (
        isinstance(pool, np.ndarray) and pool.dtype.kind == "f"
    )
    if not floating:
        return subject.loaded.last_activations(prompts_of(subject.loaded, pool, length, "the pool's prompts")).cpu()
    width = subject.loaded.width
    rows = _numbers("pool", pool, f"wanted is (row, {width})")
    if rows.ndim != 2 or rows.shape[1] != width:
        raise UsageError(f"pool is {tuple(rows.shape)}: wanted are real activations (row, {width}), or prompts")
    return rows


def _given(sae: Any, subject: LoadedSubject, prompts: Prompts) -> LoadedSae:
    """An SAE in memory, by way of the format that SAEs are read from, so that it is left as it is."""
    if not isinstance(sae, SAE):
        raise UsageError(f"sae is a {type(sae).__name__}: give a SAELens SAE, a folder with one, or release:id")
    with scratch("plateaulens-sae-") as folder:
        with reading("the SAE cannot be saved", "give the folder or the release that it is from"):
            sae.save_model(folder / MEMORY)
        try:
            found = sae_for(SaeConfig(source=str(folder / MEMORY)), subject, prompts)
        except UsageError as error:  # where it was saved for a moment says nothing to whoever gave it
            raise UsageError(str(error).replace(f"{folder}{os.sep}", "")) from None
        return replace(found, notes=tuple(note.replace(f"{folder}{os.sep}", "") for note in found.notes))


def _sha256(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
