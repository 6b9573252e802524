import numpy as np
import pytest
import xarray as xr
from tests.distance import ks_distance

from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.curves import StepValues
from plateaulens.store.reading import sample_ranges
from plateaulens.summary import constants as module
from plateaulens.summary.constants import cases, conclusions, constants_dataset

SETTINGS = AnalysisConfig()
TYPES = ("real", "baseline", "structured")


@pytest.fixture
def resampling() -> Resampling:
    return Resampling.draw(np.random.default_rng(0), samples=20, resamples=100)


@pytest.fixture
def experiment(run: xr.DataTree) -> xr.Dataset:
    """`random` and `isotropic` in the parts of structured and of a variant of it."""
    group = run["sensitivity"].to_dataset()
    renamed = group["activation_type"].copy(
        data=np.array(["real", "structured", "near"], dtype=np.dtypes.StringDType())
    )
    return group.assign_coords(activation_type=renamed)


class TestConclusions:
    def test_hand_computed(self, resampling: Resampling) -> None:
        real = np.arange(20.0)
        event = StepValues(np.stack([real, real + 15, real + 1]), np.zeros((3, 20), dtype=bool))
        found = conclusions(event, 100, resampling, reference=0, claim=(2, 1), confidence=0.95)
        np.testing.assert_allclose(found.mean_difference, [0, 15, 1])
        np.testing.assert_allclose(found.mean_difference_interval, [[0, 0], [15, 15], [1, 1]])
        assert found.timing == ["undecided", "later", "later"]
        expected = ks_distance(real + 1, real) - ks_distance(real + 15, real)
        assert found.ks_difference == pytest.approx(expected)
        assert found.nearness == "nearer"

    def test_censored_steps(self, resampling: Resampling) -> None:
        value, censored = np.full((3, 20), 10.0), np.zeros((3, 20), dtype=bool)
        censored[1, :10] = True
        value[1, :10] = np.nan
        found = conclusions(StepValues(value, censored), 30, resampling, reference=0, claim=(1, 2), confidence=0.95)
        assert found.mean_difference[1] == 10  # half of them count as step 30
        assert found.ks_difference == 0.5
        assert found.nearness == "farther"

    def test_undefined_steps_and_no_claim(self, resampling: Resampling) -> None:
        event = StepValues(np.full((2, 20), np.nan), np.zeros((2, 20), dtype=bool))
        found = conclusions(event, 30, resampling, reference=0, claim=None, confidence=0.95)
        assert np.isnan(found.mean_difference).all()
        assert found.timing == ["undefined", "undefined"]
        assert (found.nearness, np.isnan(found.ks_difference)) == ("undefined", True)
        both = conclusions(event, 30, resampling, reference=0, claim=(1, 1), confidence=0.95)
        assert both.nearness == "undefined"


class TestDataset:
    def compute(self, experiment: xr.Dataset, resampling: Resampling) -> xr.Dataset:
        targets = {"anchor_cosine": 0.42, "variants": {"near": {"type": "structured", "anchor_cosine": 0.2}}}
        chosen = cases(["sensitivity"], ("real", "structured", "near"), SETTINGS, targets)
        return constants_dataset(
            {"sensitivity": experiment}, chosen, {"sensitivity": resampling},
            types=["real", "structured"], reference="real", confidence=0.95,
        )  # fmt: skip

    def test_variables(self, experiment: xr.Dataset, resampling: Resampling) -> None:
        found = self.compute(experiment, resampling)
        for variable in found.variables.values():
            assert {"long_name", "units"} <= variable.attrs.keys()
        assert found.mean_difference.dims == ("case", "metric", "activation_type")
        assert found.ks_difference_interval.dims == ("case", "metric", "bound")
        assert found.activation_type.values.tolist() == ["real", "structured"]

    def test_the_variant_stands_in_for_its_type(self, experiment: xr.Dataset, resampling: Resampling) -> None:
        found = self.compute(experiment, resampling).sel(metric="l2", activation_type="structured")
        own = found.isel(case=found.constant.to_numpy() == "structured.anchor_cosine")
        own = own.isel(case=own.statistic.to_numpy() == "max_slope")
        peak = experiment["curve"].sel(metric="l2").diff("step").argmax("step")
        for value, name in ((0.2, "near"), (0.42, "structured")):
            cell = own.isel(case=own.value.to_numpy() == value)
            rises = experiment["curve"].sel(metric="l2", activation_type=name).diff("step").max("step")
            time = (peak.sel(activation_type=name) + 1).where(rises > SETTINGS.minimum_slope["l2"], 100)
            expected = (time - peak.sel(activation_type="real") - 1).mean()
            assert cell.mean_difference.item() == pytest.approx(float(expected))
            assert bool(cell.is_default) is (name == "structured")

    def test_without_the_two_types_there_is_no_claim(self, experiment: xr.Dataset, resampling: Resampling) -> None:
        found = self.compute(experiment, resampling)
        assert found.ks_difference.isnull().all()
        assert (found.nearness == "undefined").all()

    def test_reading_in_ranges_changes_nothing(
        self, experiment: xr.Dataset, resampling: Resampling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.compute(experiment, resampling)
        monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
        xr.testing.assert_identical(self.compute(experiment, resampling), whole)
