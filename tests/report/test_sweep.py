"""The page of a sweep, over runs without a model: every cell runs, and it says what the summary says."""

import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.figures.checks import check_readable
from tests.report.pages import shown_by
from tests.report.reading import faults

from plateaulens import figures, resources
from plateaulens.config import AnalysisConfig, RunConfig, SweepConfig
from plateaulens.export.tables import tables
from plateaulens.names import site_label
from plateaulens.report import contents, sweep, sweep_findings
from plateaulens.report.text import MISSING, percent
from plateaulens.store.manifest import Entry, Manifest, config_of
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.schema import SUMMARY_VERSION
from plateaulens.summary.analyze import summarize_experiment
from plateaulens.summary.sweep import analyze_sweep, summarize_sweep, told_from
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

PAGE = resources.root() / "report" / "sweep.qmd"
WRITES = [f"blocks.{block}.hook_resid_pre" for block in (1, 4, 8)]
READS = [f"blocks.{block}.hook_resid_post" for block in (6, 11)]
SPEC = synthetic_spec(
    16, activation_types=("real", "real_control", "random", "isotropic"), experiments=("sensitivity",), steps=51
)
SETTINGS = AnalysisConfig(resamples=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose runs stand where a model's would; nothing is written behind where it is read."""
    folder = tmp_path_factory.mktemp("sweep")
    entries = []
    for seed, (write, read) in enumerate((w, r) for w in WRITES for r in READS if (w, r) != (WRITES[2], READS[0])):
        entry = Entry(name=f"cell-{seed}", model="syn_thetic", sae="none", write=write, read=read, seed=0)
        generate_cell(folder, entry, seed)
        entries.append(entry.with_state("complete"))
    asked = SweepConfig(write=tuple(WRITES), read=tuple(READS))
    Manifest(config=CONFIG.model_copy(update={"name": "layers", "sweep": asked}), cells=tuple(entries)).write(folder)
    return folder


CONFIG = RunConfig.model_validate_json(str(synthetic_attributes(SPEC, 0)["config"]))


def generate_cell(folder: Path, entry: Entry, seed: int) -> None:
    """The run of an entry, with values of another seed than it says, as those do not depend on sites here."""
    attributes = {**synthetic_attributes(SPEC, 0, entry.name), "config": config_of(CONFIG, entry).model_dump_json()}
    with RunStore.create(folder / entry.run, SPEC, attributes, synthetic_prompts(SPEC, 0)) as store:
        for group in ("activations", "sensitivity"):
            for span in store.pending(group):
                store.write(group, span, synthetic_values(SPEC, group, span, seed))
        store.seal()


@pytest.fixture(scope="module")
def path(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("summary") / "layers.zarr"
    analyze_sweep(folder, path, SETTINGS)
    return path


@pytest.fixture(scope="module")
def summary(path: Path) -> xr.DataTree:
    return xr.open_datatree(path, engine="zarr", consolidated=False, chunks=None).load()


def test_it_is_of_the_present_version(summary: xr.DataTree) -> None:
    assert contents.check(summary).attrs["summary_version"] == SUMMARY_VERSION


@pytest.fixture(scope="module")
def shown(path: Path) -> list[Any]:
    """What the cells and expressions of the page show, without a kernel."""
    return shown_by(PAGE, path)


@pytest.mark.slow
def test_the_page_shows_one_map_and_its_tables(shown: list[Any]) -> None:
    assert sum(isinstance(item, Figure) for item in shown) == 1
    text = "\n".join(str(item.data) if isinstance(item, Markdown) else str(item) for item in shown)
    assert "varies 3 write sites and 2 read sites. All 5 of its runs are complete" in text
    assert "Model: syn\\_thetic" in text
    assert "50 resamples" in text
    assert text.count("complete |") == 5
    assert "nan" not in text.lower()


def test_the_map_has_the_summary_s_numbers(summary: xr.DataTree) -> None:
    group = summary["sensitivity"].to_dataset()
    ((_, layers),) = sweep.maps(group)
    figure = figures.layer_map(layers)
    check_readable(figure)
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}
    assert list(panels) == ["real control", "random", "isotropic"]
    drawn = panels["random"].get_images()[0].get_array()
    assert drawn is not None
    where = {"convention": "corrected", "statistic": "max_slope", "activation_type": "random"}
    ks = group["ks"].squeeze(["model", "sae", "seed"], drop=True).sel(where)
    assert drawn.shape == (3, 3)
    assert drawn[1, 1] == float(ks.sel(metric="l2")[1, 1])
    assert np.ma.getmaskarray(drawn)[2, 0] or np.isnan(drawn[2, 0])
    assert drawn[2, 2] == pytest.approx(float(ks.sel(metric="kl")[2, 1]))
    texts = [text.get_text() for text in panels["random"].texts]
    assert len(texts) == 8
    assert f"{drawn[0, 0]:.2f}".removeprefix("0") in texts


def test_tables(summary: xr.DataTree) -> None:
    table = sweep.summary_table(summary).cells()
    assert list(table["type"]) == ["real control", "random", "isotropic"]
    assert all(cell.endswith(" of 5") for cell in table["differs on L2"])
    assert all(cell.endswith(" of 5") for cell in table["equivalent on L2"])
    ((_, layers),) = sweep.maps(summary["sensitivity"].to_dataset())
    output = sweep.output_table(layers).cells()
    assert list(output["write"]) == ["1", "4", "8"]
    assert output["random"].str.contains(r"^\d\.\d\d \[").all()
    assert list(sweep.provenance_table(summary).cells()["commit"]) == ["synthetic"] * 5


def test_frames_hold_the_summary_s_numbers(summary: xr.DataTree) -> None:
    where = {"convention": "corrected", "statistic": "max_slope", "activation_type": "random"}
    group = summary["sensitivity"].to_dataset().sel(where)
    frame = sweep.summary_table(summary).frame.set_index("type")
    assert frame.loc["random", "ks_l2_most"] == float(group["ks"].sel(metric="l2").max())
    assert frame.loc["random", "differs_kl"] == int(group["exceeds_chance"].sel(metric="kl").sum())
    assert frame.loc["random", "equivalent_kl"] == np.count_nonzero(group["verdict"].sel(metric="kl") == "equivalent")
    ((_, layers),) = sweep.maps(summary["sensitivity"].to_dataset())
    output = sweep.output_table(layers).frame
    assert output["random"].dtype == output["random_lower"].dtype == np.float64
    assert list(output["site"]) == WRITES


def test_types_have_the_words_of_the_run_or_a_dash(summary: xr.DataTree) -> None:
    tree = summary.copy()
    tree.attrs["definitions"] = json.dumps({"random": "Gaussian"})
    assert list(sweep.definition_table(tree).cells()["target T"]) == [MISSING, MISSING, "Gaussian", MISSING]


@pytest.mark.slow
def test_several_maps_are_named(folder: Path) -> None:
    """Two seeds are two maps; SAEs of one write site each share one."""
    from plateaulens.store.manifest import read_manifest

    manifest = read_manifest(folder)
    seeds = [entry.model_copy(update={"seed": number % 2}) for number, entry in enumerate(manifest.cells)]
    group = summarize_sweep(folder, manifest.model_copy(update={"cells": tuple(seeds)}), SETTINGS)["sensitivity"]
    titles = [title for title, _ in sweep.maps(group.to_dataset())]
    assert titles == ["seed 0", "seed 1"]
    assert "Shown is seed 0, the first of 2" in sweep.map_caption(titles[0], 2)
    assert sweep.map_caption(titles[0], 1) == "It is the only map of the sweep.", (
        "never empty: Quarto would show its source"
    )
    saes = [entry.model_copy(update={"sae": f"sae-{entry.write}"}) for entry in manifest.cells]
    group = summarize_sweep(folder, manifest.model_copy(update={"cells": tuple(saes)}), SETTINGS)["sensitivity"]
    ((title, layers),) = sweep.maps(group.to_dataset())
    assert title == ""
    assert int(layers["complete"].sum()) == 5
    assert (
        int(layers["ks"].sel(activation_type="random", metric="l2").notnull().any(["convention", "statistic"]).sum())
        == 5
    )


def test_without_a_second_draw_of_real(summary: xr.DataTree) -> None:
    group = summary["sensitivity"].to_dataset().sel(activation_type=["real", "random"])
    plain = xr.DataTree.from_dict({"sensitivity": group})
    plain.attrs = summary.attrs
    assert "noise floor is not known" in sweep.noise_sentence(plain)
    assert "lie KS 0." in sweep.noise_sentence(summary)


def in_cells(summary: xr.DataTree, name: str, values: Sequence[float | str], **where: str) -> xr.DataTree:
    """The sweep's summary with these values in its five runs, on both metrics that it shows."""
    group = summary["sensitivity"].to_dataset().copy(deep=True)
    runs = group["complete"].squeeze(["model", "sae", "seed"], drop=True).transpose("write", "read").to_numpy()
    cells = [(write, read) for write, read in np.ndindex(runs.shape) if runs[write, read]]
    for value, (write, read) in zip(values, cells, strict=True):
        place = {"write": WRITES[write], "read": READS[read], "statistic": "max_slope", "convention": "corrected"}
        group[name].loc[{**place, **where}] = value
    tree = xr.DataTree.from_dict({"sensitivity": group})
    tree.attrs = summary.attrs
    return tree


@pytest.mark.parametrize(
    ("alarms", "said"),
    [
        ([0, 0, 0, 0, 0], "Of 10 tests, one for each run and metric, none reject"),
        ([1, 0, 0, 0, 0], "Of 10 tests, one for each run and metric, 2 reject"),
    ],
)
def test_two_draws_that_are_told_apart_are_counted_as_chance(
    summary: xr.DataTree, alarms: list[float], said: str
) -> None:
    tree = in_cells(summary, "exceeds_chance", alarms, activation_type="real_control")
    text = sweep.noise_sentence(tree)
    assert said in text
    assert "0.5 false alarms are expected" in text
    assert "mean nothing" not in text


@pytest.mark.parametrize(
    ("rejected", "said"),
    [
        ([0, 1, 1, 1, 1], ["random is told from real from {1} on", "random is told from real from {0} on"]),
        ([1, 0, 0, 0, 1], ["random is not told from real at the last", "random is not told from real at the last"]),
        ([1, 1, 0, 1, 0], ["random is told from real from {0} on", "random is told from real from {1} on"]),
    ],
)
def test_types_part_from_real_where_every_later_read_site_tells_them(
    summary: xr.DataTree, rejected: list[float], said: list[str]
) -> None:
    """The third write site is read at one site, and has no item."""
    tree = in_cells(summary, "exceeds_chance", rejected, activation_type="random")
    group = tree["sensitivity"].to_dataset().sel(activation_type=["real", "random"])
    group = group.assign(told_from=told_from(group))
    whole = xr.DataTree.from_dict({"sensitivity": group})
    whole.attrs = summary.attrs
    items = sweep.depth_sentences(whole).splitlines()
    assert len(items) == 2
    for item, site, words in zip(items, WRITES, said, strict=False):
        assert item.startswith(f"- On L2, written at {site_label(site)}: ")
        assert words.format(*map(site_label, READS)) in item
        assert faults(item.removeprefix("- "), ["random"]) == []


def test_every_table_of_the_export_has_a_name_of_its_own(summary: xr.DataTree) -> None:
    names = [name for name, _ in tables(summary)]
    assert len(names) == len(set(names))
    found = dict(tables(summary))["comparisons_over_read"]
    assert "read" not in found
    assert set(found.loc[found["write"] == WRITES[2], "told_from"]) == {""}


def test_what_is_held_is_said(summary: xr.DataTree) -> None:
    assert "do not answer" not in sweep.varied_sentences(summary)
    config = json.loads(summary.attrs["config"])
    held = xr.DataTree.from_dict({"sensitivity": summary["sensitivity"].to_dataset()})
    sites = config["sites"] | {"frozen": ["blocks.1-2.hook_mlp_out"]}
    held.attrs = summary.attrs | {"config": json.dumps(config | {"sites": sites})}
    said = sweep.varied_sentences(held).replace("\\", "")
    assert said.endswith("held at what they are in the unperturbed prompt: blocks.1-2.hook_mlp_out.")
    for tree, word in ((held, "held blocks.1-2.hook_mlp_out"), (summary, "held")):
        assert (word in sweep_findings.facts(tree).replace("\\", "")) == (tree is held)


def test_depths_go_into_the_documentation_beside_what_is_held(summary: xr.DataTree) -> None:
    config = json.loads(summary.attrs["config"])
    group = summary["sensitivity"].to_dataset().isel(write=slice(2))
    trees = []
    for frozen in ([], ["blocks.1-2.hook_mlp_out"]):
        trees.append(xr.DataTree.from_dict({"sensitivity": group.assign(ks=group["ks"] / (1 + len(frozen)))}))
        sites = config["sites"] | {"frozen": frozen}
        trees[-1].attrs = summary.attrs | {"config": json.dumps(config | {"sites": sites})}
    text = runpy.run_path(str(resources.root() / "docs" / "findings.py"))["depths"](trees)
    assert text.startswith("All parts of the model answer.\n\n- On L2, written at ")
    assert text.count("in the unperturbed prompt:\n") + text.count("in the unperturbed prompt: ") == 1
    assert text.count("- Of the curves towards real targets never blow up: ") == 2
    never = group["censored_fraction"].sel(activation_type="real", read=READS[-1], write=WRITES[0], metric="l2")
    share = float(never.sel(statistic="max_slope", convention="corrected").squeeze())
    assert f"never blow up: {percent(share)} on L2 and " in text
    rows = [line for line in text.splitlines() if line.startswith("| random ")]
    assert len(rows) == 2
    where = {"statistic": "max_slope", "convention": "corrected", "activation_type": "random", "read": READS[-1]}
    ks = group["ks"].sel(where).squeeze()
    for row, write in zip(rows, WRITES, strict=False):
        expected = [float(ks.sel(write=write, metric=metric)) / part for part in (1, 2) for metric in ("l2", "kl")]
        assert [cell.split()[0] for cell in row.split("|")[2:-1]] == [f"{value:.2f}" for value in expected]


def test_sites_that_are_read_once_have_no_depth(summary: xr.DataTree) -> None:
    group = summary["sensitivity"].to_dataset().isel(read=[1])
    plain = xr.DataTree.from_dict({"sensitivity": group.assign(told_from=told_from(group))})
    plain.attrs = summary.attrs
    assert sweep.depth_sentences(plain).startswith("No write site is read at two sites")


def test_a_type_differs_where_the_run_s_own_verdict_says_so(summary: xr.DataTree, folder: Path) -> None:
    """An interval of the distance that excludes 0 is another rule, and decides nothing."""
    tree = in_cells(summary, "exceeds_chance", [1, 0, 1, 0, 0], activation_type="random", metric="l2")
    tree["sensitivity"]["ks_interval"].loc[{"bound": "lower"}] = 0.2
    frame = sweep.summary_table(tree).frame.set_index("type")
    assert frame.loc["random", "differs_l2"] == 2
    group = summary["sensitivity"].to_dataset()
    with open_run(folder / "cell-3.zarr") as run:
        own = summarize_experiment(run["sensitivity"].to_dataset(), "sensitivity", SETTINGS)
    cell = group.sel(model="syn_thetic", sae="none", seed=0, write=WRITES[1], read=READS[1])
    for name in ("verdict", "conclusion", "nearness"):
        assert (cell[name].to_numpy() == own[name].to_numpy()).all()
    tested = own["verdict"] != "undefined"
    assert (cell["exceeds_chance"].to_numpy() == own["exceeds_chance"].to_numpy())[tested.to_numpy()].all()
    assert np.isnan(cell["exceeds_chance"].to_numpy()[~tested.to_numpy()]).all()
    empty = group.sel(model="syn_thetic", sae="none", seed=0, write=WRITES[2], read=READS[0])
    assert set(empty["verdict"].to_numpy().ravel().tolist()) == {""}


def test_which_of_two_types_is_nearer_is_the_verdict_on_the_pair(summary: xr.DataTree) -> None:
    pair = {"activation_type": "random", "other_type": "isotropic", "metric": "l2"}
    words = ["nearer", "nearer", "farther", "undecided", "undefined"]
    (found,) = sweep.nearness_table(in_cells(summary, "nearness", words, **pair)).frame.to_dict("records")
    assert (found["type"], found["other_type"]) == ("random", "isotropic")
    assert [found[f"{name}_l2"] for name in ("nearer", "farther", "runs")] == [2, 1, 4]
