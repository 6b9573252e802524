"""How many base prompts the next run needs, from a pilot: for an interval of a given width, or a given power.

The pilot is a summary, and `plans` what `plateaulens plan` prints of it. For the mean paired difference width and power
have formulas, which take the pilot's standard deviation for the true one. The Kolmogorov-Smirnov distance has none
under ties and pairing: there, samples of the size in question are drawn from the pilot's base prompts with replacement,
and what the analysis would make of them is counted (`plateaulens.compare.power`). The power is that of the tests behind
the verdicts, after Holm's adjustment for the summary's types.

A pilot of few prompts knows its own spread only roughly: the standard deviation of n pairs is off by about
1 / sqrt(2 n) of itself, and the number of prompts by twice that. It knows its effect no better: a distance is freed of
the noise that is in it, on average, and still off by as much as it was. An effect that is stated is no guess.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import TTestPower

from plateaulens.compare.distances import distances
from plateaulens.compare.power import (
    DRAWS,
    EQUAL_DRAWS,
    Pairs,
    draw,
    power_different,
    power_equivalent,
    shrunk_distance,
    with_distance,
)
from plateaulens.compare.resampling import quantile
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.names import REFERENCE
from plateaulens.summary.power import levels_of

MINIMUM_PROMPTS = 10
"""No plan has fewer."""
MAXIMUM_PROMPTS = 1_000_000
"""Beyond this the answer is that no number of prompts will do."""
PRECISION = 0.01
"""How exactly, relatively, a number of prompts is found that is simulated: by more than this it would be noise."""

Quantity = Literal["mean_difference", "ks"]
"""What the next run is to estimate or to test: a type's mean paired difference to real, or its distance to real."""


class Goal(NamedTuple):
    """What the next run is to reach: either of the first two."""

    width: float | None = None
    """How wide an interval may be, in steps or as a distance."""
    power: float | None = None
    """How often the next run should find the effect."""
    effect: float | None = None
    """The true effect to be found, a mean difference in steps or a distance; each type's own in the pilot unless given,
    a distance freed of the pilot's noise."""


class Plan(NamedTuple):
    """What one type's pilot says."""

    activation_type: str
    pairs: int
    """Base prompts of the pilot with a value of the type and one of real."""
    estimate: float
    """The mean difference in steps, or the distance; NaN without a pair."""
    width: float
    """That of the pilot's own interval, in the same units; NaN with fewer than two pairs."""
    effect: float | None
    """The true effect that the power is for; None where the goal is a width, or there are fewer than two pairs."""
    prompts: int | None
    """How many the next run needs; None when a million are not enough, the pilot's pairs cannot be as far apart as the
    effect has it, or there are fewer than two pairs to go by."""
    equivalent: int | None
    """How many it takes to find a type `equivalent` with that power that has real's distribution, and this type's ties,
    pairing and censoring; None where that is not asked, as with `prompts`, or where too few curves have an event for
    that verdict, however many there are."""


def plans(
    experiment: xr.Dataset,
    goal: Goal,
    *,
    statistic: str,
    metric: str,
    quantity: Quantity,
    settings: AnalysisConfig,
    margin: float,
) -> list[Plan]:
    """For every type but real, the base prompts that give intervals of some width, or tests of some power.

    See `plateaulens.planning` for what is exact and what is simulated.

    Parameters
    ----------
    experiment
        A group of a summary, whose corrected steps are the pilot.
    goal
        What is to be reached.
    statistic, metric
        Which steps.
    quantity
        What is to be estimated or tested.
    settings
        The confidence of intervals and level of tests, the number of random swaps, and the seed of simulated samples.
    margin
        The distance within which a type counts as equivalent.

    Returns
    -------
    list of Plan
        In the order of the summary's types. Tests are adjusted for those that are not draws of real targets, these for
        themselves.

    Raises
    ------
    UsageError
        For a statistic or metric that the summary does not have, for an effect that no run of these steps can have, and
        for steps outside the window, which no analysis writes.
    """
    for name, wanted in (("statistic", statistic), ("metric", metric)):
        known = [str(each) for each in experiment[name].to_numpy()]
        if wanted not in known:
            raise UsageError(f"the summary has no {name} {wanted!r}: choose one of {', '.join(known)}")
    if quantity == "ks" and goal.effect is not None and not 0 < goal.effect < 1:
        raise UsageError(f"--effect {goal.effect:g} is no KS distance: give a number between 0 and 1")
    cell = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
    types = [str(name) for name in cell["activation_type"].to_numpy()]
    value, censored = (
        cell[name].transpose("activation_type", "sample").to_numpy() for name in ("step_value", "censored")
    )
    last = experiment.sizes["step"] - 1
    if quantity == "mean_difference" and goal.effect is not None and not abs(goal.effect) <= last:
        raise UsageError(f"--effect {goal.effect:g} is beyond the window of {last} steps: give one within it")
    _check_within(value, last, types)
    levels = levels_of(cell, 1 - settings.confidence)
    found = []
    for t, name in enumerate(types):
        if name == REFERENCE:
            continue
        both = [t, types.index(REFERENCE)]
        tests = _Tests(levels[name], margin, settings.confidence, settings.resamples)
        pilot: _Pilot
        if quantity == "ks":
            pairs = Pairs.measured(value[both], censored[both])
            pilot = _KsPilot(pairs, goal.effect, tests, [settings.seed, *name.encode()])
        else:
            change = value[t] - value[both[1]]
            pilot = _MeanPilot(change[np.isfinite(change)], goal.effect, tests)
        found.append(_plan(name, pilot, goal))
    return found


def _check_within(value: NDArray[np.float64], last: int, types: Sequence[str]) -> None:
    """Refuse steps (activation_type, sample) that are neither in the window nor missing (NaN)."""
    wrong = np.argwhere((value < 0) | (value > last))
    if wrong.size:
        t, sample = wrong[0]
        raise UsageError(
            f"the summary's steps are damaged (type {types[t]}, sample {sample}: {value[t, sample]:g}, in a window of "
            f"{last} steps): make it again with `plateaulens analyze`"
        )


class _Tests(NamedTuple):
    """How the next run will be analysed."""

    level: float
    """What the raw p-value of the type may not exceed."""
    margin: float
    confidence: float
    resamples: int


class _MeanPilot:
    """The paired differences of one type, and what they say of other numbers of pairs."""

    equivalence = None

    def __init__(self, change: NDArray[np.float64], effect: float | None, tests: "_Tests") -> None:
        self.pairs = len(change)
        self.estimate = float(change.mean()) if self.pairs else float("nan")
        self.effect = self.estimate if effect is None else effect
        self._sd = float(change.std(ddof=1)) if self.pairs > 1 else float("nan")
        self._tests = tests

    def width(self, prompts: int) -> float:
        return mean_width(self._sd, prompts, self._tests.confidence)

    def power(self, prompts: int) -> float:
        return mean_power(self.effect, self._sd, prompts, 1 - self._tests.level)


class _KsPilot:
    """The pairs of one type, and what samples from them say of other numbers of pairs."""

    def __init__(self, pairs: Pairs | None, effect: float | None, tests: "_Tests", seed: list[int]) -> None:
        self.pairs = 0 if pairs is None else pairs.number
        self._pairs, self._tests, self._seed = pairs, tests, seed
        self.estimate = float("nan") if pairs is None else pairs.distance
        self.effect = float("nan") if pairs is None else shrunk_distance(pairs, self._rng())
        if effect is not None:
            self.effect = effect

    def width(self, prompts: int) -> float:
        return ks_width(self._those, prompts, self._tests.confidence, self._rng())

    def power(self, prompts: int) -> float:
        level, resamples = self._tests.level, self._tests.resamples
        return ks_power(self._those, self.effect, prompts, self._rng(), level=level, resamples=resamples)

    def equivalence(self, prompts: int) -> float:
        level, margin = self._tests.level, self._tests.margin
        return ks_equivalence_power(self._those, prompts, self._rng(), margin=margin, level=level)

    @property
    def _those(self) -> Pairs:
        assert self._pairs is not None  # nothing is planned from fewer than two
        return self._pairs

    def _rng(self) -> np.random.Generator:
        # The same random numbers for every size, so that the bisection compares sizes and not luck.
        return np.random.default_rng(self._seed)


_Pilot = _MeanPilot | _KsPilot


def _plan(name: str, pilot: _Pilot, goal: Goal) -> Plan:
    if pilot.pairs < 2:
        return Plan(name, pilot.pairs, pilot.estimate, float("nan"), None, None, None)
    own = pilot.width(pilot.pairs)
    if (width := goal.width) is not None:
        prompts = least_prompts(lambda n: pilot.width(n) <= width, PRECISION * isinstance(pilot, _KsPilot))
        return Plan(name, pilot.pairs, pilot.estimate, own, None, prompts, None)
    wanted, equivalence = goal.power, pilot.equivalence
    assert wanted is not None
    if equivalence is None:
        prompts = least_prompts(lambda n: pilot.power(n) >= wanted)
        return Plan(name, pilot.pairs, pilot.estimate, own, pilot.effect, prompts, None)
    # Nothing to be found is found in as many samples as the level allows, however many prompts they have.
    prompts = least_prompts(lambda n: pilot.power(n) >= wanted, PRECISION) if pilot.effect else None
    equivalent = least_prompts(lambda n: equivalence(n) >= wanted, PRECISION)
    return Plan(name, pilot.pairs, pilot.estimate, own, pilot.effect, prompts, equivalent)


def least_prompts(enough: Callable[[int], bool], precision: float = 0.0) -> int | None:
    """The least number of base prompts that is enough, by bisection.

    Parameters
    ----------
    enough
        Whether a number of base prompts is enough; it is taken to stay true once it is. The answer has the noise of one
        that is simulated.
    precision
        By how much of itself the answer may be too large.

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
    while high - low > max(1.0, precision * high):
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


def ks_width(pairs: Pairs, prompts: int, confidence: float, rng: np.random.Generator) -> float:
    """The width that the interval of the Kolmogorov-Smirnov distance would have.

    Its half is the quantile of sup |(F* - G*) - (F - G)| over samples of that many base prompts, as in
    `plateaulens.compare.distances.distance_interval`; the cut to [0, 1] is left out.

    Parameters
    ----------
    pairs
        The pilot's, of the type and of real.
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
    drawn = draw(pairs.population, prompts, rng, DRAWS).difference
    return float(2 * quantile(distances(drawn - pairs.difference), confidence))


def ks_power(
    pairs: Pairs, effect: float, prompts: int, rng: np.random.Generator, *, level: float, resamples: int
) -> float:
    """How often equal distributions would be rejected if the true distance were `effect`.

    This is the verdict `different`, or, where the distance is within the margin and shown to be, the word behind
    `equivalent`; see `plateaulens.compare.power`.

    Parameters
    ----------
    pairs
        The pilot's, of the type and of real.
    effect
        The true distance.
    prompts
        Base prompts, like those of the pilot, that the test would be made with.
    rng
        Where random numbers come from.
    level
        What a raw p-value may not exceed: alpha divided by the number of types, Holm's first step.
    resamples
        The random swaps of the analysis.

    Returns
    -------
    float
        The power; 0 where the pilot's pairs cannot be that far apart.
    """
    found, equal = with_distance(pairs, effect), with_distance(pairs, 0.0)
    if found is None or equal is None:
        return 0.0
    null = draw(equal, prompts, rng, EQUAL_DRAWS)
    return power_different(draw(found, prompts, rng, DRAWS), null, level=level, resamples=resamples)


def ks_equivalence_power(pairs: Pairs, prompts: int, rng: np.random.Generator, *, margin: float, level: float) -> float:
    """How often the verdict would be `equivalent` if type and real had the same distribution.

    Parameters
    ----------
    pairs
        The pilot's, of the type and of real.
    prompts
        Base prompts, like those of the pilot, that the test would be made with.
    rng
        Where random numbers come from.
    margin
        The margin of equivalence.
    level
        What a raw p-value may not exceed: alpha divided by the number of types, Holm's first step.

    Returns
    -------
    float
        The power; 0 where so many curves have too few events for the verdict.
    """
    equal = with_distance(pairs, 0.0)
    assert equal is not None  # 0 is a distance that any pairs can have
    return power_equivalent(draw(equal, prompts, rng, DRAWS), margin=margin, level=level)
