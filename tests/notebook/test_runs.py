"""`pl.compare`, `pl.report`, `pl.save` and the accessor: the same as the commands, on trees."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.tiny import measured

import plateaulens as pl
from plateaulens.config import AnalysisConfig
from plateaulens.notebook import runs
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import settings_of
from plateaulens.testing import (
    generate_run,
    synthetic_attributes,
    synthetic_prompts,
    synthetic_spec,
    synthetic_values,
)


@pytest.fixture
def run(synthetic_run: Path) -> Iterator[xr.DataTree]:
    with pl.open_run(synthetic_run) as opened:
        yield opened


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "run.zarr"
    kinds = ("real", "random", "bag")
    generate_run(path, synthetic_spec(6, steps=11, activation_types=kinds, experiments=("sensitivity",)), seed=2)
    return path


@pytest.mark.slow
def test_it_compares_as_analyze_does(small: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"resamples": 200, "seed": 4, "confidence": 0.9}
    with pl.open_run(small) as run:
        settings = AnalysisConfig(**{**settings_of(run).model_dump(), **options, "equivalence_margin": 0.2})
        found = pl.compare(run, margin=0.2, **options)
    assert pl.analyze(small, tmp_path / "summary.zarr", settings).identical(found)
    pl.save(found, tmp_path / "saved.zarr")
    assert pl.verify(tmp_path / "saved.zarr") == []
    assert measured(tmp_path / "saved.zarr") == measured(tmp_path / "summary.zarr")
    pl.save(found, tmp_path / "saved.zarr")  # replaces it
    assert "encoding" not in found.attrs


def test_a_saved_run_is_the_run(small: Path, tmp_path: Path) -> None:
    with pl.open_run(small) as run:
        pl.save(run, tmp_path / "copy.zarr")
        pl.save(run.load(), tmp_path / "again.zarr")
        with pl.open_run(tmp_path / "copy.zarr") as copy:
            assert copy.identical(run)
    assert pl.verify(tmp_path / "copy.zarr") == []
    assert measured(tmp_path / "copy.zarr") == measured(small) == measured(tmp_path / "again.zarr")


def test_what_is_missing_of_a_saved_run_stays_missing(tmp_path: Path) -> None:
    spec = synthetic_spec(20, steps=5)
    with RunStore.create(
        tmp_path / "run.zarr", spec, synthetic_attributes(spec, 2), synthetic_prompts(spec, 2)
    ) as store:
        for group, span in (("activations", slice(0, 8)), ("activations", slice(8, 16)), ("sensitivity", slice(8, 16))):
            store.write(group, span, synthetic_values(spec, group, span, 2))
    with pl.open_run(tmp_path / "run.zarr") as run:
        pl.save(run, tmp_path / "copy.zarr")
        with pl.open_run(tmp_path / "copy.zarr") as copy:
            done = run["sensitivity"].completed
            assert 0 < int(done.sum()) < done.size
            assert copy["sensitivity"].completed.equals(done)
            assert copy.identical(run)


def test_what_others_have_noted_of_a_stored_run_stays(small: Path, tmp_path: Path) -> None:
    generate_run(tmp_path / "there.zarr", synthetic_spec(6, steps=11, activation_types=("real", "random", "bag"),
                                                         experiments=("sensitivity",)), seed=2)  # fmt: skip
    with pl.open_run(tmp_path / "there.zarr") as run:
        noted = run["provenance"].attrs["sessions"]
    with pl.open_run(small) as run:
        other = run.copy()
        other["provenance"].attrs["sessions"] = "[{}]"
        pl.save(other, tmp_path / "there.zarr")
        pl.save(other, tmp_path / "new.zarr")
    found = [pl.open_run(tmp_path / name)["provenance"].attrs["sessions"] for name in ("there.zarr", "new.zarr")]
    assert found == [noted, "[{}]"]
    assert noted != "[]"


@pytest.mark.parametrize("name", ["sensitivity", "prompts", "activations", "provenance"])
def test_a_part_of_a_run_is_not_saved(name: str, run: xr.DataTree, tmp_path: Path) -> None:
    part = run.copy()
    del part[name]
    with pytest.raises(pl.UsageError, match=f"the run lacks {name}, which it was collected with: save it whole"):
        pl.save(part, tmp_path / "part.zarr")
    assert list(tmp_path.iterdir()) == []


def test_another_run_is_not_written_over(small: Path, tmp_path: Path) -> None:
    generate_run(tmp_path / "other.zarr", synthetic_spec(8, steps=11), seed=2)
    before = measured(tmp_path / "other.zarr")
    with pl.open_run(small) as run, pytest.raises(pl.UsageError, match="cannot be continued with other settings"):
        pl.save(run, tmp_path / "other.zarr")
    assert measured(tmp_path / "other.zarr") == before


def test_a_run_of_an_earlier_schema_is_not_saved(run: xr.DataTree, tmp_path: Path) -> None:
    old = run.copy()
    old.attrs = {**run.attrs, "schema_version": 1}
    with pytest.raises(pl.UsageError, match=r"the run has schema version 1.*: copy its store"):
        pl.save(old, tmp_path / "run.zarr")
    assert list(tmp_path.iterdir()) == []


def test_max_slopes_are_those_of_the_summary(run: xr.DataTree, synthetic_summary: xr.DataTree) -> None:
    for experiment in (None, "plateau"):
        steps = run.plateau.max_slope(experiment)
        wanted = synthetic_summary[experiment or "sensitivity"].step_value
        wanted = wanted.sel(convention="corrected", statistic="max_slope")
        assert set(steps.dims) == {"metric", "activation_type", "sample"}
        np.testing.assert_array_equal(steps.transpose(*wanted.dims), wanted)
        assert np.isfinite(steps.values).any()
        assert synthetic_summary.plateau.max_slope(experiment).identical(wanted)
    group, judged = (tree["sensitivity"].to_dataset() for tree in (run, synthetic_summary))
    np.testing.assert_array_equal(group.plateau.max_slope(), judged.plateau.max_slope())


def test_the_table_has_every_verdict(synthetic_summary: xr.DataTree) -> None:
    table = synthetic_summary.plateau.summary()
    assert set(table.convention) == {"corrected"}
    assert "real" not in set(table.activation_type)
    found = table.set_index(["experiment", "metric", "activation_type"])
    assert not found.index.has_duplicates
    for name, statistic in (("sensitivity", "max_slope"), ("plateau", "plateau_length")):
        group = synthetic_summary[name].sel(convention="corrected", statistic=statistic, metric="l2")
        for kind in ("random", "bag"):
            row, one = found.loc[(name, "l2", kind)], group.sel(activation_type=kind)
            assert row.statistic == statistic
            assert row.conclusion == str(one.conclusion.item())
            assert row.ks == one.ks.item()


def test_the_accessor_hands_on(
    run: xr.DataTree, synthetic_summary: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def compared(tree: xr.DataTree, **given: Any) -> xr.DataTree:
        calls.append((tree, given))
        return synthetic_summary

    monkeypatch.setattr(runs, "compare", compared)
    monkeypatch.setattr(runs, "save", lambda tree, path: calls.append((tree, path)))
    assert run.plateau.compare(margin=0.2) is synthetic_summary
    assert run.plateau.summary(resamples=200).equals(synthetic_summary.plateau.summary())
    run.plateau.save(tmp_path)
    assert calls == [(run, {"margin": 0.2}), (run, {"resamples": 200}), (run, tmp_path)]
    assert pl.compare(run, seed=3) is synthetic_summary


def test_cards(run: xr.DataTree, synthetic_summary: xr.DataTree) -> None:
    card = run.plateau._repr_html_()
    assert "24 of 24 prompts complete, 9 types" in card
    verdicts = synthetic_summary.plateau._repr_html_()
    one = synthetic_summary["sensitivity"].sel(
        convention="corrected", statistic="max_slope", metric="l2", activation_type="random"
    )
    assert f"<td>{one.ks.item():.2f} {one.conclusion.item()}</td>" in verdicts
    assert "relative L2" in verdicts
    assert "24 of 24 prompts" in run["sensitivity"].to_dataset().plateau._repr_html_()
    assert "experiment" in synthetic_summary["sensitivity"].to_dataset().plateau._repr_html_()
    assert "no run or summary" in xr.DataTree().plateau._repr_html_()


def test_cards_are_escaped(run: xr.DataTree, synthetic_summary: xr.DataTree) -> None:
    evil = "<img src=x onerror=alert(1)>"
    for tree in (run, synthetic_summary):
        other = tree.copy()
        config = tree.attrs["config"].replace('"source":"', f'"source":"{evil}')
        assert config != tree.attrs["config"]
        other.attrs = {**tree.attrs, "name": evil, "config": config}
        card = other.plateau._repr_html_()
        assert "<img" not in card
        assert card.count("&lt;img") >= 2


def test_a_damaged_configuration_is_said(run: xr.DataTree) -> None:
    other = run.copy()
    other.attrs = {**run.attrs, "config": "{"}
    with pytest.raises(pl.UsageError, match="attribute config is damaged"):
        other.plateau._repr_html_()


def refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(pl.UsageError, match=re.escape(says)) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_what_cannot_be_done(run: xr.DataTree, synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    summary, out = synthetic_summary, tmp_path / "out.zarr"
    refused(lambda: pl.compare(summary), "'plateaulens summary' is no plateaulens run: give what walk or")
    dataset: Any = run["sensitivity"].to_dataset()
    refused(lambda: pl.compare(dataset), "'Dataset' is no plateaulens run")
    refused(lambda: pl.compare(run, resample=3), "compare: resample")
    refused(lambda: pl.compare(run, margin={"nothing": 0.1}), "compare: equivalence_margin")
    refused(lambda: pl.compare(run, resamples=1), "analysis.resamples: 1 are too few")
    refused(lambda: pl.report(run, "mine.html"), "is no plateaulens summary: compare(run) makes one")
    refused(lambda: pl.report(summary, "mine.docx"), "must end with .html or .pdf")
    refused(lambda: pl.save(xr.DataTree(), out), "None is no plateaulens run")
    refused(lambda: run.plateau.max_slope("nothing"), "there is no experiment 'nothing' here, there is")
    refused(run["prompts"].to_dataset().plateau.max_slope, "this is no experiment")
    refused(lambda: pl.plot.max_slope_cdf(run), "figures are drawn of a summary: compare(run) makes one")
    refused(lambda: pl.plot.target_geometry(run), "figures are drawn of a summary")
    refused(lambda: pl.plot.ks_forest(summary, "nothing"), "there is no experiment 'nothing'")
    refused(lambda: pl.plot.plateaus(summary, metric="kl"), "no plateau_threshold for kl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_report_is_a_page(synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    before = synthetic_summary.copy(deep=True)
    (tmp_path / "mine.html").write_text("an earlier one")
    made = pl.report(synthetic_summary, tmp_path / "mine.html", renderer="builtin")
    assert made == tmp_path / "mine.html"
    assert "<html" in made.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.html"]
    assert synthetic_summary.identical(before)
