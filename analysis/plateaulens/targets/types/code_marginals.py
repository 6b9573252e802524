"""`code_size`, `code_frequency`, `code_strengths`: latents drawn one by one, with ever more of what real codes have."""

import numpy as np
from jaxtyping import Float32, Int64

from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.fitting import Codes
from plateaulens.targets.registry import register


class _Drawn(CodeType):
    """A code as large as a real one that is drawn, of latents and strengths drawn by themselves."""

    needs_sae = True
    learns = (Codes,)
    by_frequency = True
    """Whether latents are drawn by how often they fire, by `Codes.draw_latents`; else uniformly."""

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code, which depends on the base by its scale only, where the SAE has one for each activation.

        See `plateaulens.targets.base.CodeType.code`.
        """
        codes = context.learned(Codes)
        like = codes.code(int(generator.integers(len(codes.size))))
        if self.by_frequency:
            latent = codes.draw_latents(len(like), codes.fired, generator)
        else:
            latent = generator.choice(codes.fired, size=len(like), replace=False)
        strength = self._strengths(latent, like, codes, generator)
        return Code(latent, strength, base.frame)

    def _strengths(
        self, latent: Int64[np.ndarray, " active"], like: Code, codes: Codes, generator: np.random.Generator
    ) -> Float32[np.ndarray, " active"]:
        """How strong each latent is: as one of all active latents of the corpus, whichever it is."""
        del like
        return generator.choice(codes.strength.data, size=len(latent))


@register
class CodeSize(_Drawn):
    """As many active latents as a real code has, which ones and how strong being drawn from all alike.

    Latents are drawn uniformly from those that are active anywhere, strengths from those of all active latents.
    """

    name = "code_size"
    definition = "as many active latents as in a real code, which ones and how strong drawn from all alike"
    by_frequency = False


@register
class CodeFrequency(_Drawn):
    """`code_size` with latents drawn as often as they are active, independently but for how many there are.

    See `plateaulens.targets.fitting.Codes.draw_latents`.
    """

    name = "code_frequency"
    definition = "as many active latents as in a real code, drawn by how often they are active"


@register
class CodeStrengths(_Drawn):
    """`code_frequency` with the strengths of one real code, the strongest for the latent that is strongest on average.

    So the k-th strongest latent is as strong as the k-th strongest of a real code of that size.
    """

    name = "code_strengths"
    definition = "latents drawn by how often they are active, as strong, rank by rank, as those of a real code"

    def _strengths(
        self, latent: Int64[np.ndarray, " active"], like: Code, codes: Codes, generator: np.random.Generator
    ) -> Float32[np.ndarray, " active"]:
        """Those of the real code, dealt out in the order of the latents' own means."""
        del generator
        found = np.empty(len(latent), np.float32)
        found[np.argsort(codes.mean_strength[latent], kind="stable")] = np.sort(like.activation)
        return found
