"""The one loop that draws targets.

A type says how to make one target for one base, from that sample's own generator. Some types that ship make many at
once: each to the last bit as it is made alone, as no sum goes over two samples and each has its own place in a product
of several. So neither the size of a batch, nor order, nor resuming can change a byte of a target. (BLAS may still round
differently on another machine.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from plateaulens.errors import UsageError, text_of
from plateaulens.targets.base import (
    ActivationType,
    Base,
    Target,
    TargetContext,
    Together,
    made_by,
    mixes,
    ships,
)
from plateaulens.targets.modules import file_of, module_of, told


class Targets(NamedTuple):
    """Targets of one type, one per base, on the base's device and in its dtype."""

    activation: Float[Tensor, "samples d_model"]
    source_row: Int32[np.ndarray, " samples"]
    mixed_row: Int32[np.ndarray, "samples mixed"]


def draw(kind: ActivationType, bases: Sequence[Base], context: TargetContext) -> Targets:
    """One target for each base, fixed by (run seed, sample number, name of the type).

    Parameters
    ----------
    kind
        The activation type.
    bases
        Of any samples, in any order.
    context
        That of the run.

    Returns
    -------
    Targets
        Activations shaped (sample, d_model), source rows shaped (sample,) and mixed rows shaped (sample, mixed), in the
        order of `bases`.

    Raises
    ------
    UsageError
        That names the type and the sample, when no target can be made or when one is not finite, and for whatever else
        a user's recipe returns or raises, `SystemExit` among it. A recipe is given a copy of the base, which it may
        change; when it changes what all targets share, this names the type.
    """
    d_model = context.pool.activation.shape[1]
    activation = context.pool.activation.new_empty((len(bases), d_model))
    source_row = np.empty(len(bases), np.int32)
    mixed_row = np.empty((len(bases), mixes(kind)), np.int32)
    before = None if ships(kind) else _fingerprint(context)
    recipe = "" if ships(kind) else f" (recipe in {module_of(made_by(kind))})"
    together = _together(kind, bases, context)
    for place, base in enumerate(bases):
        where = f"activation type {kind.name!r}, sample {base.sample}"
        try:
            if together is not None:
                made = together[place]
            else:
                own = base if ships(kind) else base.copy()
                made = kind.target(own, context, context.generator(base.sample, kind.name))
            target = Target.of(made, d_model, mixes(kind))
        except KeyboardInterrupt:
            raise
        except UsageError as error:
            raise UsageError(f"{where}: {text_of(error)}{recipe}") from None
        except BaseException as error:
            if ships(kind):  # a mistake in PlateauLens, which its traceback finds
                raise
            raise UsageError(f"{where}: {told(error, file_of(made_by(kind)))}{recipe}") from error
        activation[place] = target.activation.detach()
        source_row[place] = target.source_row
        mixed_row[place] = target.mixed_rows
        if not activation[place].isfinite().all():
            raise UsageError(
                f"{where}: the target is not finite in {str(activation.dtype).removeprefix('torch.')}; check "
                f"{'' if ships(kind) else 'the recipe, and '}the weights of the model and of the SAE{recipe}"
            )
    if before is not None and (changed := _changed(before, _fingerprint(context))):
        raise UsageError(
            f"activation type {kind.name!r}, samples {bases[0].sample} to {bases[-1].sample}: it changes {changed} in "
            f"place, which other targets are made of; let it work on a copy, .clone(){recipe}"
        )
    return Targets(activation, source_row, mixed_row)


def _together(kind: ActivationType, bases: Sequence[Base], context: TargetContext) -> list[Target] | None:
    """All targets of a type that makes many at once; None for another, and where one of them cannot be made."""
    if not (bases and ships(kind) and isinstance(kind, Together)):
        return None
    try:
        return kind.targets(bases, context, [context.generator(base.sample, kind.name) for base in bases])
    except UsageError:
        return None  # made one by one the sample is known that it was


def _fingerprint(context: TargetContext) -> dict[str, int]:
    """A sum over the bits of what all targets share: in-place operations by way of NumPy leave no other trace."""
    shared = {"the real activations": context.pool.activation}
    if "gaussian" in vars(context.pool):  # computed when first asked for
        shared["the mean of the real activations"] = context.gaussian.mean
        shared["the covariance of the real activations"] = context.gaussian.covariance
    if context.fitting is not None and "corpus" in vars(context.fitting):
        shared["the real activations that types are fitted to"] = context.corpus.activation
    if context.dictionary is not None:
        shared["the SAE's decoder"] = context.dictionary.decoder
        shared["the SAE's firing frequencies"] = context.dictionary.frequency
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return {
        what: int(values.detach().contiguous().view(whole[values.element_size()]).sum())
        for what, values in shared.items()
    }


def _changed(before: dict[str, int], after: dict[str, int]) -> str:
    return next((what for what, bits in before.items() if after[what] != bits), "")
