import numpy as np
import pytest
import xarray as xr
from tests.distance import ks_distance

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.planning import Plan, mean_power, mean_width, plans
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.reading import open_run
from plateaulens.testing import generate_run, synthetic_spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("runs") / "synthetic.zarr"
    generate_run(path, synthetic_spec(20, activation_types=("real", "random", "isotropic"), samples_per_chunk=8))
    return open_run(path)


@pytest.fixture
def experiment(run: xr.DataTree) -> xr.Dataset:
    return step_dataset(run["sensitivity"].to_dataset(), AnalysisConfig())


def plan(experiment: xr.Dataset, **goal: object) -> dict[str, Plan]:
    options: dict[str, object] = {"statistic": "max_slope", "metric": "l2", "quantity": "mean_difference"}
    found = plans(experiment, confidence=0.95, seed=0, **(options | goal))  # type: ignore[arg-type]
    return {each.activation_type: each for each in found}


def test_real_is_not_compared_with_itself(experiment: xr.Dataset) -> None:
    assert list(plan(experiment, width=2.0)) == ["random", "isotropic"]


def test_the_least_number_for_a_width(experiment: xr.Dataset) -> None:
    found = plan(experiment, width=2.0)["random"]
    value = experiment.step_value.sel(convention="corrected", statistic="max_slope", metric="l2")
    change = (value.sel(activation_type="random") - value.sel(activation_type="real")).dropna("sample")
    assert found.pairs == change.size
    assert found.estimate == pytest.approx(float(change.mean()))
    sd = float(change.std(ddof=1))
    assert found.prompts is not None
    assert mean_width(sd, found.prompts, 0.95) <= 2.0 < mean_width(sd, found.prompts - 1, 0.95)


def test_the_least_number_for_a_power(experiment: xr.Dataset) -> None:
    value = experiment.step_value.sel(convention="corrected", statistic="max_slope", metric="l2")
    change = (value.sel(activation_type="random") - value.sel(activation_type="real")).dropna("sample")
    prompts = plan(experiment, power=0.9, effect=-1.5)["random"].prompts
    assert prompts is not None
    powers = [mean_power(1.5, float(change.std(ddof=1)), n, 0.95) for n in (prompts - 1, prompts)]
    assert powers[0] < 0.9 <= powers[1]


def test_the_distance(experiment: xr.Dataset) -> None:
    found = plan(experiment, quantity="ks", width=0.2)["isotropic"]
    value = experiment.step_value.sel(convention="corrected", statistic="max_slope", metric="l2")
    censored = experiment.censored.sel(convention="corrected", statistic="max_slope", metric="l2")
    placed = value.where(~censored, np.inf)
    expected = ks_distance(placed.sel(activation_type="isotropic"), placed.sel(activation_type="real"))
    assert found.estimate == pytest.approx(expected)
    assert found.prompts is not None
    assert found.prompts > 20
    assert plan(experiment, quantity="ks", width=0.2) == plan(experiment, quantity="ks", width=0.2)
    assert plan(experiment, quantity="ks", power=0.9)["isotropic"].prompts is not None


def test_a_pilot_without_values(experiment: xr.Dataset) -> None:
    for quantity in ("mean_difference", "ks"):
        nothing = plan(experiment, metric="kl", statistic="plateau_length", quantity=quantity, width=1.0)["random"]
        assert (nothing.pairs, nothing.prompts) == (0, None)
        one = plan(experiment.isel(sample=[0]), quantity=quantity, width=1.0)["random"]
        assert (one.pairs, one.prompts) == (1, None)


def test_what_the_user_can_mend(experiment: xr.Dataset) -> None:
    with pytest.raises(UsageError, match="no statistic 'slope': choose one of max_slope"):
        plan(experiment, statistic="slope", width=1.0)
    with pytest.raises(UsageError, match="no metric 'l1'"):
        plan(experiment, metric="l1", width=1.0)
    with pytest.raises(UsageError, match="--effect is a mean difference"):
        plan(experiment, quantity="ks", power=0.9, effect=1.0)
