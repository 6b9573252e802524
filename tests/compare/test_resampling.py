import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling, percentile_interval, quantile, ratio

FLOATS = st.floats(-1e6, 1e6)


def draw(samples: int, resamples: int, seed: int = 0) -> Resampling:
    return Resampling.draw(np.random.default_rng(seed), samples=samples, resamples=resamples)


class TestDraw:
    def test_row_0_is_the_sample_and_every_row_has_its_size(self) -> None:
        counts = draw(30, 50).rows
        assert counts.shape == (51, 30)
        assert (counts[0] == 1).all()
        assert (counts.sum(axis=1) == 30).all()

    def test_the_same_generator_gives_the_same_bytes(self) -> None:
        assert draw(30, 50).rows.tobytes() == draw(30, 50).rows.tobytes()
        assert draw(30, 50).rows.tobytes() != draw(30, 50, seed=1).rows.tobytes()

    def test_counts_have_the_moments_of_drawing_with_replacement(self) -> None:
        counts = draw(50, 4000).rows[1:]
        np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
        assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.02)

    def test_one_base_prompt(self) -> None:
        assert (draw(1, 5).rows == 1).all()


def test_a_ratio_to_nothing_does_not_exist() -> None:
    np.testing.assert_array_equal(ratio(np.array([3.0, 0.0]), np.array([2.0, 0.0])), [1.5, np.nan])
    np.testing.assert_array_equal(ratio(np.array([[4.0], [6.0]]), np.array([2.0, 0.0])), [[2, np.nan], [3, np.nan]])


class TestPercentileInterval:
    @given(
        arrays.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=FLOATS),
        st.floats(0.01, 0.99),
    )
    def test_quantiles_interpolate_linearly_between_draws(self, draws: NDArray[np.float64], probability: float) -> None:
        np.testing.assert_allclose(quantile(draws, probability), np.quantile(draws, probability, axis=0), atol=1e-6)

    def test_the_bounds_cut_off_equal_tails(self) -> None:
        draws = np.arange(101.0)
        np.testing.assert_allclose(percentile_interval(draws, confidence=0.9), [5, 95])

    def test_nan_draws_are_set_aside(self) -> None:
        draws = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
        np.testing.assert_allclose(percentile_interval(draws, 0.5), [[1.5, 2.5], [np.nan, np.nan]])

    def test_constant_draws_give_that_point(self) -> None:
        np.testing.assert_array_equal(percentile_interval(np.full(7, 0.1), 0.95), [0.1, 0.1])

    @given(arrays.arrays(np.float64, 25, elements=st.integers(-100, 100).map(float)), st.integers(-5, 5))
    def test_shifting_the_draws_shifts_the_interval(self, draws: NDArray[np.float64], shift: int) -> None:
        np.testing.assert_allclose(
            percentile_interval(draws + shift, 0.9), percentile_interval(draws, 0.9) + shift, atol=1e-9
        )
