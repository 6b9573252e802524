"""`plateaulens report`: which summary a run is set beside."""

import json
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from plateaulens.cli import main
from plateaulens.config import AnalysisConfig
from plateaulens.report import build as building
from plateaulens.summary.analyze import analyze, write_summary
from plateaulens.testing import generate_run, synthetic_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its summary, and one of a run whose preset wants to be set beside `other`; read only."""
    folder = tmp_path_factory.mktemp("beside")
    spec = synthetic_spec(8, activation_types=("real", "random"), experiments=("sensitivity",))
    generate_run(folder / "run.zarr", spec)
    tree = analyze(folder / "run.zarr", folder / "plain.zarr", AnalysisConfig(resamples=20))
    config = json.loads(tree.attrs["config"]) | {"report": {"beside": "other"}}
    wanting = xr.DataTree.from_dict({name: node.to_dataset() for name, node in tree.children.items()})
    wanting.attrs = tree.attrs | {"config": json.dumps(config)}
    write_summary(wanting, folder / "wanting.zarr")
    return folder


@pytest.fixture
def summary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The summary that wants to be set beside another, in the folder that commands run in."""
    monkeypatch.chdir(folder)
    return folder / "wanting.zarr"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `build` is asked to set the summary beside."""
    found: list[Any] = []

    def note(*_: object, beside: object, **__: object) -> list[Path]:
        found.append(beside)
        return []

    monkeypatch.setattr(building, "build", note)
    return found


def test_the_preset_names_it_and_the_option_replaces_it(summary: Path, asked: list[Any]) -> None:
    assert main(["report", "--summary", str(summary)]) == 0
    assert main(["report", "--summary", str(summary), "--beside", "plain.zarr"]) == 0
    assert main(["report", "--summary", "plain.zarr"]) == 0
    assert asked == [Path("data/summaries/other.zarr"), "plain.zarr", None]


@pytest.mark.parametrize(
    ("formats", "said"), [("html,html", "names a format twice"), ("html,pdf,html", "names a format twice")]
)
def test_a_format_that_is_named_twice(formats: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", "--to", formats])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"plateaulens: error: argument --to: '{formats}' {said}")


def test_one_that_is_not_there_is_an_error_where_it_was_asked_for(
    summary: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--summary", str(summary), "--beside", "nowhere.zarr"]) != 0
    assert main(["report", "--summary", str(summary), "--beside", "run.zarr"]) != 0
    missing, wrong = capsys.readouterr().err.strip().splitlines()
    assert "--beside: no summary at nowhere.zarr" in missing
    assert "is not a plateaulens summary" in wrong
    assert not asked


def test_numbers_are_written_beside_the_page_unless_told_otherwise(
    summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def note(*_: object, data: bool, **__: object) -> list[Path]:
        asked.append(data)
        return []

    monkeypatch.setattr(building, "build", note)
    assert main(["report", "--summary", str(summary)]) == 0
    assert main(["report", "--summary", str(summary), "--no-data"]) == 0
    assert asked == [True, False]
