"""`token_mean`, `token_gaussian`, `token_elliptical`: real activations' tokens, and of the rest moments only."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float64

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.fitting import Fitting, Tokens
from plateaulens.targets.gaussian import Gaussian
from plateaulens.targets.registry import register


@dataclass(frozen=True, eq=False)
class WithinTokens:
    """How activations depart from their token's mean, over all tokens together."""

    departure: Gaussian
    length: Float64[np.ndarray, " corpus"]
    """How long each departure x is beside what its moments say: sqrt((x - m)^T S^-1 (x - m)), S being inverted where
    there is any variance."""

    def resized(self, drawn: Float64[torch.Tensor, " d_model"], length: float) -> Float64[torch.Tensor, " d_model"]:
        """A departure with another length.

        Parameters
        ----------
        drawn
            The departure, shaped (d_model,).
        length
            Measured as `length` is.

        Returns
        -------
        Tensor
            Shaped (d_model,).
        """
        about = drawn - self.departure.mean
        own = float((about @ self.departure.inverse_root).norm())
        return self.departure.mean + (about * (length / own) if own else about)

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """The moments of what the tokens' means leave. See `plateaulens.targets.fitting.Learned.fit`."""
        left = torch.from_numpy(fitting.learned(Tokens).left)
        departure = Gaussian.fit(left)
        whitened = (left.double() - departure.mean) @ departure.inverse_root
        return cls(departure, whitened.norm(dim=1).numpy())


class _OfToken:
    """A token drawn as often as the corpus has it, and what its mean and the departures from means make.

    With the base's own token (`TargetContext.own_token`) an activation of the corpus is drawn that has it, where there
    is one.
    """

    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A target, which depends on the base by its token at most.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        tokens = context.learned(Tokens)
        own = context.rows_of(base) if context.own_token else ()
        row = int(own[generator.integers(len(own))] if len(own) else generator.integers(len(tokens.of)))
        return Target(torch.from_numpy(tokens.mean[tokens.of[row]]) + self._departure(row, context, generator))

    def has_own_token(self, base: Base, context: TargetContext) -> bool:
        """Whether the corpus has the base's token. See `plateaulens.targets.base.ChoosesToken`."""
        return len(context.rows_of(base)) > 0

    def _departure(self, row: int, context: TargetContext, generator: np.random.Generator) -> torch.Tensor:
        """What is added to the mean of the token of an activation of the corpus."""
        raise NotImplementedError


@register
class TokenMean(_OfToken):
    """The mean activation of a token that is drawn as often as real ones have it.

    Seldom tokens' means are shrunk towards what the embedding predicts, see `plateaulens.targets.fitting.Tokens`.
    """

    name = "token_mean"
    definition = "the mean activation of a token, drawn as often as it occurs"
    learns = (Tokens,)

    def _departure(self, row: int, context: TargetContext, generator: np.random.Generator) -> torch.Tensor:
        """Nothing."""
        del row, generator
        return torch.zeros(context.corpus.activation.shape[1])


@register
class TokenGaussian(_OfToken):
    """`token_mean` with a Gaussian departure, whose moments are those of all tokens' departures together."""

    name = "token_gaussian"
    definition = "the mean activation of a token, with a Gaussian departure as large as real ones"
    learns = (Tokens, WithinTokens)

    def _departure(self, row: int, context: TargetContext, generator: np.random.Generator) -> torch.Tensor:
        """Drawn."""
        del row
        return context.learned(WithinTokens).departure.draw(generator)


@register
class TokenElliptical(_OfToken):
    """`token_gaussian` with departures as unequal in length as real ones.

    An activation of the corpus is drawn. Its token's mean and the length of its departure are kept, measured by the
    departures' covariance, the direction of the departure is drawn.
    """

    name = "token_elliptical"
    definition = "the mean activation of a token, with a departure as long as a real one of it, its direction drawn"
    learns = (Tokens, WithinTokens)

    def _departure(self, row: int, context: TargetContext, generator: np.random.Generator) -> torch.Tensor:
        """Drawn, and as long as that of the activation."""
        within = context.learned(WithinTokens)
        return within.resized(within.departure.draw(generator), float(within.length[row]))
