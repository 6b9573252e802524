"""The ladder's claims on planted truth: what a property gains, which one gains most, and how new targets are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from calibration import truth
from calibration.comparison import compare
from calibration.outcomes import Outcome, covers, rejects
from calibration.population import Population
from calibration.rejections import ALPHA
from plateaulens.compare.realism import novelty
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.summary.ladder import best_gain, gains, steps_of

METRIC = "l2"
"""The one that gains are planted on: with several, a page asks for each."""
TOLERANCE = 1e-6
"""Gains that differ by less are planted as equal ones."""


def replicate_gains(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Every gain of a ladder, and which is said to be the largest.

    Parameters
    ----------
    population
        One of `calibration.designs.LADDER_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds a gain; whether a gain is claimed; and whether one is named the largest, by its
        estimate, and said to gain more than others.
    """
    found = compare(population.draw(rng, samples), AnalysisConfig(resamples=resamples), rng)
    types = [kind.name for kind in population.types]
    dims = ("activation_type", "other_type", "metric")
    relative = xr.Dataset(
        {
            "ks_difference": (dims, found["ks_difference"][..., np.newaxis]),
            "ks_difference_interval": ((*dims, "bound"), found["ks_difference_interval"][:, :, np.newaxis]),
            "ks_difference_p": (dims, found["ks_difference_p"][..., np.newaxis]),
        },
        coords={"activation_type": types, "other_type": types, "metric": [METRIC], "bound": ["lower", "upper"]},
    )
    steps = steps_of({}, types)
    names = [step.name for step in steps]
    ladder = xr.Dataset(
        gains(relative, steps, names, [METRIC]),
        coords={"rung": names, "metric": [METRIC], "bound": ["lower", "upper"]},
        attrs={"confidence": 1 - ALPHA},
    )
    near = {kind.name: truth.ks(kind, population.reference) for kind in population.types}
    planted = {
        step.name: round(near[step.above] - near[step.name], 6) + 0.0 for step in steps if step.above is not None
    }
    claimed, said = {}, set[str]()
    for name, gain in planted.items():
        word = _gaining(gain)
        word += ", another" * (word in said)
        said.add(word)
        own = ladder.sel(rung=name, metric=METRIC)
        claimed[name] = bool((own["gain_p_holm"] <= ALPHA) & (own["gain"] > 0))
        yield covers("gain", "hull over the limits", word, gain, own["gain_interval"].to_numpy())
        yield rejects("gain", "two limits, Holm over rungs", word, gain, claimed[name], null=gain < TOLERANCE)
    if none := [name for name, gain in planted.items() if gain < TOLERANCE]:
        wrong = any(claimed[name] for name in none)
        yield rejects("gain", "any of those that gain nothing", "all that gain nothing", 0.0, wrong, null=True)
    yield from _largest(ladder, planted)


def _gaining(gain: float) -> str:
    return f"gain {gain:g}" if gain else "no gain"


def _largest(ladder: xr.Dataset, planted: dict[str, float]) -> Iterator[Outcome]:
    """Wrong where another property gains as much: an error if all gain alike, else a right one is power."""
    most = max(planted.values())
    largest = [name for name, gain in planted.items() if most - gain < TOLERANCE]
    best = best_gain(ladder)
    is_right = len(largest) == 1 and best.rung == largest[0]
    for method, said in {"largest estimate": bool(best.rung), "intervals apart": best.is_most}.items():
        null = len(largest) > 1
        name = "equal gains" if null else _gaining(most)
        yield rejects("gains more than others", method, name, most, said and (null or is_right), null=null)


SPREAD, LIKENESS = 0.3, 0.4


@dataclass(frozen=True)
class PlantedDistances:
    """Distances to the nearest of the activations that types were fitted to, of real targets and of a type's.

    Both are lognormal with the standard deviation `SPREAD` of the logarithm, which a prompt's two have correlated by
    `LIKENESS`.
    """

    ratio: float
    """Of the median of the type's distances, copies aside, to that of real's."""
    copies: float = 0.0
    """The share of the type's targets that are copies, at no distance."""
    tick: float = 0.0
    """Distances are whole multiples of it, unless it is 0."""
    sharing: int = 1
    """So many prompts have one target of the type, and these are resampled together."""

    @property
    def novelty(self) -> float:
        """The ratio of the true medians."""
        middle = (0.5 - self.copies) / (1 - self.copies)
        return float(self._rounded(self.ratio * np.exp(SPREAD * norm.ppf(middle))) / self._rounded(1.0))

    def draw(
        self, rng: np.random.Generator, samples: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int_]]:
        """Distances of the type's targets and of real ones, and the groups of prompts, (samples,) each.

        Parameters
        ----------
        rng
            Every random number.
        samples
            The number of base prompts.

        Returns
        -------
        tuple of three arrays
            Prompts of one number share a target.
        """
        group = np.arange(samples) // self.sharing
        groups = int(group[-1]) + 1
        real, own = rng.standard_normal(samples), rng.standard_normal(groups)
        together = np.bincount(group, weights=real) / np.sqrt(np.bincount(group))
        place = (LIKENESS * together + np.sqrt(1 - LIKENESS**2) * own)[group]
        copy = (rng.random(groups) < self.copies)[group]
        distance = np.where(copy, 0.0, self._rounded(self.ratio * np.exp(SPREAD * place)))
        return distance, self._rounded(np.exp(SPREAD * real)), group

    def _rounded(self, distance: ArrayLike) -> NDArray[np.float64]:
        exact = np.asarray(distance, dtype=np.float64)
        return np.round(exact / self.tick) * self.tick if self.tick else exact


NOVELTY_DESIGNS = {
    "nearer": PlantedDistances(0.8),
    "farther": PlantedDistances(1.5),
    "twice as far": PlantedDistances(2.0),
    "ties": PlantedDistances(1.6, tick=0.2),
    "a third copies": PlantedDistances(1.5, copies=1 / 3),
    "nearly half copies": PlantedDistances(1.5, copies=0.45),
    "three prompts a target": PlantedDistances(1.5, sharing=3),
}


def replicate_novelty(
    design: PlantedDistances, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """The novelty of a type beside what it was fitted to.

    Parameters
    ----------
    design
        One of `NOVELTY_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether the interval holds the planted ratio.
    """
    distance, real, group = design.draw(rng, samples)
    clusters = group if design.sharing > 1 else None
    counts = Resampling.draw(rng, samples=samples, resamples=resamples, clusters=clusters).of_prompts.T
    found = novelty(distance, real, counts.astype(np.float32), 1 - ALPHA)
    yield covers("fit_novelty", "percentile", "type", design.novelty, found.interval)
