"""What a replication yields, and that a few dozen of them tell a right method from a wrong one."""

import numpy as np
import pytest

from calibration.outcomes import Outcome, Tallies
from calibration.questions import QUESTIONS


def outcomes(question: str, design: str, samples: int = 60, *, replications: int = 1) -> Tallies:
    chosen, tallies = QUESTIONS[question], Tallies()
    for number in range(replications):
        rng = np.random.default_rng(number)
        tallies.add(chosen.replicate(chosen.designs[design], samples, 99, rng))
    return tallies


CELLS = [(name, design) for name, question in QUESTIONS.items() for design in question.designs]


@pytest.mark.parametrize(("question", "design"), CELLS)
@pytest.mark.slow
def test_every_row_has_one_outcome_per_replication(question: str, design: str) -> None:
    samples = max(60, QUESTIONS[question].samples[0])
    rng = np.random.default_rng(0)
    found: list[Outcome] = list(QUESTIONS[question].replicate(QUESTIONS[question].designs[design], samples, 49, rng))
    assert len({outcome.key for outcome in found}) == len(found) > 0
    assert all(np.isfinite(outcome.key.truth) for outcome in found)


def test_every_interval_of_a_comparison_is_looked_at() -> None:
    from plateaulens.summary.comparison import ESTIMATES

    found = {key.quantity for key in outcomes("intervals", "steps").rows}
    expected = {name.removesuffix("_percentile") for name, described in ESTIMATES.items() if described.method}
    assert found == expected


def test_every_p_value_of_a_comparison_is_looked_at() -> None:
    found = {key.quantity for key in outcomes("tests", "steps").rows}
    assert found == {"KS", "mean difference", "KS difference", "equivalence, KS", "equivalence, mean"}


def test_a_method_that_fails_is_seen_to_fail() -> None:
    """Percentile intervals of a distance that is 0 never hold it; a difference that is confounded is not that left."""
    rows = outcomes("intervals", "ties", replications=5).rows
    share = {key.method: tally.share for key, tally in rows.items() if key[1:2] + key[3:4] == ("ks", "same")}
    assert share["percentile"] == 0
    assert share["uniform band"] >= 0.6
    share = {
        key.method: tally.share
        for key, tally in outcomes("confounds", "no difference", 300, replications=20).rows.items()
    }
    assert share["none"] < 0.3
    assert share["regression, HC3"] > 0.7


@pytest.mark.slow
def test_power_grows_with_the_number_of_prompts() -> None:
    few, many = (outcomes("survival", "censored", samples, replications=10).rows for samples in (30, 300))
    power = [sum(tally.hits for key, tally in rows.items() if key.kind == "power") for rows in (few, many)]
    assert power[1] > power[0]
