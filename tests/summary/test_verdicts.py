import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.compare.distances import has_events
from plateaulens.summary.verdicts import (
    MINIMUM_PAIRS,
    agreed,
    conclusion,
    equivalence,
    order,
    steepness_relation,
    timing,
)

NAN = (np.nan, np.nan)
INTERVALS = st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(sorted)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((1, 2), "later"), ((-2, -1), "earlier"), ((-1, 2), "undecided"), ((0, 2), "undecided"), (NAN, "undefined")],
)
def test_timing(interval: tuple[float, float], expected: str) -> None:
    assert timing(interval, n_pairs=300) == expected


@pytest.mark.parametrize(("pairs", "expected"), [(MINIMUM_PAIRS - 1, "undecided"), (MINIMUM_PAIRS, "later")])
def test_few_pairs_decide_nothing(pairs: int, expected: str) -> None:
    assert timing((3.0, 3.0), n_pairs=pairs) == expected


@pytest.mark.parametrize(
    ("interval", "own", "reference", "expected"),
    [
        ((-2, -1), (0.3, 0.4), (0.0, 0.1), "undecided"),
        ((-2, -1), (0.05, 0.4), (0.0, 0.1), "earlier"),
        ((-2, -1), (0.0, 0.1), (0.3, 0.4), "earlier"),
        ((1, 2), (0.3, 0.4), (0.0, 0.1), "later"),
        ((1, 2), (0.0, 0.1), (0.3, 0.4), "undecided"),
    ],
)
def test_censoring_that_points_the_other_way_withholds_the_verdict(
    interval: tuple[float, float], own: tuple[float, float], reference: tuple[float, float], expected: str
) -> None:
    assert timing(interval, n_pairs=300, censored=own, reference_censored=reference) == expected


@given(INTERVALS)
def test_turning_the_difference_turns_the_verdict(interval: list[float]) -> None:
    turned = {"later": "earlier", "earlier": "later", "undecided": "undecided"}
    lower, upper = interval
    assert timing((-upper, -lower), n_pairs=300) == turned[timing((lower, upper), n_pairs=300)]


@pytest.mark.parametrize(
    ("equivalence_p", "difference_p", "expected"),
    [
        (0.01, 0.5, "equivalent"),
        (0.01, 0.001, "equivalent"),  # detectably different, but by less than the margin
        (0.5, 0.001, "different"),
        (0.5, 0.5, "undecided"),
        (np.nan, 0.5, "undefined"),
        (0.01, np.nan, "undefined"),
    ],
)
def test_equivalence(equivalence_p: float, difference_p: float, expected: str) -> None:
    assert equivalence(equivalence_p, difference_p, alpha=0.05) == expected


@pytest.mark.parametrize(("difference_p", "expected"), [(0.001, "different"), (0.5, "undecided")])
def test_equivalence_that_cannot_fail_is_none(difference_p: float, expected: str) -> None:
    assert equivalence(0.001, difference_p, alpha=0.05) == "equivalent"
    assert equivalence(0.001, difference_p, alpha=0.05, can_fail=False) == expected


@pytest.mark.parametrize(
    ("events", "censored", "margin", "expected"),
    [
        ((20, 0), (0.8, 1.0), 0.15, True),
        ((0, 20), (1.0, 0.8), 0.15, True),
        ((19, 19), (0.1, 0.1), 0.15, False),
        ((40, 40), (0.99, 0.99), 0.15, False),
        ((45, 0), (0.85, 1.0), 0.15, True),
        ((75, 0), (0.925, 1.0), 0.075, True),  # 1 - 0.925 is below 0.075 by rounding
        ((0, 0), (np.nan, np.nan), 0.15, False),
    ],
)
def test_either_has_to_have_events(
    events: tuple[int, int], censored: tuple[float, float], margin: float, expected: bool
) -> None:
    assert has_events(events, censored, margin) == expected


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (-0.1, 0.01, "nearer"),
        (0.1, 0.01, "farther"),
        (0.1, 0.2, "undecided"),
        (0.0, 0.01, "undecided"),
        (0.1, np.nan, "undefined"),
    ],
)
def test_order(difference: float, p: float, expected: str) -> None:
    assert order(difference, p, alpha=0.05) == expected


@pytest.mark.parametrize(
    ("median", "delta", "delta_interval", "restricted", "expected"),
    [
        (1.0, 0.2, (0.1, 0.3), 0.8, "later"),
        (np.inf, 0.2, (0.1, 0.3), 0.8, "later"),  # beyond the window is later than every step
        (-2.0, 0.2, (0.1, 0.3), 0.8, "mixed"),
        (1.0, -0.2, (-0.3, 0.1), 0.8, "mixed"),
        (1.0, 0.2, (0.1, 0.3), -0.8, "mixed"),
        (1.0, 0.2, (0.1, 0.3), 0.0, "mixed"),
        (0.0, 0.2, (0.1, 0.3), 0.8, "later"),  # most prompts do not move, and the others are shown to come later
        (0.0, 0.2, (-0.1, 0.3), 0.8, "mixed"),
        (np.nan, 0.2, (0.1, 0.3), 0.8, "mixed"),
        (1.0, 0.2, (0.1, 0.3), np.nan, "mixed"),
    ],
)
def test_a_direction_needs_agreement(
    median: float, delta: float, delta_interval: tuple[float, float], restricted: float, expected: str
) -> None:
    assert agreed("later", median, delta, delta_interval, restricted) == expected
    turned = {"later": "earlier"}.get(expected, expected)
    other = (-delta_interval[1], -delta_interval[0])
    assert agreed("earlier", -median, -delta, other, -restricted) == turned


@pytest.mark.parametrize("found", ["undecided", "undefined", "censored", "too few", "uncorrected"])
def test_no_agreement_makes_a_direction_where_none_is_shown(found: str) -> None:
    assert agreed(found, 1.0, 1.0, (1.0, 1.0), 1.0) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "exceeds", "found", "expected"),
    [
        ("different", True, "earlier", "shorter"),
        ("different", True, "mixed", "mixed"),
        ("different", True, "uncorrected", "different"),
        ("equivalent", True, "later", "equivalent, longer"),
        ("equivalent", True, "mixed", "equivalent, mixed"),
        ("equivalent", True, "undecided", "equivalent, different"),
        ("equivalent", False, "later", "equivalent"),
        ("undecided", False, "later", "undecided"),
        ("undefined", False, "undefined", "undefined"),
    ],
)
def test_conclusion(verdict: str, exceeds: bool, found: str, expected: str) -> None:
    assert conclusion(verdict, exceeds, found, "shorter", "longer") == expected


@pytest.mark.parametrize(
    ("interval", "pairs", "expected"),
    [
        ((1.1, 2.0), MINIMUM_PAIRS, "steeper"),
        ((1.1, 2.0), MINIMUM_PAIRS - 1, "undecided"),
        ((0.5, 0.9), 300, "less steep"),
        (NAN, 0, "undefined"),
    ],
)
def test_steepness_relation(interval: tuple[float, float], pairs: int, expected: str) -> None:
    assert steepness_relation(interval, pairs) == expected
