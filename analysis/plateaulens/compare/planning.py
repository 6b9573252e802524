"""How many base prompts the next run needs, from a pilot: for an interval of a given width, or a given power.

For the mean paired difference both have formulas, which take the pilot's standard deviation for the true one. The
Kolmogorov-Smirnov distance has none under ties and pairing: there, samples of the size in question are drawn from the
pilot's base prompts with replacement, and what the analysis would make of them is counted. Either way a pilot of few
prompts knows its own spread only roughly: the standard deviation of n pairs is off by about 1 / sqrt(2 n) of itself,
and the number of prompts by twice that.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import TTestPower

from plateaulens.compare.kolmogorov import distances, distribution_functions
from plateaulens.compare.resampling import quantile

MINIMUM_PROMPTS = 10
MAXIMUM_PROMPTS = 1_000_000
"""Beyond this the answer is that no number of prompts will do."""
DRAWS = 1000


def mean_width(sd: float, prompts: int, confidence: float) -> float:
    """The expected width of Student's interval for a mean of `prompts` paired differences, 2 t sd / sqrt(n).

    >>> round(mean_width(sd=10.0, prompts=100, confidence=0.95), 3)
    3.968
    """
    return float(2 * stats.t.ppf((1 + confidence) / 2, prompts - 1) * sd / np.sqrt(prompts))


def mean_power(effect: float, sd: float, prompts: int, confidence: float) -> float:
    """The power of the two-sided paired t-test at level 1 - confidence (statsmodels), for a mean difference `effect`.

    1 for differences without spread, unless the effect is 0.
    """
    if sd == 0:
        return 1.0 if effect else 1 - confidence
    return float(TTestPower().power(abs(effect) / sd, prompts, 1 - confidence))


def ks_width(codes: NDArray[np.int_], prompts: int, confidence: float, rng: np.random.Generator) -> float:
    """The width that the interval of the distance would have with `prompts` base prompts.

    `codes` are the pilot's pairs (pilot prompts, 2) as places among increasing values, the type's and the reference's.
    The half-width is the quantile of sup |(F* - G*) - (F - G)| over samples of that size, as in
    `plateaulens.compare.kolmogorov.distance_interval`; the cut to [0, 1] is left out.
    """
    pilot, draws = _differences(codes, prompts, rng)
    return float(2 * quantile(distances(draws - pilot), confidence))


def ks_power(codes: NDArray[np.int_], prompts: int, confidence: float, rng: np.random.Generator) -> float:
    """How often the interval of the distance would lie above 0 with `prompts` base prompts like the pilot's.

    The share of samples of that size whose distance exceeds the half-width of `ks_width`. The effect is the pilot's own
    distance, which is too large by the pilot's own noise: with fewer than some hundred pairs the power is overstated.
    """
    pilot, draws = _differences(codes, prompts, rng)
    return float((distances(draws) > quantile(distances(draws - pilot), confidence)).mean())


def least_prompts(enough: Callable[[int], bool]) -> int | None:
    """The least number of base prompts that is enough, by bisection; None when a million are not.

    `enough` is taken to stay true once it is. With a simulated `enough` the answer has its noise.

    >>> least_prompts(lambda n: n * n > 2000)
    45
    """
    low, high = MINIMUM_PROMPTS - 1, MINIMUM_PROMPTS
    while not enough(high):
        if high >= MAXIMUM_PROMPTS:
            return None
        low, high = high, min(2 * high, MAXIMUM_PROMPTS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pair_codes(pair: NDArray[np.float64], censored: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Places among increasing values, (n, 2), of two types' steps (2, samples): pairs without an undefined step.

    Censored steps stand behind all others.

    >>> pair_codes(np.array([[3.0, np.nan, 5.0], [4.0, 1.0, np.nan]]), np.array([[False] * 3, [False, False, True]]))
    array([[0, 1],
           [2, 3]])
    """
    placed = np.where(censored, np.inf, pair)
    placed = placed[:, ~np.isnan(placed).any(axis=0)]
    return np.searchsorted(np.unique(placed), placed).T


def _differences(
    codes: NDArray[np.int_], prompts: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F - G of the pilot, and of samples of `prompts` pairs drawn from it with replacement, (draws, bins)."""
    bins = int(codes.max(initial=0)) + 1
    # Drawing pairs is drawing how often each different pair comes up.
    pairs, times = np.unique(codes, axis=0, return_counts=True)
    counts = np.vstack([times, rng.multinomial(prompts, times / times.sum(), size=DRAWS)])
    histograms = np.zeros((len(counts), 2, bins))
    for member in (0, 1):
        np.add.at(histograms[:, member].T, pairs[:, member], counts.T)
    functions = distribution_functions(histograms)
    differences = functions[:, 0] - functions[:, 1]
    return differences[0], differences[1:]
