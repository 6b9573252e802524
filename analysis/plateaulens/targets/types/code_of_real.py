"""Types that keep part of the real target's own code: some of its latents, or of its strengths.

Each has the constant `kept_share`: the share of the active latents, drawn at random and rounded to a whole number, that
keep their part. At 1 each is the reconstruction.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.fitting import Codes
from plateaulens.targets.registry import register
from plateaulens.targets.types.real import encoded_reals


class _Real(NamedTuple):
    """The real target, and what is to be kept of its code."""

    activation: Float[Tensor, " d_model"]
    code: Code
    kept: Bool[np.ndarray, " active"]


class _OfReal:
    """A real target's code with part of it changed."""

    needs_sae = True
    learns = (Codes,)

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The decoded code, and the row of the prompt that the real target is of.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        return self.targets([base], context, [generator])[0]

    def targets(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Target]:
        """Many at once. See `plateaulens.targets.base.Together`."""
        reals, codes = encoded_reals(bases, context)
        changed = []
        for real, code, generator in zip(reals, codes, generators, strict=True):
            kept = np.zeros(len(code), dtype=np.bool_)
            kept[generator.permutation(len(code))[: round(context.config.kept_share * len(code))]] = True
            changed.append(self._changed(_Real(real.activation, code, kept), context, generator))
        decoded = context.sae.decode_each(changed)
        return [Target(made, real.source_row) for made, real in zip(decoded, reals, strict=True)]

    def _changed(self, real: _Real, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code after the change, which what is kept is spared."""
        raise NotImplementedError


def _together(code: Code, latent: Int64[np.ndarray, " more"], strength: Float32[np.ndarray, " more"]) -> Code:
    """The code with further latents."""
    latents, strengths = np.concatenate([code.latent, latent]), np.concatenate([code.activation, strength])
    return replace(code, latent=latents, activation=strengths)


@register
class LatentsKept(_OfReal):
    """Latents of the real target, the others replaced by latents drawn as often as they are active, as strong."""

    name = "latents_kept"
    definition = "a real code with {kept_share:g} of its latents kept, others drawn by frequency in place of the rest"

    def _changed(self, real: _Real, context: TargetContext, generator: np.random.Generator) -> Code:
        """Other latents with the strengths of those that go, dealt out at random; fewer where no more are left."""
        codes = context.learned(Codes)
        stays, goes = real.code[real.kept], real.code[~real.kept]
        free = np.setdiff1d(codes.fired, real.code.latent)
        gone = generator.permutation(goes.activation)[: len(free)]
        others = codes.draw_latents(len(gone), free, generator)
        return _together(stays, others, gone)


@register
class LatentsSwapped(_OfReal):
    """Latents of the real target, the others exchanged for those of the nearest real activation that is not its own.

    The nearest is looked for in the corpus. Of its code as many latents come in as go out, its strongest first, with
    its strengths; fewer where it has no more that the target lacks. Where the SAE has a scale for each activation,
    these are strengths on the neighbour's own.
    """

    name = "latents_swapped"
    definition = "a real code with {kept_share:g} of its latents kept, the rest taken from the nearest real activation"

    def _changed(self, real: _Real, context: TargetContext, generator: np.random.Generator) -> Code:
        """The neighbour's latents in place of those that go."""
        del generator
        neighbour = context.learned(Codes).code(context.corpus.nearest(real.activation))
        new = neighbour[~np.isin(neighbour.latent, real.code.latent)]
        strongest = np.argsort(-new.activation, kind="stable")[: int((~real.kept).sum())]
        return _together(real.code[real.kept], new.latent[strongest], new.activation[strongest])


@register
class StrengthsKept(_OfReal):
    """The latents of the real target, those whose strengths are not kept exchanging them at random."""

    name = "strengths_kept"
    definition = "a real code with {kept_share:g} of its strengths kept, the rest exchanged among its latents"

    def _changed(self, real: _Real, context: TargetContext, generator: np.random.Generator) -> Code:
        """The same latents and the same strengths, otherwise paired."""
        del context
        strength: NDArray[np.float32] = real.code.activation.copy()
        strength[~real.kept] = generator.permutation(real.code.activation[~real.kept])
        return replace(real.code, activation=strength)


@register
class StrengthsRedrawn(_OfReal):
    """The latents of the real target, those whose strengths are not kept with others that the same latents have had."""

    name = "strengths_redrawn"
    definition = "a real code with {kept_share:g} of its strengths kept, the rest drawn from the same latents' others"

    def _changed(self, real: _Real, context: TargetContext, generator: np.random.Generator) -> Code:
        """The same latents; one that is never active in the corpus keeps its strength."""
        codes = context.learned(Codes)
        redrawn = np.flatnonzero(~real.kept & (codes.frequency[real.code.latent] > 0))
        strength: NDArray[np.float32] = real.code.activation.copy()
        strength[redrawn] = codes.draw_strengths(real.code.latent[redrawn], generator)
        return replace(real.code, activation=strength)
