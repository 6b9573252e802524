import numpy as np
import pytest

from plateaulens.config import AnalysisConfig
from plateaulens.steps import corrected
from plateaulens.summary.constants import Case, cases, events

SETTINGS = AnalysisConfig(minimum_slope={"l2": 0.5, "kl": 0.5, "js": 0.5}, plateau_threshold={"l2": 20.0})
TYPES = ("real", "baseline", "structured")
TARGETS = {"types": list(TYPES), "anchor_cosine": 0.42, "anchor_pool": 100, "baseline_pool": 10}


def found(variants: dict[str, dict[str, object]], types: tuple[str, ...] = TYPES) -> list[Case]:
    return cases(["sensitivity", "plateau"], types, SETTINGS, {**TARGETS, "variants": variants})


def case(statistic: str, stride: int = 1, settings: AnalysisConfig = SETTINGS) -> Case:
    return Case("sensitivity", statistic, "step_size", stride, settings, stride=stride)


class TestCases:
    def test_every_constant_holds_the_value_in_use_once(self) -> None:
        groups: dict[tuple[str, str, str], list[Case]] = {}
        for each in found({}):
            groups.setdefault((each.experiment, each.statistic, each.constant), []).append(each)
        assert set(groups) == {
            ("sensitivity", "max_slope", "minimum_slope"),
            ("sensitivity", "max_slope", "step_size"),
            ("sensitivity", "first_nonlinearity", "nonlinearity_tolerance"),
            ("sensitivity", "first_nonlinearity", "minimum_slope"),
            ("plateau", "plateau_length", "plateau_threshold"),
            ("plateau", "plateau_length", "step_size"),
        }
        for own in groups.values():
            (default,) = [each for each in own if each.is_default]
            assert (default.settings, default.stride, default.substitutes) == (SETTINGS, 1, {})
            assert len({each.value for each in own}) == len(own) > 2

    def test_a_tolerance_of_one_s_own_is_among_them(self) -> None:
        settings = SETTINGS.model_copy(update={"nonlinearity_tolerance": 0.3})
        values = [
            (each.value, each.is_default)
            for each in cases(["sensitivity"], TYPES, settings, TARGETS)
            if each.constant == "nonlinearity_tolerance"
        ]
        assert values == [(0.05, False), (0.1, False), (0.2, False), (0.3, True), (0.4, False)]

    def test_variants_stand_in_for_their_recipe(self) -> None:
        variants: dict[str, dict[str, object]] = {
            "near": {"type": "structured", "anchor_cosine": 0.2, "anchor_pool": None},
            "again": {"type": "structured"},
            "third": {"type": "structured", "anchor_cosine": 0.42},
        }
        recipes = [
            (each.constant, each.value, dict(each.substitutes), each.is_default)
            for each in found(variants, (*TYPES, *variants))
            if each.constant.startswith("structured.") and each.experiment == "plateau"
        ]
        assert recipes == [
            ("structured.anchor_cosine", 0.2, {"structured": "near"}, False),
            ("structured.seed", 1.0, {"structured": "again"}, False),
            ("structured.seed", 2.0, {"structured": "third"}, False),
            ("structured.anchor_cosine", 0.42, {}, True),
            ("structured.seed", 0.0, {}, True),
        ]

    def test_other_variants_are_left_out(self) -> None:
        variants: dict[str, dict[str, object]] = {
            "both": {"type": "structured", "anchor_cosine": 0.2, "anchor_pool": 50},
            "shuffled": {"type": "structured", "dictionary": "shuffled"},
            "error": {"type": "structured", "add_error": True},
        }
        assert not [each for each in found(variants, (*TYPES, *variants)) if "." in each.constant]

    def test_a_variant_that_the_run_does_not_have(self) -> None:
        assert not [each for each in found({"near": {"type": "bag", "anchor_pool": 7}}) if each.substitutes]


class TestEvents:
    def test_the_default_is_the_statistic(self) -> None:
        curve = np.cumsum(np.random.default_rng(0).exponential(size=(6, 101)), axis=1)
        np.testing.assert_array_equal(
            events(curve, "l2", case("max_slope")).value, corrected.max_slope(curve, 0.5).value
        )
        np.testing.assert_array_equal(
            events(curve, "l2", case("plateau_length")).value, corrected.plateau_length(curve, 20.0).value
        )

    @pytest.mark.parametrize("stride", [2, 4, 5])
    def test_a_coarse_step_counts_in_stored_steps(self, stride: int) -> None:
        curve = np.where(np.arange(101) >= 42, 50.0, 0.0)
        expected = int(np.ceil(42 / stride)) * stride
        for statistic in ("max_slope", "plateau_length"):
            assert events(curve, "l2", case(statistic, stride)).value == expected

    def test_the_smallest_slope_grows_with_the_step(self) -> None:
        steady = 0.4 * np.arange(101.0)  # below 0.5 per stored step, whatever the stride
        for stride in (1, 2, 5):
            assert events(steady, "l2", case("max_slope", stride)).censored

    def test_a_metric_without_a_threshold(self) -> None:
        event = events(np.zeros((3, 101)), "kl", case("plateau_length"))
        assert np.isnan(event.value).all()
        assert not event.censored.any()
