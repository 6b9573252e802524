"""How often each interval of a summary holds what it is an interval for."""

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np

from calibration import truth
from calibration.comparison import compare
from calibration.outcomes import Outcome, covers, rejects
from calibration.population import Population
from calibration.survival import replicate_bands, replicate_survival
from plateaulens.compare.distributions import BY_METHOD, DECILES, INTERVAL_METHODS
from plateaulens.compare.resampling import shared_targets
from plateaulens.config import AnalysisConfig
from plateaulens.summary.comparison import ESTIMATES

_OF_TYPE = {"mean": "degenerate", "censored_fraction": ""}
_OF_DIFFERENCE = {
    **dict.fromkeys(
        ("mean_difference", "median_difference", "cliffs_delta", "paired_delta", "wasserstein"), "difference_degenerate"
    ),
    "ks": "",
}
_SURVIVAL = {"restricted_mean": "degenerate", "restricted_mean_difference": "difference_degenerate"}
"""Which intervals a mark takes from the page, by the mark's name."""


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
            if value is None or described.method is None:
                continue
            if quantity in BY_METHOD:
                for number, method in enumerate(INTERVAL_METHODS):
                    interval = found[f"{quantity}_interval_by_method"][place, number]
                    yield covers(quantity, method, kind.name, value, interval)
            interval = found[f"{quantity}_interval"][place]
            yield covers(quantity.removesuffix("_percentile"), described.method, kind.name, value, interval)
    yield from _quantile_shifts(population, found["quantile_shift_interval"])
    yield from _ks_differences(population, found["ks_difference_interval"])


def replicate_corners(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Every interval that a page would print, and the order of types that are equally near, on one draw.

    Parameters
    ----------
    population
        One of `calibration.designs.CORNER_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds what it is an interval for, or a test rejected. Nothing of intervals that are marked
        as ones not to rely on, or withheld.
    """
    data, truths = population.draw(rng, samples), planted(population)
    found = compare(data, AnalysisConfig(resamples=resamples), rng)
    for place, kind in enumerate(population.types):
        for quantity, flag in (*_OF_TYPE.items(), *_OF_DIFFERENCE.items()):
            value = truths.get((quantity, kind.name), np.nan)
            interval, withheld = found[f"{quantity}_interval"][place], bool(flag) and bool(found[flag][place])
            if np.isfinite(value) and not (withheld or np.isnan(interval).all()):
                yield covers(quantity, str(ESTIMATES[quantity].method), kind.name, value, interval)
    yield from _ks_differences(population, found["ks_difference_interval"])
    for first, second in combinations(range(1, len(population.types)), 2):
        kinds = population.types[first], population.types[second]
        near = [truth.ks(kind, population.reference) for kind in kinds]
        if np.isfinite(found["ks_difference_p"][first, second]) and abs(near[0] - near[1]) < 1e-6:
            name, rejected = " / ".join(kind.name for kind in kinds), found["ks_difference_p"][first, second] <= 0.05
            yield rejects("KS difference", "two limits", name, 0.0, rejected, null=True)
    for outcome in replicate_survival(population, samples, resamples, rng):
        place = [kind.name for kind in population.types].index(outcome.key.activation_type)
        mark = _SURVIVAL.get(outcome.key.quantity, "")
        if outcome.key.kind == "coverage" and not (mark and found[mark][place]):
            yield outcome


def replicate_shared(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Intervals where base prompts share targets, resampling single prompts and linked groups of them.

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
            for quantity in (*BY_METHOD, "censored_fraction", "cliffs_delta", "ks"):
                if (quantity, kind.name) in truths:
                    value, interval = truths[quantity, kind.name], found[f"{quantity}_interval"][place]
                    method = f"{ESTIMATES[quantity].method}, {unit} resampled"
                    yield covers(quantity, method, kind.name, value, interval)
        clusters = shared_targets(data.target) if together else None
        for outcome in replicate_bands(population, data, resamples, rng, clusters):
            key = outcome.key
            yield outcome._replace(key=key._replace(method=f"{key.method}, {unit} resampled"))


def _quantile_shifts(population: Population, interval: np.ndarray) -> Iterator[Outcome]:
    method = str(ESTIMATES["quantile_shift"].method)
    for place, kind in enumerate(population.types[1:], start=1):
        for decile in (0, 4, 8):
            shift = truth.quantile_shift(kind, population.reference, DECILES[decile])
            if np.isfinite(shift):
                name = f"{kind.name}, quantile {DECILES[decile]:.1f}"
                yield covers("quantile_shift", method, name, shift, interval[place, decile])


def _ks_differences(population: Population, interval: np.ndarray) -> Iterator[Outcome]:
    if np.isnan(interval).all():
        return
    method = str(ESTIMATES["ks_difference"].method)
    distance = [truth.ks(kind, population.reference) for kind in population.types]
    for first in range(1, len(distance)):
        for second in range(first + 1, len(distance)):
            name = f"{population.types[first].name} / {population.types[second].name}"
            yield covers("ks_difference", method, name, distance[first] - distance[second], interval[first, second])
