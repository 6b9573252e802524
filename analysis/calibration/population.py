"""Planted truth: step values whose distributions, pairing, ties and censoring are known, and what is true of them.

A value comes from a normal variable through a quantile function (a Gaussian copula), so that the distribution of every
activation type is exactly the planted one whatever the dependence is: whole steps, hence ties, with a share of curves
that never blow up or do so after the window. The variable of each type is correlated with that of the reference at the
same base prompt, which makes differences paired and correlates all types within a prompt.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LAST_STEP = 100
"""The window: events at later steps are censored."""

_GRID = 20_000
"""Points of equal probability over which joint distributions are integrated; the error is below 1e-4."""


@dataclass(frozen=True)
class PlantedType:
    """How the steps of one activation type are distributed, and how alike a base prompt's step is to the reference's.

    The steps are those of a normal distribution, or of a gamma distribution of skewness 1, with mean `centre` and
    standard deviation `sd`, rounded to 1, 2, ... and censored after `LAST_STEP`; besides, a share `never` is censored.
    """

    name: str
    centre: float
    sd: float
    never: float = 0.0
    skewed: bool = False
    likeness: float = 0.4
    """Correlation of the normal variable behind the value with that of the reference type; of the reference, 1."""

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """Of the steps 0 to `LAST_STEP`, and last of all of a censored observation, (LAST_STEP + 2,)."""
        # a gamma distribution of shape a has skewness 2 / sqrt(a)
        ends = (np.arange(LAST_STEP + 1) + 0.5 - self.centre) / self.sd
        cumulative = (1 - self.never) * (stats.gamma.cdf(2 * ends + 4, 4) if self.skewed else stats.norm.cdf(ends))
        cumulative[0] = 0.0  # step 0 is the reference point of a curve: what falls there counts as step 1
        return np.diff(cumulative, prepend=0.0, append=1.0)

    @property
    def cumulative(self) -> NDArray[np.float64]:
        """The distribution function at the steps 0 to `LAST_STEP`, (LAST_STEP + 1,)."""
        return np.cumsum(self.probability)[:-1]


class Draw(NamedTuple):
    """Observed steps (activation_type, sample), NaN where censored, as the step statistics give them."""

    value: NDArray[np.float64]
    censored: NDArray[np.bool_]
    target: NDArray[np.int_]
    """Which target of the pool each base prompt was moved towards, (activation_type, sample); -1 for one of its own."""


@dataclass(frozen=True)
class Population:
    """Activation types over the same base prompts; the first is the reference."""

    types: tuple[PlantedType, ...]
    targets_per_prompt: int | None = None
    """Size of the pool, per base prompt, that the targets of the first two types are drawn from, as `real` and
    `real_control` are; None gives every base prompt its own."""
    target_share: float = 0.3
    """With a pool, the share of the variance that belongs to the target, and that prompts with one target share."""

    def draw(self, rng: np.random.Generator, samples: int) -> Draw:
        """Observations of some base prompts.

        Parameters
        ----------
        rng
            Every random number.
        samples
            The number of base prompts.

        Returns
        -------
        Draw
            Steps, (activation_type, sample).
        """
        shape = (len(self.types), samples)
        noise, target = rng.standard_normal(shape), np.full(shape, -1)
        if self.targets_per_prompt is not None:
            pool = self.targets_per_prompt * samples
            target[:2] = rng.integers(pool, size=(2, samples))
            effect = rng.standard_normal(pool)[target[:2]]
            noise[:2] = np.sqrt(1 - self.target_share) * noise[:2] + np.sqrt(self.target_share) * effect
        likeness = np.array([[kind.likeness] for kind in self.types[1:]])
        latent = np.vstack([noise[:1], likeness * noise[0] + np.sqrt(1 - likeness**2) * noise[1:]])
        level = stats.norm.cdf(latent)
        step = np.stack([np.searchsorted(kind.cumulative, row) for kind, row in zip(self.types, level, strict=True)])
        censored = step > LAST_STEP
        return Draw(np.where(censored, np.nan, step), censored, target)

    @property
    def reference(self) -> PlantedType:
        """The type that the others are compared with."""
        return self.types[0]

    def joint(self, kind: PlantedType) -> NDArray[np.float64]:
        """How the reference's step and a type's are distributed together at one base prompt.

        Parameters
        ----------
        kind
            One of the types.

        Returns
        -------
        NDArray
            Probability of (reference's step, type's step), (LAST_STEP + 2, LAST_STEP + 2), censored last on both axes.
        """
        if kind is self.reference:
            return np.diag(kind.probability)
        level = (np.arange(_GRID) + 0.5) / _GRID
        own = np.searchsorted(self.reference.cumulative, level)
        spread = np.sqrt(max(1 - kind.likeness**2, 1e-12))
        cut = stats.norm.ppf(kind.cumulative)
        function = stats.norm.cdf((cut - kind.likeness * stats.norm.ppf(level)[:, np.newaxis]) / spread)
        conditional = np.diff(function, prepend=0.0, append=1.0, axis=1)
        joint = np.zeros((LAST_STEP + 2, LAST_STEP + 2))
        np.add.at(joint, own, conditional / _GRID)
        return joint
