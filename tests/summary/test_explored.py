"""What can be looked up of single prompts equals what the run has."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.reading import open_run, open_summary
from plateaulens.summary import explored
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.explored import JUMP, explored_dataset, most_explored
from plateaulens.testing import generate_run, synthetic_spec

SETTINGS = AnalysisConfig(resamples=200)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("explored") / "run.zarr"
    types = ("real", "real_control", "random")
    generate_run(path, synthetic_spec(10, activation_types=types, steps=31, samples_per_chunk=4, likely=2))
    return open_run(path).load()


@pytest.fixture(scope="module")
def summary(run: xr.DataTree) -> dict[str, xr.Dataset]:
    """What a summary has of these experiments that concerns single prompts."""
    found = {}
    for name in ("sensitivity", "plateau"):
        steps = step_dataset(run[name].to_dataset(), SETTINGS)
        found[name] = steps.merge(explored_dataset(run[name].to_dataset(), steps, 10), join="exact")
    return found


def test_curves_are_the_run_s(run: xr.DataTree, summary: dict[str, xr.Dataset]) -> None:
    for name in ("sensitivity", "plateau"):
        group = summary[name]
        assert group["explored_sample"].values.tolist() == list(range(10))
        expected = run[name]["curve"].transpose("sample", "activation_type", "step", "metric")
        np.testing.assert_array_equal(group["explored_curve"], expected)


def test_tokens_are_those_around_the_jump_and_at_both_ends(run: xr.DataTree, summary: dict[str, xr.Dataset]) -> None:
    group, stored = summary["sensitivity"], run["sensitivity"]
    step = group["step_value"].sel(convention="corrected", statistic=JUMP)
    assert group["jump_token"].dims == ("explored", "activation_type", "metric", "side", "rank")
    assert group["side"].values.tolist() == ["base", "before", "after", "target"]
    seen = 0
    for prompt, kind, metric in np.ndindex(*group["jump_token"].shape[:3]):
        at = float(step.isel(metric=metric, activation_type=kind, sample=prompt))
        own = group.isel(explored=prompt, activation_type=kind, metric=metric)
        sides = {"base": 0, "target": 30}
        if np.isfinite(at):
            seen += 1
            sides |= {"before": int(at) - 1, "after": int(at)}
        else:
            none = own.sel(side=["before", "after"])
            assert (none["jump_token"] == -1).all()
            assert none["jump_probability"].isnull().all()
            assert (none["jump_text"] == "").all()
        for side, where in sides.items():
            point = stored.isel(activation_type=kind, sample=prompt, step=where)
            for name in ("token", "text", "probability"):
                np.testing.assert_array_equal(own[f"jump_{name}"].sel(side=side), point[f"likely_{name}"])
    assert 50 < seen < step.size


def test_a_run_without_them_has_the_most_likely_token_s_id(run: xr.DataTree, summary: dict[str, xr.Dataset]) -> None:
    plain = run["sensitivity"].to_dataset().drop_vars(["likely_token", "likely_text", "likely_probability"])
    found = explored_dataset(plain, summary["sensitivity"], 4)
    assert found.sizes["explored"] == 4
    assert found.sizes["rank"] == 1
    assert "jump_text" not in found
    np.testing.assert_array_equal(found["jump_token"][..., 0], summary["sensitivity"]["jump_token"][:4, ..., 0])


def test_without_max_slope_there_are_curves_alone(run: xr.DataTree, summary: dict[str, xr.Dataset]) -> None:
    steps = summary["sensitivity"].drop_sel(statistic=[JUMP])
    assert set(explored_dataset(run["sensitivity"].to_dataset(), steps, 3).data_vars) == {
        "explored_sample", "explored_curve"
    }  # fmt: skip


def test_incomplete_prompts_are_left_out(run: xr.DataTree, summary: dict[str, xr.Dataset]) -> None:
    group = run["sensitivity"].to_dataset().copy(deep=True)
    group["completed"][1, 2] = False
    found = explored_dataset(group, summary["sensitivity"], 4)
    assert found["explored_sample"].values.tolist() == [0, 1, 3, 4]


def test_there_are_as_many_as_fit(run: xr.DataTree, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run["sensitivity"].to_dataset()
    few = one.isel(sample=slice(2))
    each = one["curve"].size // 10
    for room, expected in ((30, 10), (17, 10), (16, 10), (12, 10), (11, 9), (4, 2), (3, 1), (0, 1)):
        monkeypatch.setattr(explored, "MOST_NUMBERS", room * each)
        assert most_explored({"one": one, "few": few}) == expected, room


@pytest.mark.slow
def test_a_summary_on_disk_has_them(tmp_path: Path, synthetic_summary: xr.DataTree) -> None:
    write_summary(synthetic_summary, tmp_path / "summary.zarr")
    stored = open_summary(tmp_path / "summary.zarr")["plateau"].to_dataset().load()
    for name in ("explored_curve", "jump_token", "jump_text", "jump_probability", "side"):
        np.testing.assert_array_equal(stored[name], synthetic_summary["plateau"][name])
