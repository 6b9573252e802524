import numpy as np
import pytest
import xarray as xr
from statsmodels.stats.multitest import multipletests

from plateaulens.compare.distributions import BY_METHOD, compare_types
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset
from plateaulens.summary.comparison import P_VALUES, VARIABLES, compare_dataset

SETTINGS = AnalysisConfig(confidence=0.8, resamples=200)
ADJUSTED = {f"{name}_{method}": described.dims for name, described in P_VALUES.items() for method in ("holm", "bh")}
VERDICTS = {
    "verdict": ("activation_type",),
    "exceeds_chance": ("activation_type",),
    "direction": ("activation_type",),
    "paired_relation": ("activation_type",),
    "conclusion": ("activation_type",),
    "nearness": ("activation_type", "other_type"),
}


AT_END = {"last_step_fraction", "last_step_large"}


def compare(steps: xr.Dataset, resampling: Resampling) -> xr.Dataset:
    return compare_dataset(steps, resampling, SETTINGS, np.random.default_rng(1), last_step=100, margin=0.12)


@pytest.fixture
def steps(run: xr.DataTree) -> xr.Dataset:
    return step_dataset(run["sensitivity"].to_dataset(), AnalysisConfig())


def test_every_cell_is_the_comparison_of_its_values(steps: xr.Dataset, resampling: Resampling) -> None:
    found = compare(steps, resampling)
    cell = {"convention": "authors", "statistic": "auc_ratio", "metric": "kl"}
    values = steps.sel(cell)
    expected = compare_types(
        values.step_value.values,
        values.censored.values,
        resampling,
        Swaps.draw(np.random.default_rng(1), samples=20, swaps=200),
        reference=0,
        last_step=100,
        margin=0.12,
        settings=SETTINGS,
        rng=np.random.default_rng(),
    )
    assert set(found.data_vars) == VARIABLES.keys() | ADJUSTED.keys() | VERDICTS.keys() | AT_END
    assert expected.keys() - VARIABLES.keys() == {f"{name}_interval_by_method" for name in BY_METHOD}
    for name in VARIABLES:
        np.testing.assert_array_equal(found[name].sel(cell), expected[name])


def test_the_share_at_the_last_step_is_of_all_curves(steps: xr.Dataset, resampling: Resampling) -> None:
    """Censored curves are among them and not at the end, whatever value they have; incomplete ones are left out."""
    changed = steps.copy(deep=True)
    where = {"convention": "corrected", "statistic": "max_slope", "metric": "l2", "activation_type": "random"}
    changed["step_value"].loc[where], changed["censored"].loc[where] = 50.0, False
    value, censored = changed["step_value"].loc[where], changed["censored"].loc[where]
    value[:2], value[2:4], censored[3:5], value[5] = 100.0, 100.0, True, np.nan
    found = compare(changed, resampling)
    assert float(found["last_step_fraction"].sel(where)) == 3 / 19
    assert bool(found["last_step_large"].sel(where))
    value[:4] = 50.0
    found = compare(changed, resampling)
    assert float(found["last_step_fraction"].sel(where)) == 0
    assert not bool(found["last_step_large"].sel(where))


@pytest.mark.parametrize("tables", [1, 3])
def test_family_wise_is_holm_over_everything_that_the_tables_say(
    tables: int, steps: xr.Dataset, resampling: Resampling
) -> None:
    """The chance of any wrong rejection in `tables` tables is held: Holm within each, Bonferroni between them."""
    settings = SETTINGS.model_copy(update={"family_wise": True})
    found = compare_dataset(
        steps, resampling, settings, np.random.default_rng(1), last_step=100, margin=0.12, tables=tables
    )
    plain = compare(steps, resampling)
    assert found.verdict.attrs["adjustment"] == "Holm over the whole table"
    for name in ("ks_p", "mean_difference_p"):
        np.testing.assert_array_equal(found[name], plain[name])
        for convention in found.convention:
            own = found.sel(convention=convention)
            for members in (own.is_control, ~own.is_control):
                p = own[name].where(members).to_numpy()
                adjusted = own[f"{name}_holm"].where(members).to_numpy()
                tested = ~np.isnan(p)
                if tested.any():
                    expected = np.minimum(tables * multipletests(p[tested], method="holm")[1], 1)
                    np.testing.assert_allclose(adjusted[tested], expected)
        assert (
            (found[f"{name}_holm"] >= plain[f"{name}_holm"] - 1e-12).where(plain[f"{name}_holm"].notnull(), True).all()
        )
        np.testing.assert_array_equal(found[f"{name}_bh"], plain[f"{name}_bh"])


def test_axes_are_named_in_order_and_described(steps: xr.Dataset, resampling: Resampling) -> None:
    found = compare(steps, resampling)
    own = {name: described.dims for name, described in VARIABLES.items()} | ADJUSTED | VERDICTS
    for name, dims in own.items():
        assert found[name].dims == ("convention", "statistic", "metric", *dims)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found.mean_interval.attrs == {
        "long_name": "80 % interval: mean step",
        "units": "step",
        "confidence": 0.8,
        "resamples": 200,
        "method": "studentised, at least Student's t",
    }
    assert found.ks_equivalence_p.attrs["margin"] == found.verdict.attrs["margin"] == 0.12
    assert found["quantile"].values.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert found.bound.values.tolist() == ["lower", "upper"]
    assert found.other_type.values.tolist() == found.activation_type.values.tolist()


def test_intervals_say_their_method(steps: xr.Dataset, resampling: Resampling) -> None:
    found = compare(steps, resampling)
    for name in (name for name in VARIABLES if "_interval" in name):
        assert {"confidence", "resamples", "method"} <= found[name].attrs.keys(), name


def test_the_reference_is_real_wherever_it_stands(steps: xr.Dataset, resampling: Resampling) -> None:
    turned = steps.isel(activation_type=[2, 1, 0])
    found = compare(turned, resampling)
    xr.testing.assert_equal(found.ks, compare(steps, resampling).ks.isel(activation_type=[2, 1, 0]))
    assert (found.ks.sel(activation_type="real", statistic="max_slope") == 0).all()
