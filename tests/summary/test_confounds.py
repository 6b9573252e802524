import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset
from plateaulens.summary import confounds as module
from plateaulens.summary.confounds import (
    ADJUSTMENTS,
    COVARIATES,
    Changes,
    confounds_dataset,
    cut_changes,
    stored_changes,
)
from plateaulens.summary.geometry import geometry_dataset

SETTINGS = AnalysisConfig()


@pytest.fixture
def geometry(run: xr.DataTree, resampling: Resampling) -> xr.Dataset:
    return geometry_dataset(run["activations"].to_dataset(), resampling, 0.95, reference="real")


def experiment(curve: np.ndarray, path_length: np.ndarray) -> xr.Dataset:
    """One metric, types real and random, steps of length 1."""
    steps = curve.shape[-1]
    return xr.Dataset(
        {
            "curve": (("activation_type", "sample", "step", "metric"), curve[..., np.newaxis]),
            "path_length": (("activation_type", "sample"), path_length),
        },
        coords={
            "activation_type": ["real", "random"],
            "metric": ["l2"],
            "step": np.arange(steps),
            "length": ("step", np.arange(steps) * 1.0),
        },
    )


def step_curve(at: int, steps: int = 21, height: float = 50.0) -> np.ndarray:
    return np.where(np.arange(steps) >= at, height, 0.0)


class TestChanges:
    def test_stored_ones_are_paired_differences(self, run: xr.DataTree) -> None:
        steps = step_dataset(run["sensitivity"].to_dataset(), SETTINGS)
        found = stored_changes(steps, 100, "real")
        own = steps.step_value.sel(convention="corrected", statistic="max_slope", metric="l2")
        censored = steps.censored.sel(convention="corrected", statistic="max_slope", metric="l2")
        time = own.where(~censored, 100)
        np.testing.assert_allclose(found[0, 0], time - time.sel(activation_type="real"))
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1, 1]).all()  # kl has no plateau threshold

    def test_both_paths_end_at_the_nearer_target(self) -> None:
        # real rises at 8, random at 12; random's target is 11 steps away: points before step 11 are looked at
        curve = np.stack([[step_curve(8)], [step_curve(12)]])
        found = cut_changes(experiment(curve, np.array([[30.0], [11.4]])), SETTINGS, "real")
        np.testing.assert_array_equal(found[0, 0, :, 0], [0, 10 - 8])
        np.testing.assert_array_equal(found[1, 0, :, 0], [0, 10 - 8])

    def test_the_type_s_own_window_is_nothing_to_real_itself(self) -> None:
        curve = np.stack([[step_curve(8)], [step_curve(5)]])
        found = cut_changes(experiment(curve, np.array([[7.0], [30.0]])), SETTINGS, "real")
        # real's target is 7 steps away: its rise at 8 lies beyond
        np.testing.assert_array_equal(found[0, 0, :, 0], [0, 5 - 6])

    def test_far_targets_change_nothing(self, run: xr.DataTree) -> None:
        dataset = run["sensitivity_absolute"].to_dataset()
        far = dataset.assign(path_length=dataset.path_length * 1e6)
        stored = stored_changes(step_dataset(dataset, SETTINGS), 100, "real")
        np.testing.assert_array_equal(cut_changes(far, SETTINGS, "real"), stored)

    def test_no_window_no_answer(self) -> None:
        curve = np.stack([[step_curve(8)], [step_curve(5)]])
        found = cut_changes(experiment(curve, np.array([[1.5], [30.0]])), SETTINGS, "real")
        assert np.isnan(found).all()

    def test_incomplete_curves(self) -> None:
        curve = np.stack([[step_curve(8)], [np.full(21, np.nan)]])
        found = cut_changes(experiment(curve, np.array([[20.0], [np.nan]])), SETTINGS, "real")
        assert np.isnan(found[:, :, 1]).all()

    def test_reading_in_ranges_changes_nothing(self, run: xr.DataTree, monkeypatch: pytest.MonkeyPatch) -> None:
        from plateaulens.store.reading import sample_ranges

        dataset = run["sensitivity_absolute"].to_dataset()
        whole = cut_changes(dataset, SETTINGS, "real")
        monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
        np.testing.assert_array_equal(cut_changes(dataset, SETTINGS, "real"), whole)


class TestDataset:
    @pytest.fixture
    def found(self, run: xr.DataTree, geometry: xr.Dataset, resampling: Resampling) -> xr.Dataset:
        paths = {
            name: Changes(stored_changes(step_dataset(run[name].to_dataset(), SETTINGS), 100, "real"), resampling)
            for name in ("sensitivity", "plateau")
        }
        metrics = run["sensitivity"].to_dataset()["metric"]
        return confounds_dataset(paths, geometry, metrics, reference="real", confidence=0.95)

    def test_variables_are_described(self, found: xr.Dataset) -> None:
        for variable in found.variables.values():
            assert {"long_name", "units"} <= variable.attrs.keys()
        assert found.adjustment.values.tolist() == list(ADJUSTMENTS)
        assert found.covariate.values.tolist() == list(COVARIATES)
        assert found.path.values.tolist() == ["sensitivity", "plateau"]

    def test_not_adjusted_it_is_the_mean_difference(self, found: xr.Dataset, run: xr.DataTree) -> None:
        change = stored_changes(step_dataset(run["plateau"].to_dataset(), SETTINGS), 100, "real")
        cell = found.sel(path="plateau", statistic="plateau_length", metric="l2", adjustment="none")
        np.testing.assert_allclose(cell.adjusted_difference, change[1, 0].mean(axis=-1))

    def test_real_against_itself_is_0(self, found: xr.Dataset) -> None:
        cell = found.sel(activation_type="real", statistic="max_slope")
        assert (cell.adjusted_difference == 0).all()
        assert (cell.matched_difference == 0).all()
        assert cell.overlap.all()

    def test_targets_twice_as_long_have_no_overlap(
        self, run: xr.DataTree, geometry: xr.Dataset, resampling: Resampling
    ) -> None:
        moved = geometry.copy(deep=True)
        moved["target_norm"][1] = moved["target_norm"][0] * 2
        changes = stored_changes(step_dataset(run["sensitivity"].to_dataset(), SETTINGS), 100, "real")
        metrics = run["sensitivity"].to_dataset()["metric"]
        found = confounds_dataset(
            {"sensitivity": Changes(changes, resampling)}, moved, metrics, reference="real", confidence=0.95
        ).sel(activation_type="random", path="sensitivity")
        assert not found.overlap.sel(adjustment=["target_norm", "all"]).any()
        cell = found.sel(statistic="max_slope", metric="l2")
        assert cell.adjusted_difference.sel(adjustment=["target_norm", "all"]).isnull().all()
        assert cell.adjusted_difference.sel(adjustment=["none", "path_length"]).notnull().all()

    def test_fewer_samples_than_the_geometry(self, run: xr.DataTree, geometry: xr.Dataset) -> None:
        few = run["plateau"].to_dataset().isel(sample=slice(12))
        resampling = Resampling.draw(np.random.default_rng(0), samples=12, resamples=20)
        changes = Changes(stored_changes(step_dataset(few, SETTINGS), 100, "real"), resampling)
        found = confounds_dataset({"plateau": changes}, geometry, few["metric"], reference="real", confidence=0.95)
        assert (found.matched_prompts <= 12).all()
