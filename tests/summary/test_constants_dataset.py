"""Tests of plateaulens.summary.constants: the report's own conclusions, drawn again with constants moved."""

import json

import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.reading import sample_ranges
from plateaulens.summary import constants as module
from plateaulens.summary.analyze import _constants, summarize_experiment
from plateaulens.summary.comparison import compare_dataset
from plateaulens.summary.constants import STORED, cases, constants_dataset

SETTINGS = AnalysisConfig(resamples=200)
MARGIN = 0.15


@pytest.fixture
def experiment(run: xr.DataTree) -> xr.Dataset:
    """`random` and `isotropic` in the parts of structured and of a variant of it."""
    group = run["sensitivity"].to_dataset()
    renamed = group["activation_type"].copy(
        data=np.array(["real", "structured", "near"], dtype=np.dtypes.StringDType())
    )
    return group.assign_coords(activation_type=renamed)


def compare(name: str, steps: xr.Dataset, last: int) -> xr.Dataset:
    """The comparison of an experiment of 20 base prompts."""
    rng = np.random.default_rng([0, *name.encode()])
    resampling = Resampling.draw(rng, samples=20, resamples=SETTINGS.resamples)
    return compare_dataset(steps, resampling, SETTINGS, rng, last_step=last, margin=MARGIN)


def compute(experiment: xr.Dataset) -> xr.Dataset:
    targets = {"anchor_cosine": 0.42, "variants": {"near": {"type": "structured", "anchor_cosine": 0.2}}}
    chosen = cases(["sensitivity"], ("real", "structured", "near"), SETTINGS, targets)
    return constants_dataset({"sensitivity": experiment}, chosen, compare, types=["real", "structured"])


def of(group: xr.Dataset, **wanted: object) -> xr.Dataset:
    """The cases whose coordinates have these values."""
    found = [group[name].to_numpy() == value for name, value in wanted.items()]
    return group.isel(case=np.flatnonzero(np.all(found, axis=0)))


def test_variables(experiment: xr.Dataset) -> None:
    found = compute(experiment)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found.mean_difference.dims == ("case", "metric", "activation_type")
    assert found.ks_difference_interval.dims == ("case", "metric", "activation_type", "other_type", "bound")
    assert found.activation_type.values.tolist() == ["real", "structured"]
    assert found.conclusion.attrs["adjustment"] == "Holm"


def test_the_variant_stands_in_for_its_type(experiment: xr.Dataset) -> None:
    own = of(compute(experiment), constant="structured.anchor_cosine", statistic="max_slope")
    curve = experiment["curve"].sel(metric="l2")
    peak, rises = curve.diff("step").argmax("step") + 1, curve.diff("step").max("step")
    time = peak.where(rises > SETTINGS.minimum_slope["l2"])
    for value, name in ((0.2, "near"), (0.42, "structured")):
        cell = of(own, value=value).sel(metric="l2", activation_type="structured")
        expected = (time.sel(activation_type=name) - time.sel(activation_type="real")).mean()
        assert cell.mean_difference.item() == pytest.approx(float(expected))
        assert bool(cell.is_default) is (name == "structured")


def test_the_family_is_all_types_of_the_run(experiment: xr.Dataset) -> None:
    """The variant is tested in the report beside its type, so it counts among the tests here too."""
    steps = step_dataset(experiment, SETTINGS).sel(convention=["corrected"], statistic=["max_slope"])
    whole = compare("sensitivity", steps, 100).sel(activation_type=["real", "structured"])
    own = of(compute(experiment), constant="minimum_slope", statistic="max_slope", value=1.0)
    np.testing.assert_array_equal(own["conclusion"].isel(case=0), whole["conclusion"].squeeze(drop=True))


def test_reading_in_ranges_changes_nothing(experiment: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(experiment)
    monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
    xr.testing.assert_identical(compute(experiment), whole)


def test_what_changes_is_marked(experiment: xr.Dataset) -> None:
    """No curve rises by a hundred times the smallest slope of L2 and KL: then nothing is said of any type."""
    settings = SETTINGS.model_copy(update={"minimum_slope": {"l2": 1.0, "kl": 1.0, "js": 1.0}})
    chosen = [
        case
        for case in cases(["sensitivity"], ("real", "structured", "near"), settings, {})
        if (case.statistic, case.constant) == ("max_slope", "minimum_slope")
    ]
    types = ["real", "structured"]
    found = constants_dataset({"sensitivity": experiment}, chosen, compare, types=types).sel(metric="l2")
    assert not of(found, value=1.0)["conclusion_changed"].any()
    moved = found["conclusion"] != of(found, value=1.0)["conclusion"].isel(case=0)
    np.testing.assert_array_equal(found["conclusion_changed"], moved)
    assert moved.any()


def test_with_nothing_moved_it_is_the_report(run: xr.DataTree) -> None:
    """Every estimate and every word, for every type, pair, metric and statistic, of an experiment analysed as such."""
    targets = json.loads(run.attrs["config"])["targets"]
    for name in ("sensitivity", "plateau"):
        experiment = run[name].to_dataset()
        report = summarize_experiment(experiment, name, SETTINGS).sel(convention="corrected")
        constants = _constants({name: experiment}, targets, SETTINGS, None, 2)
        unmoved = of(constants, is_default=True)
        assert unmoved.sizes["case"] >= 2
        for case in range(unmoved.sizes["case"]):
            own = unmoved.isel(case=case)
            there = report.sel(statistic=str(own["statistic"].item()))
            for variable in STORED:
                np.testing.assert_array_equal(own[variable], there[variable].transpose(*own[variable].dims), variable)
            assert not own["conclusion_changed"].any()
            assert not own["nearness_changed"].any()
