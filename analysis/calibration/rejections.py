"""How often each test rejects: at 5 % where its hypothesis is true, and at stated effects where it is not."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.stats import ks_2samp

from calibration import truth
from calibration.comparison import compare
from calibration.designs import AT_MARGIN, FAR, MARGIN, SAME
from calibration.outcomes import Outcome, rejects
from calibration.population import Draw, Population
from plateaulens.compare.distributions import Comparison
from plateaulens.compare.multiplicity import adjust
from plateaulens.config import AnalysisConfig

ALPHA = 0.05

NEGLIGIBLE = 0.01
"""A mean difference below this share of the reference's standard deviation (what the window cuts off) counts as 0."""

NEARNESS = (
    (SAME[0], SAME[1]),
    (AT_MARGIN[0], AT_MARGIN[1]),
    (AT_MARGIN[0], AT_MARGIN[2]),
    (SAME[0], AT_MARGIN[0]),
    (AT_MARGIN[0], FAR),
)
"""Pairs of types whose distances to the reference are compared: three that are equally far from it, and two not."""


@cache
def mean_differences(population: Population) -> tuple[float, ...]:
    """The planted mean paired difference of every type.

    Parameters
    ----------
    population
        Planted types.

    Returns
    -------
    tuple of float
        In steps, in the order of the types; 0 where it is `NEGLIGIBLE`.
    """
    planted = [truth.Differences(population, kind).mean() for kind in population.types]
    return tuple(0.0 if abs(value) < NEGLIGIBLE * population.reference.sd else value for value in planted)


def replicate_tests(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Every test on one draw from a population.

    Parameters
    ----------
    population
        One of `calibration.designs.TEST_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether a test rejected.
    """
    place = [kind.name for kind in population.types].index(AT_MARGIN[0])
    settings = AnalysisConfig(resamples=resamples, equivalence_steps=mean_differences(population)[place])
    data = population.draw(rng, samples)
    found = compare(data, settings, rng)
    yield from _equal_distributions(population, data, found)
    yield from _equal_means(population, found)
    yield from _equal_distances(population, found)
    yield from _equivalence(population, found, settings)


def _equal_distributions(population: Population, data: Draw, found: Comparison) -> Iterator[Outcome]:
    """Kolmogorov-Smirnov tests, and Holm's correction of them over the types equal to real."""
    placed = np.where(data.censored, np.inf, data.value)
    for place, kind in enumerate(population.types[1:], start=1):
        rejected = {
            "swaps within prompts": found["ks_p"][place] <= ALPHA,
            "pooled": found["ks_p_pooled"][place] <= ALPHA,
            "textbook (SciPy)": ks_2samp(placed[place], placed[0], method="asymp").pvalue <= ALPHA,
            "band above 0": found["ks_interval"][place, 0] > 0,
        }
        distance = truth.ks(kind, population.reference)
        for method, answer in rejected.items():
            yield rejects("KS", method, kind.name, distance, answer, null=distance == 0)
    equal = [place for place, kind in enumerate(population.types) if kind.name in SAME]
    wrong = (adjust(np.asarray(found["ks_p"])[equal], "holm") <= ALPHA).any()
    yield rejects("KS", "any of three, Holm", "all that are the same", 0.0, wrong, null=True)


def _equal_means(population: Population, found: Comparison) -> Iterator[Outcome]:
    """The test of no mean paired difference."""
    for place, difference in enumerate(mean_differences(population)):
        if place > 0:
            rejected = found["mean_difference_p"][place] <= ALPHA
            name = population.types[place].name
            yield rejects("mean difference", "swaps within prompts", name, difference, rejected, null=difference == 0)


def _equal_distances(population: Population, found: Comparison) -> Iterator[Outcome]:
    """Whether one type is nearer to the reference than another."""
    names = [kind.name for kind in population.types]
    for pair in NEARNESS:
        first, second = (names.index(name) for name in pair)
        distances = [truth.ks(population.types[place], population.reference) for place in (first, second)]
        difference = round(distances[0] - distances[1], 6)
        rejected = found["ks_difference_p"][first, second] <= ALPHA
        yield rejects("KS difference", "two limits", " / ".join(pair), difference, rejected, null=difference == 0)


def _equivalence(population: Population, found: Comparison, settings: AnalysisConfig) -> Iterator[Outcome]:
    """Types that lie at the margin must rarely pass for equivalent; types equal to the reference should."""
    tests = {
        "equivalence, KS": ("ks_equivalence_p", MARGIN),
        "equivalence, mean": ("mean_equivalence_p", settings.equivalence_steps),
    }
    for place, kind in enumerate(population.types):
        if kind.name in SAME or kind.name in AT_MARGIN[:2]:
            for quantity, (variable, margin) in tests.items():
                null = kind.name in AT_MARGIN
                rejected = found[variable][place] <= ALPHA
                yield rejects(quantity, "two one-sided tests", kind.name, margin if null else 0.0, rejected, null=null)
