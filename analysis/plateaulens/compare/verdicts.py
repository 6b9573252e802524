"""From intervals to words: the closed vocabulary in which the report states what was found.

A verdict is a function of stored numbers, so that a sentence can never say more than its interval. "undecided" is no
verdict of equality: it says that these data do not settle the question. `timing` and `nearness` are each about one
comparison at its interval's confidence, with no correction for how many there are. `equivalence` and `order` are about
a whole family, when they are given p-values that have been adjusted for it.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plateaulens.compare.intervals import MINIMUM

Timing = Literal["earlier", "later", "undecided", "undefined"]
Nearness = Literal["nearer", "farther", "undecided", "undefined"]
Equivalence = Literal["equivalent", "different", "undecided", "undefined"]

MINIMUM_PAIRS = MINIMUM


def timing(
    mean_difference_interval: ArrayLike,
    n_pairs: int,
    censored: ArrayLike = (0.0, 0.0),
    reference_censored: ArrayLike = (0.0, 0.0),
) -> Timing:
    """Whether a type's event comes earlier or later than the reference's, by the interval of the mean difference.

    "later" when the whole interval is above 0, "earlier" when it is below; "undecided" when it holds 0 or rests on
    fewer than `MINIMUM_PAIRS` base prompts; "undefined" when there is no interval (NaN).

    The mean difference leaves out censored curves, whose events come after the window. `censored` and
    `reference_censored` are the intervals of the two censored fractions: when the type is clearly more often censored
    than the reference (its interval lies above), "earlier" would rest on the curves that happened to blow up, and is
    withheld as "undecided"; "later" likewise when the type is clearly less often censored.

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

    "equivalent" when distances of the margin or more are rejected (`equivalence_p` <= `alpha`): the type may still
    differ, detectably even, but by less than matters. Else "different" when equal distributions are rejected
    (`difference_p` <= `alpha`), else "undecided": too few base prompts to say either. "undefined" without both of them.

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

    >>> order(-0.1, 0.003, alpha=0.05)
    'nearer'
    """
    if np.isnan(ks_difference) or np.isnan(p):
        return "undefined"
    if p > alpha or ks_difference == 0:
        return "undecided"
    return "nearer" if ks_difference < 0 else "farther"
