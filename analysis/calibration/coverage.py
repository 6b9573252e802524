"""How often each interval of a summary holds what it is an interval for."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from calibration import truth
from calibration.comparison import compare
from calibration.outcomes import Outcome, covers
from calibration.population import Population
from plateaulens.compare.distributions import BY_METHOD, DECILES, INTERVAL_METHODS
from plateaulens.config import AnalysisConfig
from plateaulens.summary.comparison import ESTIMATES


@cache
def planted(population: Population) -> dict[tuple[str, str], float]:
    """What is true of every type of a population.

    Parameters
    ----------
    population
        Planted types.

    Returns
    -------
    dict of (quantity, type) to the value
        Of the reference only what needs no reference.
    """
    found: dict[tuple[str, str], float] = {}
    reference = population.reference
    for kind in population.types:
        own = {"mean": truth.mean(kind), "sd": truth.sd(kind), "censored_fraction": truth.censored_fraction(kind)}
        if kind is not reference:
            differences = truth.Differences(population, kind)
            own |= {
                "mean_difference": differences.mean(),
                "median_difference": differences.median(),
                "paired_delta": differences.delta(),
                "cliffs_delta": truth.cliffs_delta(kind, reference),
                "wasserstein": truth.wasserstein(kind, reference),
                "ks": truth.ks(kind, reference),
                "ks_percentile": truth.ks(kind, reference),
            }
        found |= {(quantity, kind.name): value for quantity, value in own.items()}
    return found


def replicate_intervals(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Every interval on one draw from a population.

    Parameters
    ----------
    population
        One of `calibration.designs.INTERVAL_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds what it is an interval for.
    """
    found = compare(population.draw(rng, samples), AnalysisConfig(resamples=resamples), rng)
    truths = planted(population)
    for place, kind in enumerate(population.types):
        for quantity, described in ESTIMATES.items():
            value = truths.get((quantity, kind.name))
            if value is None:
                continue
            if quantity in BY_METHOD:
                for number, method in enumerate(INTERVAL_METHODS):
                    interval = found[f"{quantity}_interval_by_method"][place, number]
                    yield covers(quantity, method, kind.name, value, interval)
            else:
                interval = found[f"{quantity}_interval"][place]
                yield covers(quantity.removesuffix("_percentile"), str(described.method), kind.name, value, interval)
    yield from _quantile_shifts(population, found["quantile_shift_interval"])
    yield from _ks_differences(population, found["ks_difference_interval"])


def replicate_shared(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Studentised intervals where base prompts share targets, resampling single prompts and linked groups of them.

    Parameters
    ----------
    population
        One of `calibration.designs.SHARED_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds what it is an interval for.
    """
    data, truths = population.draw(rng, samples), planted(population)
    for unit, together in (("prompts", False), ("linked groups", True)):
        found = compare(data, AnalysisConfig(resamples=resamples, resample_targets=together), rng)
        for place, kind in enumerate(population.types):
            for quantity in BY_METHOD:
                if (quantity, kind.name) in truths:
                    value, interval = truths[quantity, kind.name], found[f"{quantity}_interval"][place]
                    yield covers(quantity, f"studentised, {unit} resampled", kind.name, value, interval)


def _quantile_shifts(population: Population, interval: np.ndarray) -> Iterator[Outcome]:
    method = str(ESTIMATES["quantile_shift"].method)
    for place, kind in enumerate(population.types[1:], start=1):
        for decile in (0, 4, 8):
            shift = truth.quantile_shift(kind, population.reference, DECILES[decile])
            if np.isfinite(shift):
                name = f"{kind.name}, quantile {DECILES[decile]:.1f}"
                yield covers("quantile_shift", method, name, shift, interval[place, decile])


def _ks_differences(population: Population, interval: np.ndarray) -> Iterator[Outcome]:
    method = str(ESTIMATES["ks_difference"].method)
    distance = [truth.ks(kind, population.reference) for kind in population.types]
    for first in range(1, len(distance)):
        for second in range(first + 1, len(distance)):
            name = f"{population.types[first].name} / {population.types[second].name}"
            yield covers("ks_difference", method, name, distance[first] - distance[second], interval[first, second])
