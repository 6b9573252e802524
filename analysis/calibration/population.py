"""Planted truth: step values whose distributions, pairing, ties and censoring are known, and what is true of them.

A value comes from a normal variable through a quantile function (a Gaussian copula), so that the distribution of every
activation type is exactly the planted one whatever the dependence is: whole steps, hence ties, with a share of curves
that never blow up or do so after the window. The variable of each type is correlated with that of the reference at the
same base prompt, which makes differences paired and correlates all types within a prompt.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LAST_STEP = 100
"""The window: events at later steps are censored."""

Shape = Literal["normal", "gamma", "lognormal", "two peaks"]

_GRID = 20_000
"""Points of equal probability over which joint distributions are integrated; the error is below 1e-4."""


@dataclass(frozen=True)
class PlantedType:
    """How the steps of one activation type are distributed, and how alike a base prompt's step is to the reference's.

    The steps are those of a distribution of some `shape` with mean `centre` and standard deviation `sd`, rounded to 1,
    2, ... and censored after `LAST_STEP`; besides, a share `never` is censored. A gamma distribution is one of skewness
    1; two peaks are those of normal distributions whose centres lie 1.8 sd apart.
    """

    name: str
    centre: float
    sd: float
    never: float = 0.0
    shape: Shape = "normal"
    likeness: float = 0.4
    """Correlation of the normal variable behind the value with that of the reference type; of the reference, 1."""
    copied: "PlantedType | None" = None
    """The reference, where a base prompt's step is a copy of the reference's but for a share `changed` of them."""
    changed: float = 1.0

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """Of the steps 0 to `LAST_STEP`, and last of all of a censored observation, (LAST_STEP + 2,)."""
        own = np.diff(self.cumulative_changed, prepend=0.0, append=1.0)
        return own if self.copied is None else self.changed * own + (1 - self.changed) * self.copied.probability

    @property
    def cumulative(self) -> NDArray[np.float64]:
        """The distribution function at the steps 0 to `LAST_STEP`, (LAST_STEP + 1,)."""
        return np.cumsum(self.probability)[:-1]

    @cached_property
    def cumulative_changed(self) -> NDArray[np.float64]:
        """`cumulative` of the steps that are no copies."""
        ends = np.asarray((np.arange(LAST_STEP + 1) + 0.5 - self.centre) / self.sd, dtype=np.float64)
        cumulative = (1 - self.never) * self._within(ends)
        cumulative[0] = 0.0  # step 0 is the reference point of a curve: what falls there counts as step 1
        return cumulative

    def _within(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distribution function of the shape at standard scores."""
        if self.shape == "gamma":  # one of shape a has skewness 2 / sqrt(a)
            return np.asarray(stats.gamma.cdf(2 * score + 4, 4))
        if self.shape == "lognormal":
            spread = np.sqrt(np.log1p((self.sd / self.centre) ** 2))
            step = np.maximum(self.centre + self.sd * score, 1e-9)
            return np.asarray(stats.norm.cdf(np.log(step / self.centre) / spread + spread / 2))
        if self.shape == "two peaks":
            width = np.sqrt(1 - 0.9**2)
            return np.asarray(sum(stats.norm.cdf((score + side) / width) for side in (0.9, -0.9)) / 2)
        return np.asarray(stats.norm.cdf(score))


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
    targets_per_prompt: float | None = None
    """Size of the pool, per base prompt, that the targets of the first types are drawn from, as those of `real` and
    `real_control` are; None gives every base prompt its own."""
    sharing: int = 2
    """How many of the types draw from it."""
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
            pool, first = max(1, round(self.targets_per_prompt * samples)), slice(self.sharing)
            target[first] = rng.integers(pool, size=(self.sharing, samples))
            effect = rng.standard_normal(pool)[target[first]]
            noise[first] = np.sqrt(1 - self.target_share) * noise[first] + np.sqrt(self.target_share) * effect
        likeness = np.array([[kind.likeness] for kind in self.types[1:]])
        latent = np.vstack([noise[:1], likeness * noise[0] + np.sqrt(1 - likeness**2) * noise[1:]])
        level = stats.norm.cdf(latent)
        step = np.stack(
            [np.searchsorted(kind.cumulative_changed, row) for kind, row in zip(self.types, level, strict=True)]
        )
        for own, kind in zip(step, self.types, strict=True):
            if kind.copied is not None:
                assert kind.copied is self.reference
                kept = rng.random(samples) >= kind.changed
                own[kept] = step[0, kept]
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
        cut = stats.norm.ppf(kind.cumulative_changed)
        function = stats.norm.cdf((cut - kind.likeness * stats.norm.ppf(level)[:, np.newaxis]) / spread)
        conditional = np.diff(function, prepend=0.0, append=1.0, axis=1)
        joint = np.zeros((LAST_STEP + 2, LAST_STEP + 2))
        np.add.at(joint, own, conditional / _GRID)
        return (
            joint
            if kind.copied is None
            else kind.changed * joint + (1 - kind.changed) * np.diag(self.reference.probability)
        )
