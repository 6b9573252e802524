"""What a replication yields, and that a few dozen of them tell a right method from a wrong one."""

import numpy as np
import pytest

from calibration.ladder import NOVELTY_DESIGNS
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
    rows = outcomes("confounds", "no difference", 300, replications=20).rows
    share = {key.method: tally.share for key, tally in rows.items() if key[:2] == ("coverage", "adjusted difference")}
    assert share["none"] < 0.3
    assert share["regression, CR3"] > 0.7
    claimed = {key.method: tally.share for key, tally in rows.items() if key.kind == "power"}
    assert claimed["regression, CR3"] == 1
    rows = outcomes("confounds", "irrelevant covariate", 300, replications=20).rows
    assert {key.method: tally.share < 0.3 for key, tally in rows.items() if key.kind == "error"} == {
        "regression, CR3": True,
        "matched": True,
    }
    rows = outcomes("confounds", "linked prompts", 300, replications=20).rows
    share = {key.method: tally.share for key, tally in rows.items() if key[:2] == ("coverage", "adjusted difference")}
    assert share["regression, HC3"] <= share["regression, CR3"]


@pytest.mark.slow
def test_power_grows_with_the_number_of_prompts() -> None:
    few, many = (outcomes("survival", "censored", samples, replications=10).rows for samples in (30, 300))
    power = [sum(tally.hits for key, tally in rows.items() if key.kind == "power") for rows in (few, many)]
    assert power[1] > power[0]


@pytest.mark.slow
def test_where_targets_are_shared_groups_cover_and_single_prompts_do_not() -> None:
    """Of 60 intervals that cover 93 % of the time, 50 or fewer do with probability 2 %; at 80 % 54 or more with 3 %."""
    rows = outcomes("shared", "three prompts a target", 200, replications=60).rows
    for quantity in ("mean", "censored_fraction", "survival", "restricted_mean"):
        prompts, groups = (
            next(
                tally.hits
                for key, tally in rows.items()
                if (key.quantity, key.activation_type) == (quantity, "real")
                and key.method.endswith(f"{unit} resampled")
            )
            for unit in ("prompts", "linked groups")
        )
        assert groups > 50, quantity
        assert prompts < min(groups, 54), quantity


def test_corners_look_only_at_what_a_page_prints() -> None:
    """The band of the distance takes ten prompts, the mean's interval twenty, an order forty."""
    fewest = {key.quantity for key in outcomes("corners", "copies", 5).rows}
    assert "survival" in fewest
    assert "ks" not in fewest
    few = {key.quantity for key in outcomes("corners", "copies", 10).rows}
    assert "ks" in few
    assert not few & {"mean", "mean_difference", "paired_delta", "restricted_mean", "ks_difference", "KS difference"}
    enough = {key.quantity for key in outcomes("corners", "copies", 40).rows}
    assert enough >= {"mean", "mean_difference", "paired_delta", "restricted_mean", "ks_difference", "KS difference"}


@pytest.mark.slow
def test_ten_looks_find_more_than_the_level_and_guarded_ones_do_not() -> None:
    rows = outcomes("looks", "steps", 200, replications=60).rows
    wrong = {(key.quantity, key.method): tally.hits for key, tally in rows.items()}
    for quantity in ("KS", "equivalence, KS"):
        assert wrong[quantity, "ten looks, guarded"] <= min(wrong[quantity, "ten looks"], 6)
    assert wrong["KS", "ten looks"] > 3


@pytest.mark.slow
def test_a_plan_asks_for_about_as_many_prompts_as_it_takes() -> None:
    """Of eight runs planned for 80 % one succeeds or none with probability 1e-4, whatever is planned."""
    rows = outcomes("planning", "ties", 200, replications=8).rows
    assert {key.kind for key in rows} == {"planned"}
    assert {key.quantity for key in rows} == {"KS", "equivalence, KS", "mean difference", "ks"}
    assert all(tally.hits > 1 for tally in rows.values())


def test_pooled_sites_are_covered_and_a_new_one_lies_farther_out() -> None:
    rows = outcomes("pooling", "17 sites", 100, replications=200).rows
    mean, new = (
        next(t for key, t in rows.items() if key.quantity == f"pooled_{n}") for n in ("difference", "prediction")
    )
    assert min(mean.share, new.share) > 0.9
    assert new.width > 2 * mean.width


def test_the_largest_of_two_equal_gains_is_one_by_chance() -> None:
    """By its estimate one of them gains more than others in nearly every run; by intervals apart, none does."""
    rows = outcomes("gains", "equal gains", 300, replications=10).rows
    claimed = {key.method: tally.share for key, tally in rows.items() if key[:2] == ("error", "gains more than others")}
    assert claimed["largest estimate"] > 0.7
    assert claimed["intervals apart"] == 0
    rows = outcomes("gains", "one gain", 300, replications=10).rows
    claimed = {key.method: tally.share for key, tally in rows.items() if key[:2] == ("power", "gains more than others")}
    assert claimed == {"largest estimate": 1.0, "intervals apart": 1.0}


@pytest.mark.parametrize("design", NOVELTY_DESIGNS)
def test_the_planted_novelty_is_that_of_many_prompts(design: str) -> None:
    planted = NOVELTY_DESIGNS[design]
    distance, real, group = planted.draw(np.random.default_rng(0), 200_000)
    assert np.median(distance) / np.median(real) == pytest.approx(planted.novelty, rel=0.02)
    assert np.bincount(group)[:-1].tolist() == [planted.sharing] * int(group[-1])
    assert np.mean(distance == 0) == pytest.approx(planted.copies, abs=0.01)
