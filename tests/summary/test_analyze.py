import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from plateaulens.compare.resampling import linked_prompts
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.store import local
from plateaulens.store.reading import open_run, open_summary
from plateaulens.store.run import RunStore
from plateaulens.store.schema import ExperimentSpec, RunSpec
from plateaulens.store.verify import verify
from plateaulens.summary import analyze as analysis
from plateaulens.summary.analyze import _linked, analyze, summarize, summarize_experiment
from plateaulens.summary.comparison import VARIABLES, with_recorded_margin
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

TYPES = ("real", "real_control", "random", "isotropic")
SPEC = synthetic_spec(20, activation_types=TYPES)
SETTINGS = AnalysisConfig(resamples=100, seed=3, examples=2)


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "synthetic.zarr"
    generate_run(path, SPEC)
    return path


@pytest.fixture(scope="module")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one experiment, which is analysed in less than half the time."""
    path = tmp_path_factory.mktemp("runs") / "small.zarr"
    generate_run(path, synthetic_spec(20, activation_types=TYPES, experiments=("plateau",)))
    return path


@pytest.fixture(scope="module")
def summary(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("summaries") / "synthetic.zarr"
    analyze(run_path, path, SETTINGS)
    return open_summary(path)


@pytest.fixture
def partial_path(tmp_path: Path) -> Path:
    """A run of which the first span of 8 samples is there."""
    path = tmp_path / "partial.zarr"
    with RunStore.create(path, SPEC, synthetic_attributes(SPEC, 0), synthetic_prompts(SPEC, 0)) as store:
        for group in ("activations", "sensitivity", "sensitivity_absolute", "plateau"):
            store.write(group, slice(0, 8), synthetic_values(SPEC, group, slice(0, 8), 0))
    return path


def contents(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


class TestSchema:
    def test_groups(self, summary: xr.DataTree) -> None:
        experiments = {"sensitivity", "sensitivity_absolute", "plateau"}
        questions = {"confounds", "distinguish", "constants"}
        assert set(summary.children) == {"prompts", "geometry"} | experiments | questions

    def test_dimensions_of_an_experiment(self, summary: xr.DataTree) -> None:
        leading = ("convention", "statistic", "metric")
        expected = {
            "step_value": (*leading, "activation_type", "sample"),
            "censored": (*leading, "activation_type", "sample"),
            "curve_mean": ("activation_type", "step", "metric"),
            "curve_interval": ("activation_type", "step", "metric", "bound"),
            "end_value": ("activation_type", "sample", "metric"),
            "example_curve": ("example", "activation_type", "step", "metric"),
            "example_sample": ("example",),
            "path_length": ("activation_type", "sample"),
            "verdict": (*leading, "activation_type"),
            "nearness": (*leading, "activation_type", "other_type"),
            **{name: (*leading, *described.dims) for name, described in VARIABLES.items()},
        }
        for name in ("sensitivity", "sensitivity_absolute", "plateau"):
            assert expected.items() <= {key: value.dims for key, value in summary[name].data_vars.items()}.items()

    def test_coordinates_are_carried_over(self, summary: xr.DataTree) -> None:
        sensitivity, plateau = summary["sensitivity"].to_dataset(), summary["plateau"].to_dataset()
        assert sensitivity.fraction[-1] == 1
        assert plateau.length[-1] == 50
        assert plateau.metric_units.values.tolist() == ["residual stream", "nat", "1"]
        assert plateau.statistic_long_name.sel(statistic="max_slope") == "max-slope step"
        assert plateau.other_type.values.tolist() == plateau.activation_type.values.tolist() == list(TYPES)

    def test_everything_is_described(self, summary: xr.DataTree) -> None:
        for node in summary.subtree:
            for name, variable in node.variables.items():
                assert {"long_name", "units"} <= variable.attrs.keys(), f"{node.path}/{name}"

    def test_the_geometry_of_the_run(self, summary: xr.DataTree, run_path: Path) -> None:
        geometry = summary["geometry"].to_dataset()
        np.testing.assert_array_equal(geometry.active_latents, open_run(run_path)["activations"].active_latents)
        np.testing.assert_allclose(geometry.path_length, summary["sensitivity"].path_length, rtol=1e-6)
        assert geometry.activation_type.values.tolist() == list(TYPES)
        assert geometry.cosine_interval.dims == ("activation_type", "bound")

    def test_the_run_s_own_values_are_carried_over(self, summary: xr.DataTree, run_path: Path) -> None:
        stored, found = open_run(run_path)["plateau"].to_dataset(), summary["plateau"].to_dataset()
        assert found.example_sample.values.tolist() == [0, 1]
        np.testing.assert_array_equal(found.example_curve[1], stored.curve[:, 1])
        np.testing.assert_array_equal(found.end_value, stored.curve[:, :, -1])
        np.testing.assert_array_equal(found.path_length, stored.path_length)
        xr.testing.assert_equal(summary["prompts"].to_dataset(), open_run(run_path)["prompts"].to_dataset())

    def test_attributes(self, summary: xr.DataTree, run_path: Path) -> None:
        run = open_run(run_path)
        assert {"kind", "analysis", "analysis_versions", "provenance"} <= summary.attrs.keys()
        for key in run.attrs.keys() - {"kind", "schema_version"}:
            assert summary.attrs[key] == run.attrs[key]
        assert AnalysisConfig.model_validate_json(summary.attrs["analysis"]) == SETTINGS
        assert json.loads(summary.attrs["analysis_versions"])["numpy"] == np.__version__
        assert json.loads(summary.attrs["provenance"]) == run["provenance"].attrs


class TestNumbers:
    def test_the_planted_order_is_found(self, summary: xr.DataTree) -> None:
        cell = {"convention": "corrected", "statistic": "max_slope", "metric": "l2"}
        found = summary["sensitivity"].to_dataset().sel(cell)
        later = found.mean_difference_interval.sel(bound="lower") > 0
        assert later.sel(activation_type=["random", "isotropic"]).all()
        assert (found.ks_interval.sel(activation_type="random", bound="lower") > 0).all()
        assert found.censored_fraction.sel(activation_type="isotropic") > 0
        nearer = found.ks_difference.sel(activation_type="real_control", other_type="isotropic")
        assert nearer < 0

    def test_points_lie_in_their_intervals(self, summary: xr.DataTree) -> None:
        for name in ("mean", "censored_fraction", "mean_difference", "ks"):
            found = summary["plateau"].to_dataset()
            point, interval = found[name], found[f"{name}_interval"]
            inside = (interval.sel(bound="lower") <= point + 1e-9) & (point <= interval.sel(bound="upper") + 1e-9)
            assert (inside | point.isnull()).all(), name


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """An experiment with seven types beside real and its control."""
    path = tmp_path_factory.mktemp("seven") / "run.zarr"
    generate_run(path, synthetic_spec(16, experiments=("plateau",), steps=51))
    return open_run(path)["plateau"].to_dataset().load()


class TestTooFewResamples:
    """No random swaps can give a p-value below 1 / (1 + resamples), which Holm multiplies by the number of types."""

    @pytest.mark.parametrize(("confidence", "least"), [(0.95, 139), (0.75, 27), (0.99, 699)])
    def test_the_least_number_is_named(self, seven: xr.Dataset, confidence: float, least: int) -> None:
        for resamples in (20, least - 1):
            few = AnalysisConfig(resamples=resamples, confidence=confidence)
            with pytest.raises(UsageError, match=f"{resamples} are too few for 7 types .* take {least} or more"):
                summarize_experiment(seven, "plateau", few)

    def test_it_is_enough(self, seven: xr.Dataset) -> None:
        """The type that is farthest away is found different with the least number."""
        found = summarize_experiment(seven, "plateau", AnalysisConfig(resamples=139, statistics=("plateau_length",)))
        cell = found.sel(convention="corrected", statistic="plateau_length", metric="l2")
        assert float(cell.ks_p_holm.min()) == pytest.approx(0.05)
        assert (cell.verdict == "different").any()

    def test_family_wise_counts_every_metric_and_statistic(self, seven: xr.Dataset) -> None:
        settings = AnalysisConfig(resamples=139, statistics=("plateau_length",), family_wise=True)
        with pytest.raises(UsageError, match=f"139 are too few for {7 * seven['metric'].size} tests at level"):
            summarize_experiment(seven, "plateau", settings)

    def test_controls_are_counted_apart(self, seven: xr.Dataset) -> None:
        controls = ("real_control", "bag", "baseline", "structured")
        with pytest.raises(UsageError, match=r"too few for 4 types at level 0\.05"):
            summarize_experiment(seven, "plateau", AnalysisConfig(resamples=50), controls=controls)


class TestReproducibility:
    @pytest.mark.slow
    def test_the_run_decides_unless_settings_are_given(self, small_path: Path, tmp_path: Path) -> None:
        config = json.loads(open_run(small_path).attrs["config"])
        found = analyze(small_path, tmp_path / "own.zarr")
        assert json.loads(found.attrs["analysis"]) == config["analysis"]
        assert found["plateau"].mean_interval.attrs["resamples"] == config["analysis"]["resamples"]

    @pytest.mark.slow
    def test_twice_gives_the_same_bytes(self, run_path: Path, tmp_path: Path) -> None:
        for name in ("first.zarr", "second.zarr"):
            analyze(run_path, tmp_path / name, SETTINGS)
        assert contents(tmp_path / "first.zarr") == contents(tmp_path / "second.zarr")

    def test_an_experiment_s_numbers_do_not_depend_on_the_others(self, run_path: Path, summary: xr.DataTree) -> None:
        run = open_run(run_path)
        alone = summarize_experiment(run["plateau"].to_dataset(), "plateau", SETTINGS)
        recorded = json.loads(run.attrs["config"])["analysis"]
        together = summary["plateau"].to_dataset()
        carried = [name for name, own in together.variables.items() if {"explored", "side"} & set(own.dims)]
        together = together.drop_vars(carried)  # of how many prompts curves are carried over, others have a say in
        xr.testing.assert_identical(with_recorded_margin(alone, recorded, "plateau"), together)

    @pytest.mark.slow
    def test_the_run_is_not_touched(self, small_path: Path, tmp_path: Path) -> None:
        before = contents(small_path)
        analyze(small_path, tmp_path / "summary.zarr", SETTINGS)
        assert contents(small_path) == before


class TestSharedTargets:
    """`resample_targets`: base prompts that share a real target come up together."""

    LINKED = SETTINGS.model_copy(update={"resample_targets": True})

    def test_intervals_change_and_points_stay(self, run_path: Path) -> None:
        run = open_run(run_path)["plateau"].to_dataset()
        rows = np.arange(20)[np.newaxis] % 19  # samples 0 and 19 have the same target
        alone, together = (summarize_experiment(run, "plateau", self.LINKED, source) for source in (None, rows))
        xr.testing.assert_equal(alone["mean"], together["mean"])
        assert not alone["ks_interval"].equals(together["ks_interval"])
        assert not alone["ks_p"].equals(together["ks_p"])

    def test_the_parts_of_a_mixture_are_targets_too(self) -> None:
        own, parts = np.stack([np.arange(20), np.full(20, -1)]), np.full((2, 20, 2), -1)
        parts[1] = 100 + np.arange(40).reshape(20, 2)
        activations = xr.Dataset(
            {
                "source_row": (("activation_type", "sample"), own),
                "mixed_row": (("activation_type", "sample", "mixed"), parts),
            },
            coords={"activation_type": ["real", "real_mixture"]},
        )
        rows = _linked(activations, self.LINKED, {})
        assert rows is not None
        assert linked_prompts(rows).max() == 19
        activations["mixed_row"][1, 7, 1] = 102  # of sample 1
        activations["mixed_row"][1, 9, 0] = 3  # the real target of sample 3
        rows = _linked(activations, self.LINKED, {})
        assert rows is not None
        groups = linked_prompts(rows)
        assert (groups[1], groups[3]) == (groups[7], groups[9])
        assert groups.max() == 17

    @pytest.mark.parametrize(
        ("types", "variants"),
        [(["real", "real_mixture"], {}), (["real", "again"], {"again": {"type": "real_mixture"}})],
    )
    def test_a_mixture_of_unknown_parts_is_refused(self, types: list[str], variants: dict[str, object]) -> None:
        shape = (("activation_type", "sample"), np.zeros((2, 5), dtype=np.int32))
        activations = xr.Dataset({"source_row": shape}, coords={"activation_type": types})
        with pytest.raises(UsageError, match=f"which prompts {types[1]} is made of.*leave real_mixture out"):
            _linked(activations, self.LINKED, {"variants": variants})
        assert _linked(activations, SETTINGS, {"variants": variants}) is None

    def test_it_is_off_unless_asked_for(self, run_path: Path, summary: xr.DataTree) -> None:
        with open_run(run_path) as run:
            tree = run.load()
            tree["activations"].to_dataset()["source_row"].values[0] = 7  # one target for all of them
            assert summarize(tree, SETTINGS)["plateau"].to_dataset().identical(summary["plateau"].to_dataset())
            with pytest.raises(UsageError, match="shared targets link 20 of 20 base prompts"):
                summarize(tree, self.LINKED)


@pytest.mark.slow
class TestIncompleteRuns:
    def test_what_is_not_there_is_left_out(self, partial_path: Path, tmp_path: Path) -> None:
        found = analyze(partial_path, tmp_path / "summary.zarr", SETTINGS)["sensitivity"].to_dataset()
        cell = found.sel(convention="corrected", statistic="max_slope", metric="l2")
        assert cell.n.sel(activation_type="real") == 8
        assert np.isnan(cell.step_value[:, 8:]).all()
        assert not cell.censored[:, 8:].any()
        assert np.isfinite(cell["mean"]).all()

    def test_a_run_without_a_single_block(self, tmp_path: Path) -> None:
        RunStore.create(tmp_path / "run.zarr", SPEC, synthetic_attributes(SPEC, 0), synthetic_prompts(SPEC, 0)).close()
        analyze(tmp_path / "run.zarr", tmp_path / "summary.zarr", SETTINGS)
        found = open_summary(tmp_path / "summary.zarr")["sensitivity"].to_dataset()
        assert (found.n == 0).all()
        assert found["mean"].isnull().all()
        assert found.sizes["example"] == 0

    def test_experiments_of_different_sizes(self, tmp_path: Path) -> None:
        experiments = (
            ExperimentSpec("sensitivity", TYPES, 20, 101, None),
            ExperimentSpec("plateau", TYPES, 9, 41, 0.5),
        )
        generate_run(tmp_path / "run.zarr", RunSpec(experiments, 20, 10, 16, 8))
        found = analyze(tmp_path / "run.zarr", tmp_path / "summary.zarr", SETTINGS)
        questions = {"confounds", "distinguish", "constants"}
        assert set(found.children) == {"prompts", "geometry", "sensitivity", "plateau"} | questions
        assert found["sensitivity"].sizes["sample"] == found["geometry"].sizes["sample"] == 20
        assert (found["plateau"].sizes["sample"], found["plateau"].sizes["step"]) == (9, 41)


class TestPlaces:
    @pytest.mark.slow
    def test_a_summary_is_replaced_and_nothing_is_left_beside_it(self, small_path: Path, tmp_path: Path) -> None:
        place = tmp_path / "deep" / "summary.zarr"
        for seed in (0, 1):
            analyze(small_path, place, SETTINGS.model_copy(update={"seed": seed}))
        assert json.loads(open_summary(place).attrs["analysis"])["seed"] == 1
        assert [path.name for path in place.parent.iterdir()] == ["summary.zarr"]

    @pytest.mark.slow
    def test_a_failure_while_writing_leaves_the_old_summary(
        self, small_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "summary.zarr"
        analyze(small_path, place, SETTINGS)
        before = contents(place)

        def fail(self: xr.DataTree, store: Path, **_: object) -> None:
            zarr.create_group(store)
            raise OSError("no space left on device")

        monkeypatch.setattr(xr.DataTree, "to_zarr", fail)
        with pytest.raises(OSError, match="no space"):
            analyze(small_path, place, SETTINGS)
        assert contents(place) == before
        assert [path.name for path in tmp_path.iterdir()] == ["summary.zarr"]

    @pytest.mark.slow
    def test_a_failure_while_exchanging_brings_the_old_one_back(
        self, small_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "summary.zarr"
        analyze(small_path, place, SETTINGS)
        before = contents(place)
        rename = Path.rename

        def fail(self: Path, target: Path) -> Path:
            if self.suffix == ".new":
                raise OSError("interrupted")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        monkeypatch.setattr(local, "exchange", lambda *_: False)  # a kernel that cannot do it in one step
        with pytest.raises(OSError, match="interrupted"):
            analyze(small_path, place, SETTINGS)
        assert contents(place) == before
        assert [path.name for path in tmp_path.iterdir()] == ["summary.zarr"]

    def test_a_run_is_never_overwritten(self, run_path: Path) -> None:
        before = contents(run_path)
        with pytest.raises(UsageError, match="is not a plateaulens summary"):
            analyze(run_path, run_path, SETTINGS)
        with pytest.raises(UsageError, match="lies inside the run"):
            analyze(run_path, run_path / "summary.zarr", SETTINGS)
        assert contents(run_path) == before

    def test_another_store_is_no_place_either(self, run_path: Path, small_path: Path) -> None:
        before = contents(small_path)
        with pytest.raises(UsageError, match=r"lies inside the store .*small\.zarr: choose another place"):
            analyze(run_path, small_path / "deep" / "summary.zarr", SETTINGS)
        assert contents(small_path) == before

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="plateaulens collect"):
            analyze(tmp_path / "none.zarr", tmp_path / "summary.zarr", SETTINGS)
        assert not (tmp_path / "summary.zarr").exists()

    def test_nothing_to_compare_with(self, run_path: Path) -> None:
        experiment = open_run(run_path)["plateau"].to_dataset().isel(activation_type=[1, 2])
        with pytest.raises(UsageError, match="experiment plateau has no activation type 'real'"):
            summarize_experiment(experiment, "plateau", SETTINGS)


class TestStatistics:
    """The analysis names the step statistics, and may leave out what none of its experiments is judged by."""

    @pytest.mark.slow
    def test_at_equal_geometry_the_paper_s_are_compared_that_it_has(self, tmp_path: Path) -> None:
        spec = RunSpec((ExperimentSpec("sensitivity", TYPES, 20, 101, None),), 20, 10, 16, 8)
        generate_run(tmp_path / "run.zarr", spec)
        settings = SETTINGS.model_copy(update={"statistics": ("half_height", "max_slope")})
        analyze(tmp_path / "run.zarr", tmp_path / "summary.zarr", settings)
        found = open_summary(tmp_path / "summary.zarr")
        assert found["sensitivity"].to_dataset()["statistic"].values.tolist() == ["half_height", "max_slope"]
        assert found["confounds"].to_dataset()["statistic"].values.tolist() == ["max_slope"]

    def test_what_an_experiment_is_judged_by_must_be_there(self, run_path: Path) -> None:
        settings = SETTINGS.model_copy(update={"statistics": ("half_height", "max_slope")})
        with pytest.raises(UsageError, match="plateau is judged by plateau_length"):
            summarize(open_run(run_path), settings)


@pytest.mark.slow
def test_large_summaries_are_chunked_along_samples(
    small_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "SAMPLES_PER_CHUNK", 6)
    analyze(small_path, tmp_path / "summary.zarr", SETTINGS)
    array = zarr.open_array(tmp_path / "summary.zarr" / "plateau" / "step_value", mode="r")
    assert array.chunks == (2, 4, 3, 4, 6)


@pytest.mark.slow
def test_damage_to_a_summary_would_show(small_path: Path, tmp_path: Path) -> None:
    place = tmp_path / "summary.zarr"
    analyze(small_path, place, SETTINGS)
    assert verify(place) == []
    chunk = next(path for path in place.glob("plateau/mean/c/**/*") if path.is_file())
    chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    (problem,) = verify(place)
    assert problem.startswith("plateau/mean")


def test_a_summary_in_memory_outlives_its_run(run_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(run_path, copy)
    with open_run(copy) as run:
        found = summarize(run, SETTINGS)
    shutil.rmtree(copy)
    for node in found.subtree:
        node.to_dataset().load()
