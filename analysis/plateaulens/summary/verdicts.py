"""From intervals to words: the closed vocabulary in which the report states what was found.

A verdict is a function of stored numbers, and is stored beside them: a sentence can never say more than its interval,
and whoever queries a summary finds the page's own word. "undecided" is no verdict of equality: it says that these data
do not settle the question; "undefined" says that there is no number to judge. `timing`, `nearness`,
`steepness_relation`, `length_relation`, `fate` and `apart` are each about one comparison at its interval's confidence,
with no correction for how many there are. `equivalence`, `order` and `direction` are about a whole family, when they
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
Direction = Literal[Timing, "censored", "too few", "uncorrected"]
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
    "not comparable",
]

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


def nearness(ks_difference_interval: ArrayLike) -> Nearness:
    """Whether type a is nearer to the reference than type b, by the interval of their difference of distances, a - b.

    Parameters
    ----------
    ks_difference_interval
        Of the distance of a minus that of b.

    Returns
    -------
    Nearness
        "nearer" when the whole interval is below 0, "farther" when it is above, "undecided" when it holds 0,
        "undefined" when there is none (NaN).

    Examples
    --------
    >>> nearness((-0.1, -0.02))
    'nearer'
    """
    lower, upper = np.asarray(ks_difference_interval)
    if np.isnan(lower) or np.isnan(upper):
        return "undefined"
    if upper < 0:
        return "nearer"
    return "farther" if lower > 0 else "undecided"


def equivalence(equivalence_p: float, difference_p: float, alpha: float) -> Equivalence:
    """Whether a type is indistinguishable from the reference within the margin, different from it, or neither is known.

    Parameters
    ----------
    equivalence_p
        Of a distance of the margin or more.
    difference_p
        Of equal distributions.
    alpha
        The level of both tests.

    Returns
    -------
    Equivalence
        "equivalent" when distances of the margin or more are rejected (`equivalence_p` <= `alpha`): the type may still
        differ, detectably even, but by less than matters. Else "different" when equal distributions are rejected
        (`difference_p` <= `alpha`), else "undecided": too few base prompts to say either. "undefined" without both of
        them (NaN).

    Examples
    --------
    >>> equivalence(0.3, 0.2, alpha=0.05)
    'undecided'
    """
    if np.isnan(equivalence_p) or np.isnan(difference_p):
        return "undefined"
    if equivalence_p <= alpha:
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


def conclusion(verdict: str, found: str, before: str, after: str) -> str:
    """The word that a page prints for a type: its `equivalence`, a difference by its `direction` where one is shown.

    Parameters
    ----------
    verdict
        What `equivalence` says.
    found
        What `direction` says.
    before, after
        How types are called whose steps come before, or after, those of the reference.

    Returns
    -------
    str
        `before` or `after` for a type that is "different" and "earlier" or "later", else `verdict`.

    Examples
    --------
    >>> conclusion("different", "later", "shorter", "longer"), conclusion("different", "censored", "shorter", "longer")
    ('longer', 'different')
    """
    return {"earlier": before, "later": after}.get(found, verdict) if verdict == "different" else verdict


def steepness_relation(ratio_interval: ArrayLike) -> Steepness:
    """Whether a type's curves are steeper than those towards the reference, by the interval of the ratio.

    Parameters
    ----------
    ratio_interval
        Of the type's steepness over the reference's.

    Returns
    -------
    Steepness
        "steeper" when the whole interval is above 1, "less steep" when it is below, "undecided" when it holds 1,
        "undefined" when there is none (NaN).

    Examples
    --------
    >>> steepness_relation((0.7, 0.9))
    'less steep'
    """
    lower, upper = np.asarray(ratio_interval)
    if np.isnan(lower) or np.isnan(upper):
        return "undefined"
    return "less steep" if upper < 1 else "steeper" if lower > 1 else "undecided"


def length_relation(interval: ArrayLike, reference: ArrayLike, tolerance: float) -> Length:
    """Whether a mean length is clearly longer or shorter than the reference's, by more than a relative tolerance.

    Clearly: the whole interval lies outside the tolerance around the reference's whole interval.

    Parameters
    ----------
    interval, reference
        Of the two mean lengths, in the same units.
    tolerance
        The relative difference that matters.

    Returns
    -------
    Length
        "longer" or "shorter" when clearly so, else "undecided"; "undefined" without both intervals (NaN).

    Examples
    --------
    >>> length_relation((12.0, 13.0), (10.0, 11.0), 0.05)
    'longer'
    """
    (lower, upper), (low, high) = np.asarray(interval), np.asarray(reference)
    if np.isnan([lower, upper, low, high]).any():
        return "undefined"
    if lower > (1 + tolerance) * high:
        return "longer"
    return "shorter" if upper < (1 - tolerance) * low else "undecided"


def fate(before: ArrayLike, after: ArrayLike) -> Fate:
    """What becomes of a difference to the reference under an adjustment, by its intervals before and after.

    Parameters
    ----------
    before, after
        Of the difference, type minus reference, in steps.

    Returns
    -------
    Fate
        "still later", "now earlier", ... when the interval after the adjustment excludes 0; "no longer shown to differ"
        or "not shown to differ" when it holds 0; "not comparable" when there is none (NaN).

    Examples
    --------
    >>> fate((1.0, 3.0), (-0.5, 2.0)), fate((1.0, 3.0), (0.5, 2.0)), fate((1.0, 3.0), (float("nan"), float("nan")))
    ('no longer shown to differ', 'still later', 'not comparable')
    """
    first, now = _sign(before), _sign(after)
    if np.isnan(np.asarray(after)).any():
        return "not comparable"
    if now == 0:
        return "no longer shown to differ" if first else "not shown to differ"
    if now == first:
        return "still later" if now > 0 else "still earlier"
    return "now later" if now > 0 else "now earlier"


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
