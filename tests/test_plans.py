from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom
from tests.distance import ks_distance

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.planning import Goal, Plan, Quantity, mean_power, mean_width, plans
from plateaulens.store.reading import open_run
from plateaulens.summary.analyze import summarize_experiment
from plateaulens.summary.power import levels_of
from plateaulens.testing import generate_run, synthetic_spec

SETTINGS = AnalysisConfig(resamples=200, statistics=("max_slope", "plateau_length"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("runs") / "synthetic.zarr"
    generate_run(path, synthetic_spec(20, activation_types=("real", "random", "isotropic"), samples_per_chunk=8))
    return open_run(path)


@pytest.fixture(scope="module")
def experiment(run: xr.DataTree) -> xr.Dataset:
    return summarize_experiment(run["sensitivity"].to_dataset(), "sensitivity", SETTINGS)


def plan(experiment: xr.Dataset, quantity: Quantity = "mean_difference", **options: Any) -> dict[str, Plan]:
    which = {"statistic": "max_slope", "metric": "l2"} | {k: v for k, v in options.items() if k not in Goal._fields}
    goal = Goal(**{key: value for key, value in options.items() if key in Goal._fields})
    found = plans(experiment, goal, quantity=quantity, settings=SETTINGS, margin=0.15, **which)
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
    powers = [mean_power(1.5, float(change.std(ddof=1)), n, 1 - 0.05 / 2) for n in (prompts - 1, prompts)]
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


@pytest.mark.parametrize("events", [2, 5])
def test_equivalence_is_planned_with_the_events_that_it_takes(experiment: xr.Dataset, events: int) -> None:
    """A type that is a copy of real, of 20 base prompts: its distance is 0, and the events decide how many it takes.

    Where a tenth of the curves has one, no number of prompts is enough; where a quarter has, 20 of them must be met.
    """
    value = experiment.step_value.copy(deep=True)
    value[{"activation_type": 1}] = value[{"activation_type": 0}].values
    value = value.where(experiment["sample"] < events)
    copied = experiment.assign(step_value=value, censored=value.isnull())
    found = plan(copied, "ks", power=0.8)["random"]
    if events == 2:
        assert found.equivalent is None
        return
    least = next(n for n in range(20, 1000) if binom.sf(max(20, np.ceil(0.15 * n)) - 1, n, events / 20) >= 0.8)
    assert found.equivalent == pytest.approx(least, abs=4)


@pytest.mark.slow
def test_the_power_of_a_distance(experiment: xr.Dataset) -> None:
    found = plan(experiment, quantity="ks", power=0.8)
    assert found["random"].effect is not None
    assert 0 < found["random"].effect < found["random"].estimate
    stated = plan(experiment, quantity="ks", power=0.8, effect=0.15)
    for name, each in stated.items():
        assert each.effect == 0.15
        assert each.prompts is not None
        assert found[name].prompts is not None
        assert each.prompts > (found[name].prompts or 0)
        assert each.equivalent == found[name].equivalent
    assert plan(experiment, quantity="ks", power=0.8, effect=0.99)["random"].prompts is None  # its pairs cannot


def test_levels_are_those_of_holm_s_first_step(experiment: xr.Dataset) -> None:
    cell = experiment.sel(convention="corrected", statistic="max_slope", metric="l2")
    assert levels_of(cell, 0.05) == {"real": 0.025, "random": 0.025, "isotropic": 0.025}
    controlled = cell.assign_coords(is_control=("activation_type", [False, True, False]))
    assert levels_of(controlled, 0.05) == {"real": 0.05, "random": 0.05, "isotropic": 0.05}


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
    with pytest.raises(UsageError, match=r"--effect 1\.5 is no KS distance"):
        plan(experiment, quantity="ks", power=0.9, effect=1.5)


@pytest.mark.parametrize("effect", [1e308, -101.0, float("inf"), float("nan")])
def test_an_effect_that_no_run_can_have(experiment: xr.Dataset, effect: float) -> None:
    with pytest.raises(UsageError, match=r"is beyond the window of 100 steps: give one within it"):
        plan(experiment, power=0.8, effect=effect)


@pytest.mark.parametrize("quantity", ["mean_difference", "ks"])
@pytest.mark.parametrize("step", [float("inf"), -float("inf"), 1e308, -1.0])
def test_steps_that_no_analysis_writes(experiment: xr.Dataset, quantity: Quantity, step: float) -> None:
    value = experiment.step_value.copy(deep=True)
    value[{"convention": 0, "statistic": 0, "metric": 0, "activation_type": 1, "sample": 3}] = step
    with pytest.raises(UsageError, match=r"type random, sample 3: .* in a window of 100 steps\): make it again"):
        plan(experiment.assign(step_value=value), quantity, width=2.0)
