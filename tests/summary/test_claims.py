"""What a summary claims from its numbers, on planted steps: data of which it must be said, and data of which not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from plateaulens import names
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.store.reading import open_run
from plateaulens.summary.analyze import summarize
from plateaulens.summary.comparison import (
    _restricted_difference,
    compare_dataset,
    controls_of,
    with_recorded_margin,
)
from plateaulens.testing import generate_run, synthetic_spec

LAST = 100
SETTINGS = AnalysisConfig(resamples=299)


def judged(
    value: NDArray[np.float64], *, margin: float = 0.15, controls: tuple[str, ...] = (), seed: int = 0
) -> xr.Dataset:
    """The comparison of steps (type, sample), the first type's being the reference; NaN is censored."""
    kinds = ["real", "other", "third"][: len(value)]
    steps = steps_of(value, kinds)
    resampling = Resampling.draw(np.random.default_rng(seed), samples=value.shape[1], resamples=SETTINGS.resamples)
    rng = np.random.default_rng(seed + 1)
    found = compare_dataset(steps, resampling, SETTINGS, rng, last_step=LAST, margin=margin, controls=controls)
    return found.isel(convention=0, statistic=0, metric=0)


def steps_of(value: NDArray[np.float64], kinds: list[str]) -> xr.Dataset:
    dims = ("convention", "statistic", "metric", "activation_type", "sample")
    wide = value[np.newaxis, np.newaxis, np.newaxis]
    return xr.Dataset(
        {"step_value": (dims, wide), "censored": (dims, np.isnan(wide))},
        coords={
            "convention": ["corrected"],
            "statistic": ["max_slope"],
            "metric": ["l2"],
            "activation_type": kinds,
            "family": (("statistic", "metric"), [["paper"]]),
        },
    )


def normal(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    return np.round(rng.normal(50, 10, samples))


class TestDirection:
    """Claimed only where mean, median, paired delta and restricted mean agree."""

    def test_a_plain_shift_has_one(self) -> None:
        real = normal(np.random.default_rng(0), 200)
        later = real + np.random.default_rng(1).integers(0, 9, 200)
        found = judged(np.stack([real, later, 2 * real - later])).sel(activation_type=["other", "third"])
        assert found["direction"].values.tolist() == ["later", "earlier"]
        assert found["conclusion"].values.tolist() == ["later", "earlier"]

    def test_later_on_average_while_most_prompts_are_earlier_is_none(self) -> None:
        rng = np.random.default_rng(0)
        real = normal(rng, 200)
        other = real + np.where(rng.random(200) < 0.25, 20.0, -2.0)
        found = judged(np.stack([real, other])).sel(activation_type="other")
        assert found["mean_difference_interval"].sel(bound="lower") > 0
        assert found["median_difference"] == -2
        assert found["paired_delta"] < 0
        assert found["direction"] == "mixed"
        assert found["conclusion"] == "mixed"

    def test_a_mean_may_be_open_where_the_prompts_one_by_one_are_not(self) -> None:
        """Most prompts a step earlier, a few far later; and the reference, which has no relation to itself."""
        rng = np.random.default_rng(4)
        real = normal(rng, 200)
        other = real + np.where(rng.random(200) < 0.05, 18.0, -1.0)
        found = judged(np.stack([real, other, real[::-1]]))
        assert found["direction"].sel(activation_type="other") == "undecided"
        assert found["paired_relation"].values.tolist() == ["undefined", "earlier", "undecided"]

    def test_earlier_where_it_blows_up_and_later_with_what_does_not_is_none(self) -> None:
        rng = np.random.default_rng(2)
        real = normal(rng, 300)
        other = real - 2.0
        real[:10], other[10:34] = np.nan, np.nan
        found = judged(np.stack([real, other])).sel(activation_type="other")
        assert found["mean_difference_interval"].sel(bound="upper") < 0
        assert found["direction"] == "mixed"
        assert found["conclusion"].item() not in {"earlier", "later"}

    def test_a_median_of_0_agrees_where_the_others_are_shown_to_move(self) -> None:
        """Three prompts of five do not move at all, one of four does: whole steps."""
        rng = np.random.default_rng(3)
        real = normal(rng, 300)
        moves = rng.random(300)
        for jump, expected in ((-1.0, "later"), (-5.0, "mixed")):
            other = real + np.where(moves < 0.25, 6.0, np.where(moves < 0.40, jump, 0.0))
            if expected == "mixed":
                other = real + np.where(moves < 0.2, 6.0, np.where(moves < 0.4, -2.0, 0.0))
            found = judged(np.stack([real, other])).sel(activation_type="other")
            assert found["median_difference"] == 0
            assert found["mean_difference_interval"].sel(bound="lower") > 0
            assert found["direction"] == expected

    def test_the_restricted_mean_is_the_one_that_is_stored(self, synthetic_summary: xr.DataTree) -> None:
        group = synthetic_summary["sensitivity"].to_dataset().sel(convention="corrected")
        found = _restricted_difference(group["step_value"], group["censored"], LAST)
        stored = group["restricted_mean_difference"]
        np.testing.assert_allclose(found.transpose(*stored.dims), stored)


class TestEquivalence:
    """*Equivalent* says "within the margin" and no more."""

    def test_a_small_shift_of_many_prompts_is_equivalent_and_later(self) -> None:
        rng = np.random.default_rng(0)
        common = rng.normal(50, 8, 1000)
        real, other = np.round(common + rng.normal(0, 8, (2, 1000)) + [[0], [2]])
        found = judged(np.stack([real, other])).sel(activation_type="other")
        assert found["verdict"] == "equivalent"
        assert found["exceeds_chance"]
        assert found["conclusion"] == "equivalent, later"

    def test_the_same_steps_in_another_order_are_equivalent_alone(self) -> None:
        real = normal(np.random.default_rng(0), 1000)
        other = np.where(np.arange(1000) % 2, real, np.roll(real, 2))
        found = judged(np.stack([real, other])).sel(activation_type="other")
        assert found["conclusion"] == "equivalent"

    @pytest.mark.parametrize(("events", "verdict"), [(2, "undecided"), (100, "undecided"), (400, "equivalent")])
    def test_shared_censoring_is_no_equivalence(self, events: int, verdict: str) -> None:
        """Of 1,000 curves each, so few have an event that no distance could reach the margin, or enough do."""
        real = normal(np.random.default_rng(0), 1000)
        other = np.where(np.arange(1000) % 2, real, np.roll(real, 2))
        value = np.where(np.arange(1000) < events, np.stack([real, other]), np.nan)
        found = judged(value).sel(activation_type="other")
        assert found["ks_equivalence_p_holm"] < 0.05
        assert found["verdict"] == verdict
        assert found["conclusion"] == verdict

    @pytest.mark.parametrize(("events", "verdict"), [(16, "undecided"), (24, "equivalent")])
    def test_a_sentinel_is_no_event(self, events: int, verdict: str) -> None:
        """The authors give a curve without the event a step behind the window, which is a value."""
        real = normal(np.random.default_rng(0), 100)
        without = np.arange(100) >= events
        steps = steps_of(np.where(without, LAST, np.stack([real, real + 1])), ["real", "other"])
        steps["censored"][:] = without
        resampling = Resampling.draw(np.random.default_rng(0), samples=100, resamples=SETTINGS.resamples)
        rng = np.random.default_rng(1)
        found = compare_dataset(steps, resampling, SETTINGS, rng, last_step=LAST, margin=0.15, controls=())
        other = found.squeeze(drop=True).sel(activation_type="other")
        assert other["n"] == 100
        assert other["ks_equivalence_p_holm"] < 0.05
        assert other["verdict"] == verdict

    def test_the_margin_decides(self) -> None:
        rng = np.random.default_rng(0)
        value = np.stack([normal(rng, 1000), normal(rng, 1000) + 2])
        found = judged(value, margin=0.05).sel(activation_type="other")
        assert found["verdict"] == "different"
        assert found["conclusion"] == "later"


class TestChance:
    def test_a_type_3_5_steps_later_is_different_and_outside(self) -> None:
        """At n = 300 it lay inside the interval of a second draw half of the time."""
        outside = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            value = np.stack([normal(rng, 300), normal(rng, 300) + 3.5])
            found = judged(value, seed=seed).sel(activation_type="other")
            outside.append(bool(found["ks"] > found["ks_null_upper"]))
            assert bool(found["exceeds_chance"]) == outside[-1]
        assert np.mean(outside) >= 0.8

    def test_a_control_that_exceeds_chance_is_a_false_alarm_and_no_type(self) -> None:
        rng = np.random.default_rng(0)
        value = np.stack([normal(rng, 300), normal(rng, 300) + 5])
        assert judged(value).sel(activation_type="other")["conclusion"] == "later"
        found = judged(value, controls=("other",)).sel(activation_type="other")
        assert found["conclusion"] == "false alarm"
        assert found["is_control"]

    def test_variants_without_a_change_are_controls(self) -> None:
        variants = {
            "again": {"type": "real_control", "add_error": False},
            "once_more": {"type": "real"},
            "moved": {"type": "real", "add_error": True},
            "other": {"type": "structured"},
        }
        assert controls_of({"variants": variants}) == ("real_control", "again", "once_more")
        assert controls_of({}) == ("real_control",)

    @pytest.mark.parametrize(
        "targets",
        [
            *({"variants": {"x": {"a": 1}}}, {"variants": {"x": 3}}, {"variants": {"x": {"type": ["real"]}}}),
            *({"variants": {"x": {"type": "real", "add_error": "no"}}}, {"variants": ["x"]}, {"variants": None}),
            *([], None, "targets"),
        ],
    )
    def test_a_section_that_no_run_has(self, targets: Any) -> None:
        with pytest.raises(UsageError, match=r"^the run's targets\.variants are damaged"):
            controls_of(targets)


class TestMargins:
    """A margin for each experiment, with its reason, as it was written down before collecting."""

    def test_each_has_a_reason(self) -> None:
        assert all(each.margin_reason for each in names.EXPERIMENTS.values())
        assert len({each.margin_reason for each in names.EXPERIMENTS.values()}) == len(names.EXPERIMENTS)

    def test_they_lie_where_the_authors_numbers_put_them(self) -> None:
        """Reconstructions .11 and synthetic types from .17 in relative steps; structured .104 and .127 in absolute."""
        margins = {name: each.equivalence_margin for name, each in names.EXPERIMENTS.items()}
        assert 0.11 < margins["sensitivity"] < 0.17
        chance = float(stats.kstwobign.ppf(0.95)) * np.sqrt(2 / 2000)
        assert round(chance, 2) == 0.04
        assert chance < margins["sensitivity_absolute"] < 0.1035
        assert margins["sensitivity_absolute"] / 0.1035 == pytest.approx(margins["sensitivity"] / 0.21, abs=0.02)
        assert margins["plateau"] < 0.5

    def test_a_preset_may_give_one_for_all_or_some(self) -> None:
        assert set(AnalysisConfig.model_validate({"equivalence_margin": 0.2}).equivalence_margin.values()) == {0.2}
        some = AnalysisConfig.model_validate({"equivalence_margin": {"plateau": 0.3}})
        assert (some.margin("plateau"), some.margin("sensitivity_absolute")) == (0.3, 0.075)
        assert some.margin("my_walk") == names.EQUIVALENCE_MARGIN
        assert AnalysisConfig.model_validate_json(some.model_dump_json()) == some

    @pytest.mark.slow
    def test_a_run_holds_them_and_the_summary_says_whether_they_are_used(self, tmp_path: Path) -> None:
        name = "sensitivity_absolute"
        spec = synthetic_spec(8, activation_types=("real", "random"), experiments=(name,), steps=21)
        generate_run(tmp_path / "run.zarr", spec)
        with open_run(tmp_path / "run.zarr") as run:
            stored = json.loads(run.attrs["config"])["analysis"]["equivalence_margin"]
            assert stored == {name: each.equivalence_margin for name, each in names.EXPERIMENTS.items()}
            for margins, expected in ({}, True), ({name: 0.1}, False):
                settings = AnalysisConfig(resamples=20, equivalence_margin=margins)
                found = summarize(run, settings)[name].to_dataset()["verdict"].attrs
                assert found["margin_as_recorded"] is expected
                assert found["margin_recorded"] == 0.075

    @pytest.mark.parametrize(
        ("recorded", "expected"),
        [
            ({"equivalence_margin": 0.15}, (True, 0.15)),
            ({"equivalence_margin": 0.2}, (False, 0.2)),
            ({"equivalence_margin": {"plateau": 0.15}}, (True, 0.15)),
            ({"equivalence_margin": {"sensitivity": 0.15}}, (False, None)),
            ({}, (False, None)),
        ],
    )
    def test_earlier_runs_hold_one_number_or_none(
        self, recorded: dict[str, object], expected: tuple[bool, float | None]
    ) -> None:
        real = normal(np.random.default_rng(0), 20)
        found = with_recorded_margin(judged(np.stack([real, real])), recorded, "plateau")["verdict"].attrs
        assert (found["margin_as_recorded"], found.get("margin_recorded")) == expected
