"""Summaries of another version: whatever words one refuses it in one line, and whoever queries one gets it."""

import re
from collections.abc import Callable
from inspect import getmembers, isfunction, signature
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import plateaulens
from plateaulens import plot
from plateaulens.cli import main
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.export import write_all
from plateaulens.export.saebench import scale_of
from plateaulens.notebook.accessor import RunAccessor
from plateaulens.notebook.runs import max_slopes, report, verdict_table
from plateaulens.report import contents, models
from plateaulens.report.build import build
from plateaulens.report.ladder import open_sites
from plateaulens.report.taken import gather
from plateaulens.store.reading import check_summary, open_summary, open_sweep_summary
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND, SUMMARY_VERSION, SWEEP_SUMMARY_KIND
from plateaulens.summary.analyze import analyze, write_summary
from plateaulens.testing import generate_run, synthetic_spec

MISSING = object()
OTHERS = [MISSING, None, 0, -1, True, False, str(SUMMARY_VERSION), float(SUMMARY_VERSION), np.nan, [SUMMARY_VERSION],
          {"version": SUMMARY_VERSION}, "\x1b[31m\n", -(10**5000)]  # fmt: skip
ANOTHER = r"was made by another version \(its summary_version is .*, not \d+\): run `plateaulens analyze` again"
NEWER = r"was made by a newer version \(its summary_version is .*, not \d+\): update plateaulens"
SOURCE = Path(plateaulens.__file__).parent

SETTINGS = AnalysisConfig(resamples=20)

Ways = dict[str, Callable[[Path], object]]


def with_version(tree: xr.DataTree, version: object) -> xr.DataTree:
    """The summary with another version, or without any."""
    copy = tree.copy()
    copy.attrs = {key: value for key, value in tree.attrs.items() if key != "summary_version"}
    if version is not MISSING:
        copy.attrs["summary_version"] = version
    return copy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its summary, and summaries of runs and of sweeps without a version and with a later one; read only."""
    folder = tmp_path_factory.mktemp("versions")
    spec = synthetic_spec(8, activation_types=("real", "random"), experiments=("sensitivity",), steps=11)
    generate_run(folder / "run.zarr", spec)
    tree = analyze(folder / "run.zarr", folder / "present.zarr", SETTINGS)
    for name, version in (("another", MISSING), ("newer", SUMMARY_VERSION + 1)):
        write_summary(with_version(tree, version), folder / f"{name}.zarr")
        sweep = with_version(xr.DataTree.from_dict({"sensitivity": tree["sensitivity"].to_dataset()}), version)
        sweep.attrs |= {"kind": SWEEP_SUMMARY_KIND, "schema_version": SCHEMA_VERSION, "name": "sites"}
        write_summary(sweep, folder / f"{name}-sweep.zarr")
    return folder


@pytest.fixture(scope="module")
def present(folder: Path) -> xr.DataTree:
    return open_summary(folder / "present.zarr")


COMMANDS = {
    "report": ["report", "--summary", "SUMMARY", "--out", "OUT"],
    "the page of a ladder": ["report", "--ladder", "--summary", "SUMMARY", "--out", "OUT"],
    "set beside": ["report", "--summary", "PRESENT", "--beside", "SUMMARY", "--out", "OUT"],
    "export": ["export", "SUMMARY", "--out", "OUT"],
    "SAEBench": ["export", "SUMMARY", "--to", "saebench", "--out", "OUT"],
    "show": ["show", "SUMMARY"],
    "compare-reference": ["compare-reference", "SUMMARY"],
    "plan": ["plan", "--summary", "SUMMARY", "--width", "2"],
}
OF_SWEEPS = ("report", "export", "SAEBench", "show")
OF_FILES: Ways = {
    "build": lambda path: build(path, path.parent / "out"),
    "build beside": lambda path: build(path.parent / "present.zarr", path.parent / "out", beside=path),
    "what is beside a page": lambda path: gather(path, path.parent / "out"),
    "sites": open_sites,
    "models": lambda path: models.section(open_summary(path.parent / "present.zarr"), str(path)),
    "check": lambda path: contents.check(open_summary(path), path),
}
DRAWN = {
    name
    for name, made in getmembers(plot, isfunction)
    if "summary" in signature(made).parameters and not name.startswith("_")
}
OF_TREES: dict[str, Callable[[xr.DataTree], object]] = {
    "check": contents.check,
    "report": lambda tree: report(tree, "no.html"),
    "table": verdict_table,
    "the accessor's table": lambda tree: RunAccessor(tree).summary(),
    "steps": max_slopes,
    "export": lambda tree: write_all(tree, Path("no")),
    "scale": scale_of,
    "score": plateaulens.score_sae,
    "scores": lambda tree: plateaulens.score_sae({"a": tree, "b": tree}),
    **{name: getattr(plot, name) for name in sorted(DRAWN)},
}


class TestWhatRefuses:
    @pytest.mark.parametrize("version", OTHERS, ids=[type(each).__name__ for each in OTHERS])
    def test_whatever_is_not_the_version(self, version: object) -> None:
        attributes = {"name": "\x1b[31msome\n", "summary_version": version}
        if version is MISSING:
            del attributes["summary_version"]
        with pytest.raises(UsageError, match=rf"^the summary .* at s3://here {ANOTHER}$") as caught:
            check_summary(attributes, "s3://here")
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("version", [SUMMARY_VERSION + 1, 10**5000], ids=["next", "huge"])
    def test_a_newer_one(self, version: object) -> None:
        with pytest.raises(UsageError, match=rf"^the summary some {NEWER}$"):
            check_summary({"name": "some", "summary_version": version})

    def test_the_present_one_passes(self, present: xr.DataTree) -> None:
        assert contents.check(present) is present

    def test_the_schema_of_stores_says_nothing_of_it(self, present: xr.DataTree) -> None:
        assert present.attrs["schema_version"] == SCHEMA_VERSION
        check_summary(dict(present.attrs) | {"schema_version": 1})


@pytest.mark.parametrize(("name", "said"), [("another", ANOTHER), ("newer", NEWER)], ids=["another", "newer"])
class TestEveryWayIn:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_commands(
        self, command: str, name: str, said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.refused(COMMANDS[command], folder / f"{name}.zarr", said, tmp_path, capsys)

    @pytest.mark.parametrize("command", OF_SWEEPS)
    def test_commands_on_sweeps(
        self, command: str, name: str, said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.refused(COMMANDS[command], folder / f"{name}-sweep.zarr", said, tmp_path, capsys)

    def refused(
        self, command: list[str], summary: Path, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        places = {
            "SUMMARY": str(summary), "PRESENT": str(summary.parent / "present.zarr"), "OUT": str(tmp_path / "out"),
        }  # fmt: skip
        assert main([places.get(each, each) for each in command]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.fullmatch(rf"plateaulens: error: the summary \w+ at {re.escape(str(summary))} {said}", line)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("way", OF_FILES)
    def test_functions_of_files(self, way: str, name: str, said: str, folder: Path) -> None:
        with pytest.raises(UsageError, match=rf"{name}.zarr {said}$"):
            OF_FILES[way](folder / f"{name}.zarr")
        assert not (folder / "out").exists()

    @pytest.mark.parametrize("way", OF_TREES)
    def test_functions_of_trees(self, way: str, name: str, said: str, folder: Path) -> None:
        with pytest.raises(UsageError, match=rf"^the summary \w+ {said}$"):
            OF_TREES[way](open_summary(folder / f"{name}.zarr"))

    def test_functions_of_sweeps(self, name: str, said: str, folder: Path) -> None:
        tree = open_sweep_summary(folder / f"{name}-sweep.zarr")
        for made in (contents.check, plateaulens.score_sae, scale_of, lambda tree: write_all(tree, Path("no"))):
            with pytest.raises(UsageError, match=rf"^the summary sites {said}$"):
                made(tree)

    def test_it_is_queried_and_says_why_it_has_no_words(self, name: str, said: str, folder: Path) -> None:
        tree = open_summary(folder / f"{name}.zarr")
        assert tree["sensitivity"]["ks"].notnull().any()
        card = RunAccessor(tree)._repr_html_()
        assert "synthetic" in card
        assert "no verdicts" in card
        assert said.rpartition(": ")[2] in card


@pytest.mark.slow
def test_it_is_made_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "summary.zarr"
    write_summary(open_summary(folder / "another.zarr"), out)
    analyze(folder / "run.zarr", out, SETTINGS)
    assert contents.check(open_summary(out)).attrs["summary_version"] == SUMMARY_VERSION


def test_the_functions_of_plot_are_among_them() -> None:
    assert {"ks_forest", "plateaus", "distinguishability", "adjusted_differences"} <= DRAWN


def test_no_module_opens_a_summary_without_asking() -> None:
    """A new way in has to ask, or to be a name here: `check_present` and `open_present_summary` do both at once."""
    opens = re.compile(r"\bopen_(?:sweep_)?summary\)?\(")
    asks = re.compile(r"\bcheck(?:_summary|_present)?\(")
    found = {
        path.relative_to(SOURCE).as_posix(): bool(asks.search(text))
        for path in SOURCE.rglob("*.py")
        if opens.search(text := path.read_text(encoding="utf-8"))
    }
    assert [name for name, does in found.items() if not does] == []
    assert {"cli/show.py", "report/ladder.py", "report/models.py", "report/build.py"} <= found.keys()
    for page in (SOURCE.parents[1] / "report").glob("*.qmd"):
        assert len(opens.findall(page.read_text())) == len(re.findall(r"contents\.check\(open_", page.read_text()))


def test_a_summary_is_written_with_it(present: xr.DataTree) -> None:
    """Of sweeps see tests/report/test_sweep.py."""
    assert (present.attrs["kind"], present.attrs["summary_version"]) == (SUMMARY_KIND, SUMMARY_VERSION)
