"""From intervals to words: the closed vocabulary in which the report states what was found.

A verdict is a function of stored numbers, and is stored beside them: a sentence can never say more than its interval,
and whoever queries a summary finds the page's own word. "undecided" is no verdict of equality: it says that these data
do not settle the question; "undefined" says that there is no number to judge. `timing`, `steepness_relation`,
`length_relation`, `fate`, `movement` and `apart` are each about one comparison at its interval's confidence, with no
correction for how many there are. `equivalence`, `order`, `direction` and `agreed` are about a whole family, when they
are given p-values that have been adjusted for it.

Intervals are (lower, upper), NaN where there is none.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from plateaulens.compare.intervals import MINIMUM

Timing = Literal["earlier", "later", "undecided", "undefined"]
Nearness = Literal["nearer", "farther", "undecided", "undefined"]
Equivalence = Literal["equivalent", "different", "undecided", "undefined"]
Direction = Literal[Timing, "mixed", "censored", "too few", "uncorrected"]
Steepness = Literal["steeper", "less steep", "undecided", "undefined"]
Length = Literal["longer", "shorter", "undecided", "undefined"]
Order = Literal["above", "below", "undecided", "undefined"]
Fate = Literal[
    "still later",
    "still earlier",
    "now later",
    "now earlier",
    "no longer shown to differ",
    "not shown to differ",
    "undecided",
    "not comparable",
]
Movement = Literal["shrinks", "grows", "turns", "undecided", "undefined"]

MINIMUM_PAIRS = MINIMUM
"""No order is said on fewer base prompts."""


def timing(
    mean_difference_interval: ArrayLike,
    n_pairs: int,
    censored: ArrayLike = (0.0, 0.0),
    reference_censored: ArrayLike = (0.0, 0.0),
) -> Timing:
    """Whether a type's event comes earlier or later than the reference's, by the interval of the mean difference.

    The mean difference leaves out censored curves, whose events come after the window. When the type is clearly more
    often censored than the reference (the interval of its share lies above), "earlier" would rest on the curves that
    happened to blow up, and is withheld as "undecided"; "later" likewise when the type is clearly less often censored.

    Parameters
    ----------
    mean_difference_interval
        Of the type minus the reference, in steps.
    n_pairs
        The number of base prompts behind it.
    censored, reference_censored
        The intervals of the two censored fractions.

    Returns
    -------
    Timing
        "later" when the whole interval is above 0, "earlier" when it is below; "undecided" when it holds 0 or rests on
        fewer than `MINIMUM_PAIRS` base prompts; "undefined" when there is no interval (NaN).

    Examples
    --------
    >>> timing((0.4, 2.1), n_pairs=300)
    'later'
    >>> timing((-2.1, -0.4), n_pairs=300, censored=(0.3, 0.4), reference_censored=(0.0, 0.1))
    'undecided'
    """
    lower, upper = np.asarray(mean_difference_interval)
    if np.isnan(lower) or np.isnan(upper):
        return "undefined"
    own, other = np.asarray(censored), np.asarray(reference_censored)
    if n_pairs < MINIMUM_PAIRS:
        return "undecided"
    if lower > 0 and not own[1] < other[0]:
        return "later"
    if upper < 0 and not own[0] > other[1]:
        return "earlier"
    return "undecided"


def equivalence(equivalence_p: float, difference_p: float, alpha: float, *, can_fail: bool = True) -> Equivalence:
    """Whether a type lies within the margin of the reference, is different from it, or neither is known.

    Parameters
    ----------
    equivalence_p
        Of a distance of the margin or more.
    difference_p
        Of equal distributions.
    alpha
        The level of both tests.
    can_fail
        Whether the curves have events enough for a distance of the margin to be seen
        (`plateaulens.compare.distances.has_events`).

    Returns
    -------
    Equivalence
        "equivalent" when distances of the margin or more are rejected (`equivalence_p` <= `alpha`) and could have been
        seen: the type may still differ, detectably even, by less than the margin. Else "different" when equal
        distributions are rejected (`difference_p` <= `alpha`), else "undecided": too few base prompts, or events, to
        say either. "undefined" without both of them (NaN).

    Examples
    --------
    >>> equivalence(0.3, 0.2, alpha=0.05)
    'undecided'
    """
    if np.isnan(equivalence_p) or np.isnan(difference_p):
        return "undefined"
    if equivalence_p <= alpha and can_fail:
        return "equivalent"
    return "different" if difference_p <= alpha else "undecided"


def order(ks_difference: float, p: float, alpha: float) -> Nearness:
    """Whether type a is nearer to the reference than type b, by the p-value of their difference of distances, a - b.

    Parameters
    ----------
    ks_difference
        The distance of a minus that of b.
    p
        Of equal distances.
    alpha
        The level of the test.

    Returns
    -------
    Nearness
        "nearer" or "farther" when equal distances are rejected, else "undecided"; "undefined" without both numbers
        (NaN).

    Examples
    --------
    >>> order(-0.1, 0.003, alpha=0.05)
    'nearer'
    """
    if np.isnan(ks_difference) or np.isnan(p):
        return "undefined"
    if p > alpha or ks_difference == 0:
        return "undecided"
    return "nearer" if ks_difference < 0 else "farther"


def direction(
    interval: ArrayLike, n_pairs: int, censored: ArrayLike, reference_censored: ArrayLike, *, p: float, alpha: float
) -> Direction:
    """`timing` with the p-value of no mean difference, adjusted for its family, in agreement; or why it is withheld.

    This is about the mean alone; `agreed` adds what else has to point the same way.

    Parameters
    ----------
    interval, n_pairs, censored, reference_censored
        The arguments of `timing`, in order.
    p
        Of no mean difference.
    alpha
        The level of the test.

    Returns
    -------
    Direction
        "uncorrected" where the interval claims an order and the adjusted `p` exceeds `alpha`; "too few" where the
        interval excludes 0 and rests on fewer than `MINIMUM_PAIRS` base prompts; "censored" where it does and the
        shares of censored curves contradict it. Else what `timing` says.

    Examples
    --------
    >>> direction((0.4, 2.1), 300, (0.0, 0.1), (0.0, 0.1), p=0.2, alpha=0.05)
    'uncorrected'
    """
    found = timing(interval, n_pairs, censored, reference_censored)
    if found in {"earlier", "later"}:
        return found if p <= alpha else "uncorrected"
    lower, upper = np.asarray(interval)
    if found != "undecided" or lower <= 0 <= upper:
        return found
    return "too few" if n_pairs < MINIMUM_PAIRS else "censored"


def agreed(
    found: Direction, median_difference: float, delta: float, delta_interval: ArrayLike, restricted_difference: float
) -> Direction:
    """The direction of the mean where everything else that has a direction has the same one, else "mixed".

    A mean can be later while most prompts are earlier, and later among the curves that blow up while it is earlier once
    censored ones count. Such a type differs, but neither comes "later" nor "earlier".

    Parameters
    ----------
    found
        What `direction` says of the mean paired difference.
    median_difference
        The median paired difference to the reference, in steps; infinite where it lies beyond the window. A median of
        exactly 0 is what steps, whole numbers, give where many prompts do not move: it contradicts nothing if the
        interval of `delta` lies on the direction's side of 0, which says that the others move that way.
    delta
        P(later) - P(earlier) than the reference within a base prompt.
    delta_interval
        Its interval.
    restricted_difference
        The mean paired difference of steps cut at the window's end, which counts censored curves.

    Returns
    -------
    Direction
        "mixed" for an "earlier" or "later" that the sign of any of them contradicts, or that one is missing for (NaN);
        else `found`.

    Examples
    --------
    >>> agreed("later", 1.0, 0.2, (0.1, 0.3), 0.8), agreed("later", -2.0, -0.5, (-0.7, -0.3), 0.8)
    ('later', 'mixed')
    >>> agreed("later", 0.0, 0.2, (0.1, 0.3), 0.8), agreed("later", 0.0, 0.2, (-0.1, 0.3), 0.8)
    ('later', 'mixed')
    """
    if found not in {"earlier", "later"}:
        return found
    side = 1 if found == "later" else -1
    settled = side * median_difference > 0 or (median_difference == 0 and _sign(delta_interval) == side)
    return found if settled and side * delta > 0 and side * restricted_difference > 0 else "mixed"


def conclusion(verdict: str, exceeds_chance: bool, found: str, before: str, after: str) -> str:
    """The word that a page prints for a type: its `equivalence`, and in which direction it differs where one is shown.

    Parameters
    ----------
    verdict
        What `equivalence` says.
    exceeds_chance
        Whether equal distributions are rejected.
    found
        What `agreed` says.
    before, after
        How types are called whose steps come before, or after, those of the reference.

    Returns
    -------
    str
        For a type that is "different": `before`, `after` or "mixed" where `found` says so, else "different". For one
        that is "equivalent" and exceeds chance all the same: "equivalent, " and that word. Else `verdict`.

    Examples
    --------
    >>> conclusion("different", True, "later", "shorter", "longer")
    'longer'
    >>> conclusion("equivalent", True, "later", "earlier", "later")
    'equivalent, later'
    >>> conclusion("equivalent", False, "later", "earlier", "later")
    'equivalent'
    """
    how = {"earlier": before, "later": after, "mixed": "mixed"}.get(found, "different")
    if verdict == "different":
        return how
    return f"{verdict}, {how}" if verdict == "equivalent" and exceeds_chance else verdict


def steepness_relation(ratio_interval: ArrayLike, n_pairs: int) -> Steepness:
    """Whether a type's curves are steeper than those towards the reference, by the interval of the ratio.

    Parameters
    ----------
    ratio_interval
        Of the type's steepness over the reference's.
    n_pairs
        The number of base prompts behind it.

    Returns
    -------
    Steepness
        "steeper" when the whole interval is above 1, "less steep" when it is below; "undecided" when it holds 1 or
        rests on fewer than `MINIMUM_PAIRS` base prompts; "undefined" when there is none (NaN).

    Examples
    --------
    >>> steepness_relation((0.7, 0.9), n_pairs=300)
    'less steep'
    """
    lower, upper = np.asarray(ratio_interval)
    if np.isnan(lower) or np.isnan(upper):
        return "undefined"
    if n_pairs < MINIMUM_PAIRS:
        return "undecided"
    return "less steep" if upper < 1 else "steeper" if lower > 1 else "undecided"


def length_relation(ratio_interval: ArrayLike, n_pairs: int, tolerance: float) -> Length:
    """Whether a mean length is clearly longer or shorter than the reference's, by more than a relative tolerance.

    Two intervals that overlap say nothing of a paired difference: it has an interval of its own, that of the ratio.

    Parameters
    ----------
    ratio_interval
        Of the type's mean length over the reference's, within base prompts.
    n_pairs
        The number of base prompts behind it.
    tolerance
        The relative difference that matters.

    Returns
    -------
    Length
        "longer" when the whole interval is above 1 + tolerance, "shorter" when it is below 1 - tolerance; "undecided"
        when it is neither or rests on fewer than `MINIMUM_PAIRS` base prompts; "undefined" when there is none (NaN).

    Examples
    --------
    >>> length_relation((0.891, 0.940), 300, 0.05), length_relation((0.93, 0.97), 300, 0.05)
    ('shorter', 'undecided')
    """
    lower, upper = np.asarray(ratio_interval)
    if np.isnan(lower) or np.isnan(upper):
        return "undefined"
    if n_pairs < MINIMUM_PAIRS:
        return "undecided"
    return "longer" if lower > 1 + tolerance else "shorter" if upper < 1 - tolerance else "undecided"


def fate(before: ArrayLike, after: ArrayLike, change: ArrayLike) -> Fate:
    """What becomes of a difference to the reference under an adjustment, by its intervals and that of their difference.

    That the first interval excludes 0 and the second does not says nothing about the adjustment: the second is wider.
    A change is claimed where the change's own interval excludes 0.

    Parameters
    ----------
    before, after
        Of the difference, type minus reference, in steps.
    change
        Of the first minus the second, in steps.

    Returns
    -------
    Fate
        "still later" or "still earlier" when both intervals say so, "not shown to differ" when neither says anything.
        Where they say different things and the interval of the change excludes 0: "now later", "now earlier" or "no
        longer shown to differ", as the second one says; where it holds 0: "undecided". "not comparable" when there is
        no adjusted interval (NaN).

    Examples
    --------
    >>> fate((1.0, 3.0), (-0.5, 2.0), (0.4, 2.0)), fate((1.0, 3.0), (-0.5, 2.0), (-0.4, 2.0))
    ('no longer shown to differ', 'undecided')
    >>> fate((1.0, 3.0), (0.5, 2.0), (-0.4, 2.0)), fate((1.0, 3.0), (float("nan"),) * 2, (float("nan"),) * 2)
    ('still later', 'not comparable')
    """
    first, now = _sign(before), _sign(after)
    if np.isnan(np.asarray(after)).any():
        return "not comparable"
    if now == first:
        return "still later" if now > 0 else "still earlier" if now < 0 else "not shown to differ"
    if _sign(change) == 0:
        return "undecided"
    return "now later" if now > 0 else "now earlier" if now < 0 else "no longer shown to differ"


def movement(difference: float, change: float, interval: ArrayLike) -> Movement:
    """What an adjustment is shown to do to the size of a difference to the reference.

    Parameters
    ----------
    difference
        As it is, type minus reference, in steps.
    change
        The difference as it is minus the adjusted one, in steps.
    interval
        Of the change.

    Returns
    -------
    Movement
        Where the interval excludes 0: "turns" when the adjusted difference lies on the other side of 0, else "shrinks"
        when it is nearer to 0, else "grows". "undecided" when the interval holds 0, "undefined" when there is none
        (NaN).

    Examples
    --------
    >>> movement(3.0, 2.0, (1.0, 3.0)), movement(3.0, -2.0, (-3.0, -1.0))
    ('shrinks', 'grows')
    >>> movement(3.0, 4.0, (2.0, 6.0)), movement(3.0, 7.0, (5.0, 9.0))
    ('turns', 'turns')
    """
    if np.isnan(np.asarray(interval)).any():
        return "undefined"
    if _sign(interval) == 0:
        return "undecided"
    adjusted = difference - change
    if adjusted * difference < 0:
        return "turns"
    return "shrinks" if abs(adjusted) < abs(difference) else "grows"


def _sign(interval: ArrayLike) -> int:
    """1 for an interval above 0, -1 for one below, 0 for one that holds it or is NaN."""
    lower, upper = np.asarray(interval)
    return int(lower > 0) - int(upper < 0)


def word_array(function: Callable[..., str], *arrays: xr.DataArray) -> xr.DataArray:
    """A verdict for every cell of some arrays.

    Parameters
    ----------
    function
        From a number (or, for an array with a dimension `bound`, its two ends) of each array to a word.
    *arrays
        Of any dimensions, over which they are broadcast.

    Returns
    -------
    xarray.DataArray
        Words in the dtype that zarr stores them in, with the dimensions of the first array in front, and without
        `bound`.
    """
    found = xr.apply_ufunc(
        lambda *cells: str(function(*cells)),
        *arrays,
        input_core_dims=[["bound"] if "bound" in array.dims else [] for array in arrays],
        vectorize=True,
        output_dtypes=[object],
        keep_attrs=False,
    )
    texts: NDArray[np.generic] = found.to_numpy().astype(np.dtypes.StringDType())
    return xr.DataArray(texts, dims=found.dims)


def apart(first_interval: ArrayLike, second_interval: ArrayLike) -> Order:
    """Whether one of two estimates of different samples is above the other, by intervals that do not meet.

    This is stricter than a test of no difference at the intervals' confidence.

    Parameters
    ----------
    first_interval, second_interval
        The lower and the upper end of each, (2,).

    Returns
    -------
    str
        What the first one is; "undefined" when an end is NaN.

    Examples
    --------
    >>> apart((3.0, 4.0), (1.0, 2.0)), apart((1.0, 2.0), (1.5, 4.0))
    ('above', 'undecided')
    """
    first, second = np.asarray(first_interval), np.asarray(second_interval)
    if np.isnan([first, second]).any():
        return "undefined"
    if first[0] > second[1]:
        return "above"
    return "below" if first[1] < second[0] else "undecided"
