import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from plateaulens.compare.multiplicity import Method, adjust, adjust_families, both_ways, once_per_pair

P_VALUES = arrays.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))


@pytest.mark.parametrize("seed", range(6))
def test_equals_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(0, 0.3, 1 + 3 * seed), 2)  # some of them equal
    np.testing.assert_allclose(adjust(p, "holm"), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(adjust(p, "bh"), multipletests(p, method="fdr_bh")[1], atol=1e-12)


@given(P_VALUES)
def test_benjamini_hochberg_is_between_the_raw_p_values_and_holm(p: NDArray[np.float64]) -> None:
    assert (p <= adjust(p, "bh") + 1e-12).all()
    assert (adjust(p, "bh") <= adjust(p, "holm") + 1e-12).all()


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_nan_is_no_test(method: Method) -> None:
    p = np.array([[0.01, np.nan], [np.nan, 0.04]])
    np.testing.assert_allclose(adjust(p, method)[[0, 1], [0, 1]], adjust(np.array([0.01, 0.04]), method))
    assert np.isnan(adjust(p, method)[[0, 1], [1, 0]]).all()
    assert np.isnan(adjust(np.full(3, np.nan), method)).all()


def test_families_are_adjusted_each_for_itself() -> None:
    p = np.array([[0.01, 0.02], [0.03, 0.9]])
    np.testing.assert_allclose(adjust_families(p, 1, "holm"), [[0.02, 0.02], [0.06, 0.9]])
    np.testing.assert_allclose(adjust_families(p, 2, "holm"), adjust(p, "holm"))


def test_a_pair_is_tested_once() -> None:
    p = np.array([[np.nan, 0.01, 0.2], [0.01, np.nan, 0.03], [0.2, 0.03, np.nan]])
    once = once_per_pair(p)
    assert np.isfinite(once).sum() == 3
    np.testing.assert_array_equal(both_ways(once), p)
