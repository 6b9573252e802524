"""How many base prompts the next run needs, from a pilot: for an interval of a given width, or a given power.

The pilot is a summary, and `plans` what `plateaulens plan` prints of it. For the mean paired difference width and power
have formulas, which take the pilot's standard deviation for the true one. The Kolmogorov-Smirnov distance has none
under ties and pairing: there, samples of the size in question are drawn from the pilot's base prompts with replacement,
and what the analysis would make of them is counted. Either way a pilot of few prompts knows its own spread only
roughly: the standard deviation of n pairs is off by about 1 / sqrt(2 n) of itself, and the number of prompts by twice
that.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import TTestPower

from plateaulens.compare.distances import distances, distribution_functions
from plateaulens.compare.resampling import quantile
from plateaulens.errors import UsageError
from plateaulens.names import REFERENCE

MINIMUM_PROMPTS = 10
"""No plan has fewer."""
MAXIMUM_PROMPTS = 1_000_000
"""Beyond this the answer is that no number of prompts will do."""
DRAWS = 1000
"""Samples that are drawn from the pilot for each number of prompts that is tried."""

Quantity = Literal["mean_difference", "ks"]
"""What the next run is to estimate or to test: a type's mean paired difference to real, or its distance to real."""


class Plan(NamedTuple):
    """What one type's pilot says."""

    activation_type: str
    pairs: int
    """Base prompts of the pilot with a value of the type and one of real."""
    estimate: float
    """The mean difference in steps, or the distance; NaN without a pair."""
    width: float
    """That of the pilot's own interval, in the same units; NaN with fewer than two pairs."""
    prompts: int | None
    """How many the next run needs; None when a million are not enough, or there are fewer than two pairs to go by."""


def plans(
    experiment: xr.Dataset,
    *,
    statistic: str,
    metric: str,
    quantity: Quantity,
    confidence: float,
    seed: int,
    width: float | None = None,
    power: float | None = None,
    effect: float | None = None,
) -> list[Plan]:
    """For every type but real, the base prompts that give intervals of some width, or tests of some power.

    See `plateaulens.planning` for what is exact and what is simulated.

    Parameters
    ----------
    experiment
        A group of a summary, whose corrected steps are the pilot.
    statistic, metric
        Which steps.
    quantity
        What is to be estimated or tested.
    confidence
        Of the intervals; tests are at level 1 - confidence.
    seed
        Where the random numbers of simulated samples come from, with the name of each type.
    width
        How wide an interval may be, in steps or as a distance; None when a power is wanted.
    power
        How often the next run should find the effect; of no meaning with a width.
    effect
        The mean difference in steps to be found, by default each type's own in the pilot; the distance is always the
        pilot's own.

    Returns
    -------
    list of Plan
        In the order of the summary's types.

    Raises
    ------
    UsageError
        For a statistic or metric that the summary does not have, and for an effect with the quantity `ks`.
    """
    for name, wanted in (("statistic", statistic), ("metric", metric)):
        known = [str(each) for each in experiment[name].to_numpy()]
        if wanted not in known:
            raise UsageError(f"the summary has no {name} {wanted!r}: choose one of {', '.join(known)}")
    if quantity == "ks" and effect is not None:
        raise UsageError("--effect is a mean difference: with --quantity ks the effect is the pilot's own distance")
    cell = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
    types = [str(name) for name in cell["activation_type"].to_numpy()]
    value, censored = (
        cell[name].transpose("activation_type", "sample").to_numpy() for name in ("step_value", "censored")
    )
    found = []
    for t, name in enumerate(types):
        if name == REFERENCE:
            continue
        both = [t, types.index(REFERENCE)]
        pilot: _Pilot
        if quantity == "ks":
            pilot = _KsPilot(pair_codes(value[both], censored[both]), confidence, [seed, *name.encode()])
        else:
            change = value[t] - value[both[1]]
            pilot = _MeanPilot(change[np.isfinite(change)], confidence, effect)
        found.append(_plan(name, pilot, width, power))
    return found


class _MeanPilot:
    """The paired differences of one type, and what they say of other numbers of pairs."""

    def __init__(self, change: NDArray[np.float64], confidence: float, effect: float | None) -> None:
        self.pairs = len(change)
        self.estimate = float(change.mean()) if self.pairs else float("nan")
        self._sd = float(change.std(ddof=1)) if self.pairs > 1 else float("nan")
        self._effect = self.estimate if effect is None else effect
        self._confidence = confidence

    def width(self, prompts: int) -> float:
        return mean_width(self._sd, prompts, self._confidence)

    def power(self, prompts: int) -> float:
        return mean_power(self._effect, self._sd, prompts, self._confidence)


class _KsPilot:
    """The pairs of one type as codes, and what samples from them say of other numbers of pairs."""

    def __init__(self, codes: NDArray[np.int_], confidence: float, seed: list[int]) -> None:
        self.pairs = len(codes)
        own, real = (np.bincount(column, minlength=codes.max(initial=0) + 1) for column in codes.T)
        self.estimate = float(np.abs(np.cumsum(own - real)).max() / self.pairs) if self.pairs else float("nan")
        self._codes, self._confidence, self._seed = codes, confidence, seed

    def width(self, prompts: int) -> float:
        return ks_width(self._codes, prompts, self._confidence, self._rng())

    def power(self, prompts: int) -> float:
        return ks_power(self._codes, prompts, self._confidence, self._rng())

    def _rng(self) -> np.random.Generator:
        # The same random numbers for every size, so that the bisection compares sizes and not luck.
        return np.random.default_rng(self._seed)


_Pilot = _MeanPilot | _KsPilot


def _plan(name: str, pilot: _Pilot, width: float | None, power: float | None) -> Plan:
    if pilot.pairs < 2:
        return Plan(name, pilot.pairs, pilot.estimate, float("nan"), None)

    def enough(prompts: int) -> bool:
        if width is not None:
            return pilot.width(prompts) <= width
        assert power is not None
        return pilot.power(prompts) >= power

    return Plan(name, pilot.pairs, pilot.estimate, pilot.width(pilot.pairs), least_prompts(enough))


def least_prompts(enough: Callable[[int], bool]) -> int | None:
    """The least number of base prompts that is enough, by bisection.

    Parameters
    ----------
    enough
        Whether a number of base prompts is enough; it is taken to stay true once it is. The answer has the noise of one
        that is simulated.

    Returns
    -------
    int or None
        From `MINIMUM_PROMPTS` on; None when `MAXIMUM_PROMPTS` are not enough.

    Examples
    --------
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


def mean_width(sd: float, prompts: int, confidence: float) -> float:
    """The expected width of Student's interval for a mean of paired differences, 2 t sd / sqrt(n).

    Parameters
    ----------
    sd
        Standard deviation of the differences.
    prompts
        Base prompts, n; at least two.
    confidence
        Of the interval.

    Returns
    -------
    float
        In the units of `sd`.

    Examples
    --------
    >>> round(mean_width(sd=10.0, prompts=100, confidence=0.95), 3)
    3.968
    """
    return float(2 * stats.t.ppf((1 + confidence) / 2, prompts - 1) * sd / np.sqrt(prompts))


def mean_power(effect: float, sd: float, prompts: int, confidence: float) -> float:
    """The power of the two-sided paired t-test at level 1 - confidence (statsmodels).

    Parameters
    ----------
    effect
        The true mean difference, of either sign.
    sd
        Standard deviation of the differences, in the same units.
    prompts
        Base prompts; at least two.
    confidence
        One minus the level of the test.

    Returns
    -------
    float
        The probability of a rejection. Of differences without spread it is 1, or the level when the effect is 0.
    """
    if sd == 0:
        return 1.0 if effect else 1 - confidence
    return float(TTestPower().power(abs(effect) / sd, prompts, 1 - confidence))


def pair_codes(pair: NDArray[np.float64], censored: NDArray[np.bool_]) -> NDArray[np.int_]:
    """The steps of two types as places among increasing values.

    Parameters
    ----------
    pair
        (2, sample), steps of the two types; NaN where undefined.
    censored
        (2, sample), which of them lie beyond the window.

    Returns
    -------
    ndarray of int
        (pair, 2), of the base prompts where both steps are defined; censored steps stand behind all others.

    Examples
    --------
    >>> pair_codes(np.array([[3.0, np.nan, 5.0], [4.0, 1.0, np.nan]]), np.array([[False] * 3, [False, False, True]]))
    array([[0, 1],
           [2, 3]])
    """
    placed = np.where(censored, np.inf, pair)
    placed = placed[:, ~np.isnan(placed).any(axis=0)]
    return np.searchsorted(np.unique(placed), placed).T


def ks_width(codes: NDArray[np.int_], prompts: int, confidence: float, rng: np.random.Generator) -> float:
    """The width that the interval of the Kolmogorov-Smirnov distance would have.

    Its half is the quantile of sup |(F* - G*) - (F - G)| over samples of that many base prompts, as in
    `plateaulens.compare.distances.distance_interval`; the cut to [0, 1] is left out.

    Parameters
    ----------
    codes
        (pair, 2), the pilot's pairs as `pair_codes` gives them, the type's and the reference's.
    prompts
        Base prompts that the interval would be made from.
    confidence
        Of the interval.
    rng
        Where random numbers come from.

    Returns
    -------
    float
        In the units of the distance; may exceed 1.
    """
    pilot, draws = _differences(codes, prompts, rng)
    return float(2 * quantile(distances(draws - pilot), confidence))


def ks_power(codes: NDArray[np.int_], prompts: int, confidence: float, rng: np.random.Generator) -> float:
    """How often the interval of the Kolmogorov-Smirnov distance would lie above 0.

    The effect is the pilot's own distance, which is too large by the pilot's own noise: with fewer than some hundred
    pairs the power is overstated.

    Parameters
    ----------
    codes
        (pair, 2), the pilot's pairs as `pair_codes` gives them, the type's and the reference's.
    prompts
        Base prompts, like those of the pilot, that the interval would be made from.
    confidence
        Of the interval.
    rng
        Where random numbers come from.

    Returns
    -------
    float
        The share of samples of that size whose distance exceeds the half of `ks_width`.
    """
    pilot, draws = _differences(codes, prompts, rng)
    return float((distances(draws) > quantile(distances(draws - pilot), confidence)).mean())


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
