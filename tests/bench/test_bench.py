"""The bench as a whole, at toy size: what it measures, prints and stores, not how long anything takes."""

import json
import re
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.__main__ import main
from bench.gpu import _whole
from bench.growth import BLOCKS, fit
from bench.tables import gpu_tables, insert, tables
from plateaulens.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
MARKERS = "".join(
    f"<!-- bench:{name} --><!-- bench -->\n" for name in ("settings", "ways", "growth", "precision", "memory", "sweeps")
)
TOY = ["--samples=2", "--types=2", "--steps=12", "--length=4", "--rounds=2", "--precision-samples=2"]


@pytest.fixture(scope="module")
def outcome(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str, str]:
    """The JSON, the document with the tables, and the model's path, which must not be in either."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "doc.md").write_text(f"before\n{MARKERS}after\n")
    model = str(tiny_files / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "GROWTH", {"steps": (4, 8), "length": (3, 6)})
        patch.setattr(command, "MEMORY", {"collect": (3,), "analyze": (12,)})
        arguments = [f"--model={model}", *TOY, f"--out={folder / 'b.json'}", f"--document={folder / 'doc.md'}"]
        assert main([*arguments]) == 0
    return json.loads((folder / "b.json").read_text()), (folder / "doc.md").read_text(), model


@pytest.mark.slow
def test_every_way_is_timed_in_every_round(outcome: tuple[dict[str, object], str, str]) -> None:
    result = outcome[0]
    rounds = result["rounds"]
    assert isinstance(rounds, dict)
    assert {"engine", "engine, bf16", "plain", "key-value cache"} < set(rounds)
    assert all(len(times) == 2 and min(times) > 0 for times in rounds.values())
    agreement = result["agreement"]
    assert isinstance(agreement, dict)
    assert set(agreement) == {"plain", "key-value cache"}
    assert all(0 <= difference < 1e-4 for difference in agreement.values())


@pytest.mark.slow
def test_growth_has_the_sizes_and_the_write_site(outcome: tuple[dict[str, object], str, str]) -> None:
    growth = outcome[0]["growth"]
    assert isinstance(growth, dict)
    assert set(growth) == {"steps", "length", BLOCKS}
    assert growth["steps"]["values"] == [4, 8]
    assert growth[BLOCKS]["values"] == [1, 2]


@pytest.mark.slow
def test_memory_is_that_of_the_commands(outcome: tuple[dict[str, object], str, str]) -> None:
    memory = outcome[0]["memory"]
    assert isinstance(memory, list)
    assert [(held["command"], held["samples"]) for held in memory] == [("collect", 3), ("analyze", 12)]
    assert all(held["peak_bytes"] > 5e7 and held["stored_bytes"] > 1e4 and held["seconds"] > 0 for held in memory)


@pytest.mark.slow
def test_the_document_holds_the_tables_and_nothing_else_changed(outcome: tuple[dict[str, object], str, str]) -> None:
    result, document, model = outcome
    assert document.startswith("before\n<!-- bench:settings -->")
    assert document.endswith("<!-- bench -->\nafter\n")
    assert insert(document, tables(result)) == document
    assert model not in document + json.dumps(result)


def test_the_documentation_is_what_its_figures_say() -> None:
    """Whatever number stands in a table of docs/performance.md is in docs/performance.json."""
    document = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    result = json.loads((ROOT / "docs/performance.json").read_text(encoding="utf-8"))
    assert set(tables(result)) == {"settings", "ways", "growth", "precision", "memory", "sweeps"}
    assert all(f"<!-- bench:{name} -->" in document for name in tables(result))
    assert insert(document, tables(result)) == document


def test_a_document_with_a_place_for_a_table_that_was_not_measured() -> None:
    with pytest.raises(UsageError, match="growth"):
        insert("<!-- bench:growth --><!-- bench -->", {"ways": "x"})


def test_the_engine_alone(tiny_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--model={tiny_files / 'model'}", *TOY, "--engine-only", "--write=2"]) == 0
    assert "engine, bf16" in capsys.readouterr().out


def test_a_block_that_is_not_there(tiny_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--model={tiny_files / 'model'}", *TOY, "--write=3"]) == 1
    assert "numbered 0 to 2" in capsys.readouterr().err


def test_slopes() -> None:
    growth = fit([1, 2, 4, 8], [3.0, 5.0, 9.0, 17.0])
    assert growth["per_unit"] == pytest.approx(2)
    assert growth["fixed"] == pytest.approx(1)
    assert fit([1, 2, 4, 8], [5.0, 20.0, 80.0, 320.0])["exponent"] == pytest.approx(2)


def test_the_page_has_the_tables_of_the_gpus_figures() -> None:
    """Which were measured on a card, and are not measured here."""
    result = json.loads((ROOT / "docs/performance-gpu.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    made = gpu_tables(result)
    assert insert(page, made) == page
    assert {"gpu", "gpu_batches", "gpu_large", "gpu_whole"} == set(made)
    busy = result["models"]["embedded:smollm2"]["engine"]["fp16x3"]["busy"]
    assert f"busy in {busy:.0%} of the scan" in re.sub(r"(\d) %", r"\1%", page)
    assert result["seconds"] < 180


@pytest.mark.model
def test_a_whole_run_is_timed_beside_its_scan() -> None:
    found = _whole("cpu", 2)
    assert found["seconds"] > found["scan"] > 0
    assert {key: found[key] for key in ("samples", "types", "likely")} == {"samples": 2, "types": 9, "likely": 5}
