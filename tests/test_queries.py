"""The questions of docs/queries.md: each block runs, is short, and its answer is what another way of counting gives."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import plateaulens
from plateaulens.summary.analyze import write_summary

DOCUMENT = Path(__file__).parents[1] / "docs" / "queries.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
HEADINGS = re.findall(r"^## (\d+)\. (.+)$", DOCUMENT.read_text(), re.MULTILINE)
TYPES = [
    "real",
    "real_control",
    "random",
    "isotropic",
    "reconstruction",
    "bag",
    "baseline",
    "structured",
    "single_latent",
]


@pytest.fixture(scope="module")
def stores(
    synthetic_run: Path, synthetic_summary: xr.DataTree, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The paths of the document, and what stands there instead."""
    path = tmp_path_factory.mktemp("queries") / "summary.zarr"
    write_summary(synthetic_summary.copy(deep=True), path)
    return {"data/runs/smollm2.zarr": str(synthetic_run), "data/summaries/smollm2.zarr": str(path)}


@pytest.fixture(scope="module")
def names(stores: dict[str, str]) -> dict[str, Any]:
    """What the first block leaves."""
    setup = BLOCKS[0]
    for place, store in stores.items():
        assert place in setup
        setup = setup.replace(place, store)
    found: dict[str, Any] = {}
    exec(setup, found)  # noqa: S102  the document's own
    return found


@pytest.fixture(scope="module")
def raw(stores: dict[str, str]) -> dict[str, Any]:
    """The arrays behind, without names on their axes but the types' places."""
    run, summary = stores.values()
    with plateaulens.open_run(run) as tree, plateaulens.open_summary(summary) as found:
        own = found["sensitivity"].to_dataset().isel(convention=0, statistic=0)
        assert (own.convention.item(), own.statistic.item()) == ("corrected", "max_slope")
        assert own.metric.values.tolist() == ["l2", "kl", "js"]
        assert own.activation_type.values.tolist() == TYPES
        return {
            "curve": tree["sensitivity"].curve.values,
            "plateau": tree["plateau"].curve.values,
            "token": tree["sensitivity"].top_token.values,
            "length": tree["sensitivity"].path_length.values,
            "base": tree["activations"].base.values.astype(float),
            "target": tree["activations"].target.values.astype(float),
            "text": [str(each) for each in tree["prompts"].text.values],
            "steps": own.step_value.values,
            "p": own.ks_p_holm.values,
            "ks": own.ks.values[0],
            "upper": own.ks_null_upper.values[0],
            "changed": found["constants"].conclusion_changed.values,
            "constant": found["constants"].constant.values.astype(object),
        }


def largest_slope(curve: NDArray[Any]) -> NDArray[Any]:
    """The steps of the largest rise, (type, sample, metric), NaN below the minimum slope of the metric."""
    rises = np.diff(curve.astype(float), axis=2)
    low = rises.max(axis=2) <= np.array([0.02, 0.02, 0.0002])
    return np.where(low, np.nan, rises.argmax(axis=2) + 1.0)


def first_changes(token: NDArray[Any]) -> NDArray[Any]:
    found = np.full(token.shape[:2], np.nan)
    for t, s in np.ndindex(found.shape):
        others = [k for k, each in enumerate(token[t, s]) if each != token[t, s, 0]]
        found[t, s] = others[0] if others else np.nan
    return np.asarray(np.nanmedian(found, axis=1))


def correlations(raw: dict[str, Any]) -> list[float]:
    found = []
    for length, step in zip(raw["length"], raw["steps"][0], strict=True):
        there = np.isfinite(step)
        found.append(np.corrcoef(length[there], step[there])[0, 1])
    return found


def last_prompts(raw: dict[str, Any]) -> list[str]:
    step = largest_slope(raw["curve"])[TYPES.index("random"), :, 0]
    return [raw["text"][s] for s in sorted(np.flatnonzero(np.isfinite(step)), key=lambda s: -step[s])[:3]]


def cosines(raw: dict[str, Any]) -> list[float]:
    return [
        np.mean([b @ t / (np.linalg.norm(b) * np.linalg.norm(t)) for b, t in zip(raw["base"], own, strict=True)])
        for own in raw["target"]
    ]


ANSWERS: list[Callable[[dict[str, Any]], Any]] = [
    last_prompts,
    lambda raw: [int(np.isnan(own[:, 1]).sum()) for own in largest_slope(raw["curve"])],
    lambda raw: [float(np.median(own[:, 50, 1])) for own in raw["curve"]],
    lambda raw: first_changes(raw["token"]),
    lambda raw: [kind for t, kind in enumerate(TYPES) if all(each[t] <= 0.05 for each in raw["p"])],
    lambda raw: [max(d - u, 0) if d == d and u == u else np.nan for d, u in zip(raw["ks"], raw["upper"], strict=True)],
    correlations,
    lambda raw: [s for s in range(24) if raw["steps"][0, 7, s] - raw["steps"][0, 0, s] < 0],
    cosines,
    lambda raw: [np.nanmax(np.abs(own[:, 1] - own[:, 0])) for own in largest_slope(raw["curve"])],
    lambda raw: [np.mean([curve[50, 0] >= 20 for curve in own]) for own in raw["plateau"]],
    lambda raw: [int(raw["changed"][raw["constant"] == each].sum()) for each in sorted(set(raw["constant"]))],
]


def test_there_are_twelve_of_five_lines() -> None:
    assert [int(number) for number, _ in HEADINGS] == list(range(1, 13))
    assert all(question.endswith("?") for _, question in HEADINGS)
    assert len(BLOCKS) == 13
    assert all(len(block.splitlines()) <= 5 for block in BLOCKS[1:])


@pytest.mark.parametrize("number", range(1, 13))
def test_the_answer_is_right(number: int, names: dict[str, Any], raw: dict[str, Any]) -> None:
    own = dict(names)
    exec(BLOCKS[number], own)  # noqa: S102  the document's own
    answer, wanted = own["answer"], ANSWERS[number - 1](raw)
    found = [str(each) for each in answer.values] if number == 1 else answer
    if number in {1, 5, 8}:
        assert list(found) == list(wanted)
        assert len(wanted) > 0
        return
    values = np.asarray(answer, dtype=float)
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)
    assert np.isfinite(values).sum() >= 4
    assert len(set(values.tolist())) > 1


def test_a_length_between_two_points_is_the_nearest_one(names: dict[str, Any], raw: dict[str, Any]) -> None:
    run = names["run"].copy()
    plateau = run["plateau"].to_dataset()
    assert plateau.length.values[:3].tolist() == [0.0, 0.5, 1.0]
    run["plateau"] = xr.DataTree(plateau.assign_coords(length=plateau.length * 0.57 / 0.5))  # the default preset's
    own = {**names, "run": run}
    exec(BLOCKS[11], own)  # noqa: S102  the document's own
    np.testing.assert_allclose(own["answer"], (raw["plateau"][:, :, 44, 0] >= 20).mean(axis=1))
