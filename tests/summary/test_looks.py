"""Looks at a growing run: what is recorded, how the level is spent, and what either does to false verdicts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.permutation import Swaps
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.report.power import FALSE_AFTER_TEN_LOOKS
from plateaulens.store.reading import open_summary
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import analyze
from plateaulens.summary.looks import Look, as_attribute, looks_of, take
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

SPEC = synthetic_spec(40, activation_types=("real", "random"), experiments=("sensitivity",), samples_per_chunk=8)
GUARDED = AnalysisConfig(guard_looks=True)


def run_at(completed: int, planned: int = 40, **changes: Any) -> xr.DataTree:
    """A run of which so many base prompts are there."""
    there = np.arange(planned) < completed
    group = xr.Dataset(
        {"completed": (("activation_type", "sample"), np.stack([there, there]))},
        coords={"activation_type": ["real", "random"]},
    )
    tree = xr.DataTree.from_dict({"sensitivity": group})
    config = {"sensitivity": {"samples": planned}, "experiments": ["sensitivity"], "analysis": {}}
    layout = synthetic_spec(planned, activation_types=("real", "random"), experiments=("sensitivity",)).to_json()
    tree.attrs = {"config": json.dumps(config | changes), "identity": "{}", "layout": layout}
    return tree


def summary_of(run: xr.DataTree, looks: list[Look]) -> dict[Any, Any]:
    return {**run.attrs, **as_attribute(looks)}


def levels(counts: list[int], settings: AnalysisConfig, planned: int = 40) -> list[float]:
    """Of the looks at a run that grows to these numbers of base prompts, as the last one knows them."""
    before: dict[Any, Any] = {}
    looks: list[Look] = []
    for count in counts:
        run = run_at(count, planned)
        looks, used = take(run, before, settings)
        assert 1 - used.confidence == pytest.approx(looks[-1].level)
        before = summary_of(run, looks)
    return [look.level for look in looks]


def test_a_look_is_counted_when_base_prompts_have_come() -> None:
    assert levels([8, 8, 24, 40, 40], AnalysisConfig()) == pytest.approx([0.05] * 3)


def test_the_level_is_spent_with_the_base_prompts() -> None:
    assert levels([10, 10, 30, 40], GUARDED) == pytest.approx([0.0125, 0.025, 0.0125])
    assert levels([40], GUARDED) == [1 - GUARDED.confidence]
    assert levels([40, 40], GUARDED) == pytest.approx([0.05])
    assert sum(levels(list(range(4, 41, 4)), GUARDED)) == pytest.approx(0.05)


def test_what_is_spent_stays_spent() -> None:
    """A look without the guard takes the whole level, and so does the complete run."""
    first = run_at(8)
    looks, _ = take(first, {}, AnalysisConfig())
    with pytest.raises(UsageError, match="earlier looks at 8 base prompts have spent"):
        take(run_at(40), summary_of(first, looks), GUARDED)
    whole = run_at(40)
    looks, _ = take(whole, {}, GUARDED)
    with pytest.raises(UsageError, match="earlier looks at 40 base prompts have spent"):
        take(run_at(100, planned=100), summary_of(whole, looks), GUARDED)
    with pytest.raises(UsageError, match="earlier looks at no base prompts"):
        take(run_at(0), {}, GUARDED)


def test_another_run_begins_anew() -> None:
    first = run_at(8)
    looks, _ = take(first, {}, AnalysisConfig())
    for other in (run_at(16, seed=4), run_at(16, targets={"types": ["real"]})):
        assert len(take(other, summary_of(first, looks), AnalysisConfig())[0]) == 1
    assert len(take(run_at(16), {**first.attrs}, AnalysisConfig())[0]) == 1, "a summary of an earlier version"
    assert len(take(run_at(16, planned=80), summary_of(first, looks), AnalysisConfig())[0]) == 2


@pytest.mark.slow
def test_a_summary_says_at_which_base_prompts_its_run_was_analysed(tmp_path: Path) -> None:
    path, out = tmp_path / "run.zarr", tmp_path / "summary.zarr"
    settings = AnalysisConfig(resamples=400, guard_looks=True, statistics=("max_slope",))
    with RunStore.create(path, SPEC, synthetic_attributes(SPEC, 0), synthetic_prompts(SPEC, 0)) as store:
        for first, last in ((0, 8), (8, 24)):
            for start in range(first, last, 8):
                for group in ("activations", "sensitivity"):
                    span = slice(start, start + 8)
                    store.write(group, span, synthetic_values(SPEC, group, span, 0))
            for _ in range(2):
                analyze(path, out, settings)
    summary = open_summary(out)
    looks = looks_of(summary.attrs)
    assert [look.completed["sensitivity"] for look in looks] == [8, 24]
    assert [look.planned["sensitivity"] for look in looks] == [40, 40]
    assert [look.level for look in looks] == pytest.approx([0.01, 0.02])
    assert summary["sensitivity"]["verdict"].attrs["alpha"] == pytest.approx(0.02)
    assert summary["sensitivity"]["mean_interval"].attrs["confidence"] == pytest.approx(0.98)


@pytest.mark.slow
def test_ten_looks_at_equal_distributions() -> None:
    """Without the guard a difference is found far more often than the level says, with it no more often."""
    rng = np.random.default_rng(0)
    counts = [30 * (look + 1) for look in range(10)]
    allowed = {guard: levels(counts, AnalysisConfig(guard_looks=guard), planned=300) for guard in (False, True)}
    found, trials, place = dict.fromkeys(allowed, 0), 400, np.arange(25, 76)
    for _ in range(trials):
        steps = np.rint(50 + 7 * (rng.standard_normal((300, 1)) + rng.standard_normal((300, 2))))
        apart = ((steps[:, :1] <= place).astype(np.float32) - (steps[:, 1:] <= place)).reshape(10, 30, -1)
        swaps = Swaps.draw(rng, samples=300, swaps=399)
        signs = swaps.rows.astype(np.float32).reshape(-1, 10, 30).transpose(1, 0, 2)
        # sums over the base prompts of each look and all before it, (looks, swaps)
        distance = np.abs(np.cumsum(signs @ apart, axis=0)).max(axis=2)
        observed = np.abs(np.cumsum(apart.sum(axis=1), axis=0)).max(axis=1)
        p = swaps.p_value(distance.T, observed)
        for guard, level in allowed.items():
            found[guard] += bool((p <= level).any())
    assert found[True] / trials <= 0.05
    assert found[False] / trials == pytest.approx(FALSE_AFTER_TEN_LOOKS, abs=0.05)
