import numpy as np
import pytest

from calibration.outcomes import Tallies, covers, rejects


def test_an_interval_holds_its_ends_and_what_is_between() -> None:
    assert [covers("mean", "m", "real", truth, (1.0, 2.0)).hit for truth in (0.9, 1.0, 1.5, 2.0, 2.1)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert covers("mean", "m", "real", 1.5, (1.0, 3.0)).width == 2.0


def test_an_interval_that_is_not_there_holds_nothing() -> None:
    assert not covers("mean", "m", "real", 0.0, (np.nan, np.nan)).hit


def test_a_rejection_is_an_error_or_power() -> None:
    assert rejects("KS", "m", "same", 0.0, True, null=True).key.kind == "error"
    assert rejects("KS", "m", "later", 0.2, True, null=False).key.kind == "power"


def test_tallies_add_up() -> None:
    hits = [True, True, False, True]
    parts = [Tallies(), Tallies()]
    for number, hit in enumerate(hits):
        parts[number % 2].add([covers("mean", "m", "real", 0.0, (-1.0, 1.0 if hit else -0.5))])
    parts[0].merge(parts[1])
    (tally,) = parts[0].rows.values()
    assert (tally.hits, tally.total) == (3, 4)
    assert tally.share == 0.75
    assert tally.error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    assert tally.width == pytest.approx(3 * 2 + 0.5)
