import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.multiplicity import adjust
from plateaulens.config import AnalysisConfig
from plateaulens.summary.comparison import P_VALUES, adjusted_p_values, verdicts

TYPES = ["real", "real_control", "random", "bag"]
STATISTICS = ["max_slope", "first_nonlinearity", "plateau_length"]
LEADING = {"convention": 2, "statistic": 3, "metric": 2}


@pytest.fixture
def comparison() -> xr.Dataset:
    rng = np.random.default_rng(0)
    variables = {}
    for name, described in P_VALUES.items():
        p = rng.uniform(0, 0.2, (*LEADING.values(), *(len(TYPES) for _ in described.dims)))
        if "other_type" in described.dims:
            p = np.minimum(p, np.swapaxes(p, -1, -2))
            p[..., 0, :] = p[..., :, 0] = p[..., np.arange(4), np.arange(4)] = np.nan
        else:
            p[..., 0] = np.nan
        variables[name] = ((*LEADING, *described.dims), p)
    difference = rng.normal(size=(*LEADING.values(), 4, 4))
    variables["ks_difference"] = ((*LEADING, "activation_type", "other_type"), difference)
    for name, value in (("n_pairs", 100), ("censored_fraction", 0.05)):
        variables[name] = ((*LEADING, "activation_type"), np.full((*LEADING.values(), 4), value))
    for name, steps in (("step_value", 50.0), ("censored", False)):
        variables[name] = ((*LEADING, "activation_type", "sample"), np.full((*LEADING.values(), 4, 100), steps))
    interval = (*LEADING, "activation_type", "bound")
    ends = np.sort(rng.normal(size=(*LEADING.values(), 4, 2)), axis=-1)
    variables["mean_difference_interval"] = (interval, ends)
    variables["censored_fraction_interval"] = (interval, np.broadcast_to([0.0, 0.1], ends.shape))
    # All point where the mean points, but for one type of one cell.
    side = np.sign(ends.mean(axis=-1))
    for name in ("median_difference", "paired_delta", "restricted_mean_difference"):
        variables[name] = ((*LEADING, "activation_type"), side.copy())
    variables["median_difference"][1][0, 0, 0, 3] *= -1
    variables["paired_delta_interval"] = (interval, side[..., np.newaxis] * [1.0, 1.0])
    coordinates = {"activation_type": TYPES, "other_type": TYPES, "statistic": STATISTICS, "metric": ["l2", "kl"]}
    families = (("statistic", "metric"), np.full((3, 2), "paper"))
    controls = ("activation_type", [name == "real_control" for name in TYPES])
    found = xr.Dataset(variables, coords={**coordinates, "family": families, "is_control": controls})
    found["ks_equivalence_p"].attrs["margin"] = 0.15
    return found


def test_holm_is_within_a_cell_and_bh_over_the_convention(comparison: xr.Dataset) -> None:
    found, raw = adjusted_p_values(comparison), comparison.ks_p
    cell = {"convention": 1, "statistic": 2, "metric": 0}
    np.testing.assert_allclose(found.ks_p_holm[cell][2:], adjust(raw[cell].values[2:], "holm"))
    np.testing.assert_allclose(found.ks_p_bh[1, ..., 2:], adjust(raw[1, ..., 2:].values, "bh"))


def test_a_family_that_is_declared_apart_is_adjusted_apart(comparison: xr.Dataset) -> None:
    comparison["family"][1, 1] = "other"
    found, raw = adjusted_p_values(comparison).ks_p_bh, comparison.ks_p
    member = (comparison["family"] == "paper").values
    np.testing.assert_allclose(found.values[0, 1, 1, 2:], adjust(raw.values[0, 1, 1, 2:], "bh"))
    np.testing.assert_allclose(found.values[0, member][:, 2:], adjust(raw.values[0, member][:, 2:], "bh"))


def test_the_control_is_a_family_of_its_own(comparison: xr.Dataset) -> None:
    found = adjusted_p_values(comparison)
    np.testing.assert_array_equal(found.ks_p_holm[..., 1], comparison.ks_p[..., 1])
    np.testing.assert_allclose(found.ks_p_bh[0, ..., 1], adjust(comparison.ks_p[0, ..., 1].values, "bh"))
    pairs, raw = found.ks_difference_p_holm[0, 0, 0], comparison.ks_difference_p[0, 0, 0]
    assert pairs[2, 3] == raw[2, 3]  # the only pair without the control
    np.testing.assert_allclose(pairs[1, 2:], adjust(raw[1, 2:].values, "holm"))


def test_pairs_are_symmetric_and_the_reference_is_in_none(comparison: xr.Dataset) -> None:
    found = adjusted_p_values(comparison)
    for name in ("ks_difference_p_holm", "ks_difference_p_bh"):
        values = found[name].values
        np.testing.assert_array_equal(values, np.swapaxes(values, -1, -2))
        assert np.isnan(values[..., 0, :]).all()
        assert np.isfinite(values[..., 1, 2:]).all()
    assert found.ks_p_holm.isnull().sum() == 12


def test_verdicts_rest_on_adjusted_p_values(comparison: xr.Dataset) -> None:
    comparison = comparison.assign(adjusted_p_values(comparison).data_vars)
    settings = AnalysisConfig(confidence=0.9)
    found = verdicts(comparison, "real", settings)
    same, different = (comparison[f"{name}_holm"] <= 0.1 for name in ("ks_equivalence_p", "ks_p"))
    words = found.verdict
    assert (words.values[..., 0] == "undefined").all()
    np.testing.assert_array_equal(words == "equivalent", same)
    np.testing.assert_array_equal(words == "different", ~same & different)
    nearer = (comparison.ks_difference_p_holm <= 0.1) & (comparison.ks_difference < 0)
    np.testing.assert_array_equal(found.nearness == "nearer", nearer)
    corrected = comparison.mean_difference_p_holm <= 0.1
    ends = comparison.mean_difference_interval
    agree = comparison.median_difference == comparison.paired_delta
    np.testing.assert_array_equal(found.direction == "later", corrected & (ends[..., 0] > 0) & agree)
    np.testing.assert_array_equal(found.direction == "earlier", corrected & (ends[..., 1] < 0) & agree)
    assert not (found.direction == "mixed").where(agree, other=False).any()
    np.testing.assert_array_equal(found.exceeds_chance, different)
    control = words.activation_type == "real_control"
    shorter = (words == "different") & (found.direction == "earlier") & (words.statistic == "plateau_length")
    np.testing.assert_array_equal(found.conclusion == "shorter", shorter & ~control)
    np.testing.assert_array_equal(found.conclusion == "false alarm", different & control)
    plain = words.isin(["undecided", "undefined"]) | ((words == "equivalent") & ~different)
    assert (found.conclusion.where(plain, words) == words).all()
    both = (words == "equivalent") & different & ~control
    assert both.any()
    assert all(word.startswith("equivalent, ") for word in found.conclusion.values[both.values])
    assert set(np.unique(words.values.astype(object))) == {"equivalent", "different", "undecided", "undefined"}
    assert found.verdict.attrs["alpha"] == pytest.approx(0.1)
    assert found.verdict.attrs["margin"] == 0.15


def test_a_run_may_have_several_controls(comparison: xr.Dataset) -> None:
    """They form a family of their own together, and whatever exceeds chance among them is a false alarm."""
    comparison["is_control"][:] = [False, True, False, True]
    comparison["ks_p"][:] = [np.nan, 0.04, 0.02, 0.01]
    found = adjusted_p_values(comparison)
    np.testing.assert_allclose(found.ks_p_holm[0, 0, 0, 1:], [0.04, 0.02, 0.02])
    judged = verdicts(comparison.assign(found.data_vars), "real", AnalysisConfig())
    assert (judged.conclusion[..., [1, 3]] == "false alarm").all()
    assert (judged.conclusion[..., 2] != "false alarm").all()
