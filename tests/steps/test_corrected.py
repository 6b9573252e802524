"""Every class quotes the sentence of a definition that it checks."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.steps import corrected
from plateaulens.steps.curves import StepValues

STEPS = 101
STATISTICS: dict[str, Callable[[NDArray[np.floating]], StepValues]] = {
    "max_slope": lambda curve: corrected.max_slope(curve, minimum_slope=0.02),
    "first_nonlinearity": lambda curve: corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02),
    "auc_ratio": lambda curve: corrected.auc_ratio(curve, minimum_slope=0.02),
    "plateau_length": lambda curve: corrected.plateau_length(curve, threshold=20.0),
    "half_height": lambda curve: corrected.half_height(curve, minimum_slope=0.02),
}
RISES = arrays.arrays(np.int64, st.integers(12, 40), elements=st.integers(0, 50))


def curve_of(rises: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.concatenate([[0], np.cumsum(rises)]).astype(np.float64)


def step_at(step: int, height: float = 60.0) -> NDArray[np.float64]:
    """0 before `step`, `height` from it on."""
    return np.where(np.arange(STEPS) >= step, height, 0.0)


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
class TestEveryStatistic:
    """A curve with a NaN or an infinity is undefined: NaN and not censored."""

    def test_incomplete_curves_are_undefined(self, statistic: Callable[[NDArray[np.floating]], StepValues]) -> None:
        curve = np.stack([step_at(50), step_at(50), np.full(STEPS, np.nan)])
        curve[1, 100] = np.nan
        value, censored = statistic(curve)
        np.testing.assert_array_equal(value, [50, np.nan, np.nan])
        assert not censored.any()

    def test_a_flat_curve_is_censored(self, statistic: Callable[[NDArray[np.floating]], StepValues]) -> None:
        value, censored = statistic(np.zeros(STEPS))
        assert np.isnan(value)
        assert censored

    def test_rounding_noise_is_censored(self, statistic: Callable[[NDArray[np.floating]], StepValues]) -> None:
        noise = np.random.default_rng(0).normal(0, 1e-6, (50, STEPS)).astype(np.float32)
        noise[:, 0] = 0
        assert statistic(noise).censored.all()

    def test_any_leading_dimensions(self, statistic: Callable[[NDArray[np.floating]], StepValues]) -> None:
        curves = np.random.default_rng(1).exponential(1.0, (2, 3, 4, STEPS)).cumsum(axis=-1)
        value, censored = statistic(curves)
        for index in np.ndindex(2, 3, 4):
            np.testing.assert_array_equal(value[index], statistic(curves[index]).value)
            assert censored[index] == statistic(curves[index]).censored

    def test_single_precision_gives_the_same_steps(
        self, statistic: Callable[[NDArray[np.floating]], StepValues]
    ) -> None:
        curves = np.random.default_rng(2).integers(0, 50, (20, STEPS)).cumsum(axis=-1)
        np.testing.assert_array_equal(
            statistic(curves.astype(np.float32)).value, statistic(curves.astype(np.float64)).value
        )


class TestMaxSlope:
    """The step that the steepest rise arrives at: argmax over k >= 1 of y[k] - y[k-1], the first in a tie."""

    def test_the_arriving_step(self) -> None:
        # rises 1, 4, 2: the steepest goes from step 1 to step 2
        assert corrected.max_slope([0, 1, 5, 7], minimum_slope=0.02).value == 2

    def test_the_first_of_equal_rises(self) -> None:
        assert corrected.max_slope([0, 3, 3, 6, 9], minimum_slope=0.02).value == 1

    def test_falls_do_not_count(self) -> None:
        assert corrected.max_slope([0, 1, -8, -8], minimum_slope=0.02).value == 1

    def test_a_rise_equal_to_the_minimum_does_not_exceed_it(self) -> None:
        assert corrected.max_slope([0, 0.5, 1.0], minimum_slope=0.5).censored
        assert corrected.max_slope([0, 0.5, 1.5], minimum_slope=0.5).value == 2

    def test_the_last_step_is_in_the_window(self) -> None:
        assert corrected.max_slope(step_at(100), minimum_slope=0.02).value == 100

    @given(RISES)
    def test_no_rise_is_larger_and_no_earlier_one_as_large(self, rises: NDArray[np.int64]) -> None:
        value, censored = corrected.max_slope(curve_of(rises), minimum_slope=0.02)
        assert censored == (rises.max() == 0)
        if not censored:
            found = int(value) - 1
            assert rises[found] == rises.max()
            assert (rises[:found] < rises.max()).all()

    @given(RISES, st.integers(1, 4))
    def test_scaling_the_curve_moves_nothing(self, rises: NDArray[np.int64], factor: int) -> None:
        curve = curve_of(rises)
        np.testing.assert_array_equal(
            corrected.max_slope(curve, 0.02).value, corrected.max_slope(factor * curve, 0.02).value
        )

    @given(st.permutations(range(1, 21)))
    def test_walking_backwards_mirrors_the_step(self, order: list[int]) -> None:
        """With one steepest rise, arriving at k forwards is arriving at n - k + 1 backwards (rises in reverse)."""
        rises = np.array(order)
        forwards = corrected.max_slope(curve_of(rises), 0.02).value
        backwards = corrected.max_slope(curve_of(rises[::-1]), 0.02).value
        assert forwards + backwards == len(rises) + 1


class TestFirstNonlinearity:
    """The first k >= 10 with |y[k] - L[k]| above both tolerance |L[k]| and floor."""

    def test_hand_computed(self) -> None:
        # L[k] = k. At 12, 14.4 is exactly 20 % off; at 13, 15.7 is 20.8 % off.
        curve = np.arange(20.0)
        curve[12:] = [14.4, 15.7, 14, 15, 16, 17, 18, 19]
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 13

    def test_falling_below_the_line_counts_too(self) -> None:
        curve = np.arange(20.0)
        curve[15:] = 11.0
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 15

    def test_a_straight_line_is_censored_whatever_its_slope(self) -> None:
        lines = np.array([0.0, 1e-5, 0.03, 7.0])[:, np.newaxis] * np.arange(STEPS)
        assert corrected.first_nonlinearity(lines.astype(np.float32), tolerance=0.2, floor=0.02).censored.all()

    def test_a_flat_start_leaves_its_line_when_the_curve_rises(self) -> None:
        assert corrected.first_nonlinearity(step_at(40), tolerance=0.2, floor=0.02).value == 40

    def test_a_line_that_falls_by_rounding_is_no_artefact(self) -> None:
        curve = step_at(40)
        curve[1:10] = -1e-7
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 40

    def test_departures_before_step_10_are_not_looked_at(self) -> None:
        curve = np.arange(20.0)
        curve[5] = 50.0
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).censored

    def test_ten_points_have_no_answer_and_eleven_have(self) -> None:
        value, censored = corrected.first_nonlinearity(np.zeros(10), tolerance=0.2, floor=0.02)
        assert np.isnan(value)
        assert not censored
        assert corrected.first_nonlinearity(step_at(10)[:11], tolerance=0.2, floor=0.02).value == 10


class TestAucRatio:
    """ratio[k] = (k y[k] / 2) / trapezoid area of y[0..k]; so a straight line has ratio 1 everywhere."""

    def test_hand_computed(self) -> None:
        # areas at 5..8: 4.5, 5.5, 10, 18; triangles: 2.5, 3, 28, 32; ratios: 0.56, 0.55, 2.8, 1.78
        assert corrected.auc_ratio([0, 1, 1, 1, 1, 1, 1, 8, 8], minimum_slope=0.02).value == 7

    def test_the_first_of_equal_ratios(self) -> None:
        # at 6: 3 over 0.5; at 12: 12 * 12 / 2 over 0.5 + 5 + 6.5; both are 6
        curve = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 12], dtype=np.float64)
        assert corrected.auc_ratio(curve, minimum_slope=0.02).value == 6

    @pytest.mark.parametrize("slope", [0.03, 0.1, 1.0, 7.3])
    def test_a_straight_line_is_censored(self, slope: float) -> None:
        line = (slope * np.arange(STEPS)).astype(np.float32)
        assert corrected.auc_ratio(line, minimum_slope=0.02).censored

    def test_a_curve_that_bends_downwards_is_censored(self) -> None:
        assert corrected.auc_ratio(np.sqrt(np.arange(STEPS)), minimum_slope=0.02).censored

    def test_steps_before_5_are_not_looked_at(self) -> None:
        # ratio 4 at step 4, falling after it
        assert corrected.auc_ratio([0, 0, 0, 0, 1, 1, 1, 1], minimum_slope=0.02).value == 5

    def test_a_step_curve_has_its_largest_ratio_where_it_arrives(self) -> None:
        steps = list(range(5, STEPS))
        found = corrected.auc_ratio(np.stack([step_at(step) for step in steps]), minimum_slope=0.02)
        np.testing.assert_array_equal(found.value, steps)

    def test_an_area_that_is_not_positive_has_no_ratio(self) -> None:
        curve = np.full(STEPS, -1e-7)
        curve[0] = 0
        curve[60:] = 1.0
        assert corrected.auc_ratio(curve, minimum_slope=0.02).value == 60

    def test_five_points_have_no_answer(self) -> None:
        value, censored = corrected.auc_ratio(np.arange(5.0), minimum_slope=0.02)
        assert np.isnan(value)
        assert not censored


class TestPlateauLength:
    """The first step at which the curve is at or above threshold; censored where it stays below."""

    def test_reaching_is_enough(self) -> None:
        assert corrected.plateau_length([0, 19.999, 20, 21], threshold=20).value == 2

    def test_coming_back_does_not_matter(self) -> None:
        assert corrected.plateau_length([0, 25, 3, 25], threshold=20).value == 1

    def test_staying_below_is_censored(self) -> None:
        assert corrected.plateau_length([0, 19, 19.9], threshold=20).censored

    @given(RISES, st.integers(1, 100), st.integers(1, 100))
    def test_a_higher_threshold_is_never_reached_earlier(
        self, rises: NDArray[np.int64], threshold: int, more: int
    ) -> None:
        low = corrected.plateau_length(curve_of(rises), threshold)
        high = corrected.plateau_length(curve_of(rises), threshold + more)
        assert high.censored or low.value <= high.value


class TestHalfHeight:
    """The first step at or above half of the curve's end; censored where the curve does not end above 0."""

    def test_half_itself_counts(self) -> None:
        assert corrected.half_height([0, 4, 5, 7, 10], minimum_slope=0.02).value == 2

    def test_a_peak_before_the_end_counts(self) -> None:
        assert corrected.half_height([0, 6, 0, 0, 10], minimum_slope=0.02).value == 1

    def test_the_end_is_the_last_step_and_not_the_largest(self) -> None:
        assert corrected.half_height([0, 1, 20, 3, 2], minimum_slope=0.02).value == 1

    def test_a_curve_that_ends_where_it_began(self) -> None:
        value, censored = corrected.half_height([0, 5, 9, 3, 0], minimum_slope=0.02)
        assert np.isnan(value)
        assert censored

    @given(RISES, st.floats(0.5, 100))
    def test_the_scale_of_the_curve_does_not_matter(self, rises: NDArray[np.int64], factor: float) -> None:
        """Half of the end moves with the end."""
        curve = curve_of(rises)
        np.testing.assert_array_equal(
            corrected.half_height(curve, 0.0).value, corrected.half_height(factor * curve, 0.0).value
        )

    @given(RISES)
    def test_below_half_before_and_not_below_at_the_step(self, rises: NDArray[np.int64]) -> None:
        curve = curve_of(rises)
        value, censored = corrected.half_height(curve, 0.0)
        assert bool(censored) == (curve[-1] == 0)
        if not censored:
            step = int(value)
            assert curve[step] >= curve[-1] / 2
            assert (curve[:step] < curve[-1] / 2).all()
