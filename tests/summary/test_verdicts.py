import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.summary.verdicts import MINIMUM_PAIRS, equivalence, nearness, order, timing

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
    ("interval", "expected"),
    [((-0.2, -0.1), "nearer"), ((0.1, 0.2), "farther"), ((-0.1, 0.1), "undecided"), (NAN, "undefined")],
)
def test_nearness(interval: tuple[float, float], expected: str) -> None:
    assert nearness(interval) == expected


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
