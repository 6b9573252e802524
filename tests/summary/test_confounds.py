import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.confounds import matched
from plateaulens.compare.multiplicity import adjust
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset
from plateaulens.summary import analyze
from plateaulens.summary import confounds as module
from plateaulens.summary.confounds import (
    ADJUSTMENTS,
    COVARIATES,
    Changes,
    _holm,
    _words,
    confounds_dataset,
    cut_changes,
    stored_changes,
)
from plateaulens.summary.geometry import geometry_dataset
from plateaulens.summary.verdicts import fate, movement

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


def changes_of(group: xr.Dataset) -> Changes:
    """Those of an experiment's stored curves, every base prompt by itself."""
    stored = stored_changes(step_dataset(group, SETTINGS), 100, "real")
    return Changes(stored, group["path_length"].to_numpy(), np.arange(group.sizes["sample"]))


class TestDataset:
    @pytest.fixture
    def found(self, run: xr.DataTree, geometry: xr.Dataset) -> xr.Dataset:
        paths = {name: changes_of(run[name].to_dataset()) for name in ("sensitivity", "plateau")}
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
        assert (cell.adjusted_change == 0).all()
        assert (cell.matched_change == 0).all()
        assert cell.overlap.all()

    def test_targets_twice_as_long_have_no_overlap(self, run: xr.DataTree, geometry: xr.Dataset) -> None:
        moved = geometry.copy(deep=True)
        moved["target_norm"][1] = moved["target_norm"][0] * 2
        changes = changes_of(run["sensitivity"].to_dataset())
        metrics = run["sensitivity"].to_dataset()["metric"]
        found = confounds_dataset({"sensitivity": changes}, moved, metrics, reference="real", confidence=0.95).sel(
            activation_type="random", path="sensitivity"
        )
        assert not found.overlap.sel(adjustment=["target_norm", "all"]).any()
        cell = found.sel(statistic="max_slope", metric="l2")
        assert cell.adjusted_difference.sel(adjustment=["target_norm", "all"]).isnull().all()
        assert cell.adjusted_difference.sel(adjustment=["none", "path_length"]).notnull().all()

    def test_fewer_samples_than_the_geometry(self, run: xr.DataTree, geometry: xr.Dataset) -> None:
        few = run["plateau"].to_dataset().isel(sample=slice(12))
        changes = {"plateau": changes_of(few)}
        found = confounds_dataset(changes, geometry, few["metric"], reference="real", confidence=0.95)
        assert (found.matched_prompts <= 12).all()

    def test_the_change_is_what_the_adjustment_takes_away(self, found: xr.Dataset) -> None:
        raw = found.adjusted_difference.sel(adjustment="none", drop=True)
        np.testing.assert_allclose(found.adjusted_change, (raw - found.adjusted_difference), atol=1e-9)
        np.testing.assert_allclose(
            found.matched_change, (raw - found.matched_difference).transpose(*found.matched_change.dims), atol=1e-9
        )

    def test_words_are_those_of_the_intervals(self, found: xr.Dataset) -> None:
        cell = found.sel(path="sensitivity", statistic="max_slope", metric="l2", activation_type="random")
        raw = cell.adjusted_difference_interval.sel(adjustment="none")
        own = cell.sel(adjustment="path_length")
        is_shown = float(own.adjusted_change_p_holm) <= 0.05
        change = own.adjusted_change_interval if is_shown else (-1.0, 1.0)
        assert own.adjusted_fate.item() == fate(raw, own.adjusted_difference_interval, change)
        difference = float(cell.adjusted_difference.sel(adjustment="none"))
        assert own.adjusted_movement.item() == movement(difference, float(own.adjusted_change), change)

    def test_a_change_is_claimed_among_all_that_are_asked_about(self, run: xr.DataTree, geometry: xr.Dataset) -> None:
        paths = {"sensitivity": changes_of(run["sensitivity"].to_dataset())}
        metrics = run["sensitivity"].to_dataset()["metric"]
        found = confounds_dataset(paths, geometry, metrics, reference="real", confidence=0.95)
        types = [str(name) for name in found.activation_type.values if name not in {"real", "real_control"}]
        for name in ("adjusted", "matched"):
            p, holm = found[f"{name}_change_p"], found[f"{name}_change_p_holm"]
            ends = found[f"{name}_change_interval"]
            excludes = (ends.sel(bound="lower") > 0) | (ends.sel(bound="upper") < 0)
            np.testing.assert_array_equal((p < 0.05).where(p.notnull()), excludes.where(p.notnull()))
            assert holm.sel(activation_type="real").isnull().all()
            family = p.sel(activation_type=types).transpose(..., "activation_type").to_numpy().reshape(-1, len(types))
            own = holm.sel(activation_type=types).transpose(..., "activation_type").to_numpy().reshape(-1, len(types))
            for raw, adjusted in zip(family, own, strict=True):
                np.testing.assert_allclose(adjusted, adjust(raw, "holm"))
            claimed = found[f"{name}_movement"].isin(["shrinks", "grows", "turns"])
            np.testing.assert_array_equal(claimed.sel(activation_type=types), (holm < 0.05).sel(activation_type=types))

    @pytest.mark.parametrize(("p", "word"), [(0.02, "shrinks"), (0.04, "undecided")])
    def test_one_of_two_that_its_own_interval_would_claim(self, found: xr.Dataset, p: float, word: str) -> None:
        """Holm doubles the smaller of two p-values: 0.04 becomes 0.08."""
        changed = found.copy(deep=True)
        changed["adjusted_difference"][:] = 9.0
        changed["adjusted_change"][:] = 2.0
        changed["adjusted_change_interval"][:] = np.array([0.1, 3.9])
        changed["adjusted_change_p"][:] = 0.5
        changed["adjusted_change_p"].loc[{"activation_type": "random"}] = p
        changed = changed.assign(_holm("adjusted", changed, "real", ("real_control",)))
        judged = changed.assign(_words("adjusted", changed, changed.sel(adjustment="none", drop=True)))
        words = judged["adjusted_movement"]
        assert set(words.sel(activation_type="random").to_numpy().flat) == {word}
        assert set(words.sel(activation_type="isotropic").to_numpy().flat) == {"undecided"}


class TestOwnPathLength:
    """Every experiment is compared at equal lengths of its own paths, from where they start to where they lead."""

    def planted(self, run: xr.DataTree, name: str) -> tuple[xr.Dataset, Changes]:
        """Steps of `random` that are later by exactly as much as its own path is longer, plus 1."""
        group = run[name].to_dataset().load()
        length = group["path_length"].transpose("activation_type", "sample").to_numpy().astype(np.float64)
        change = np.broadcast_to(1 + 0.25 * (length - length[0]), (2, 3, *length.shape))
        return group, Changes(change, length, np.arange(length.shape[1]))

    def test_plateaus_lead_to_a_gaussian_draw(self, run: xr.DataTree, geometry: xr.Dataset) -> None:
        group, changes = self.planted(run, "plateau")
        far = np.abs(changes.path_length - geometry["path_length"].to_numpy())
        assert far.max() > 10, "the distance from base to target is another one"
        found = confounds_dataset({"plateau": changes}, geometry, group["metric"], reference="real", confidence=0.95)
        cell = found.sel(adjustment="path_length", activation_type="random")
        np.testing.assert_allclose(cell.adjusted_difference, 1, atol=1e-6)
        np.testing.assert_allclose(cell.adjusted_difference_interval, 1, atol=1e-6)
        kept = matched(changes.path_length[1], changes.path_length[0])
        assert (found.sel(covariate="path_length", activation_type="random").matched_prompts == kept.sum()).all()

    def test_an_analysis_takes_the_lengths_of_each_experiment(
        self, run: xr.DataTree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Changes] = {}
        monkeypatch.setattr(analyze, "confounds_dataset", lambda paths, *_, **__: seen.update(paths))
        experiments = {name: run[name].to_dataset() for name in ("sensitivity", "sensitivity_absolute", "plateau")}
        steps = {name: step_dataset(group, SETTINGS) for name, group in experiments.items()}
        resamplings = dict.fromkeys(
            experiments, Resampling.draw(np.random.default_rng(0), samples=20, resamples=2, clusters=np.arange(20) // 2)
        )
        analyze._confounds(experiments, {**steps, "geometry": xr.Dataset()}, resamplings, SETTINGS, ())
        for name, changes in seen.items():
            expected = experiments[name.removesuffix("_to_target")]["path_length"]
            np.testing.assert_array_equal(changes.path_length, expected)
            assert changes.groups.tolist() == (np.arange(20) // 2).tolist()
        assert "sensitivity_absolute_to_target" in seen
