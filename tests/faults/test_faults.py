"""The trials in short, and that the document shows those that there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import table
from tests.faults.trials import EDITS, TRIALS
from tests.processes import PATIENCE, environment

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"


def test_a_hundred_are_killed() -> None:
    assert sum(table.times(trial) for trial in TRIALS if trial.kills) == table.KILLS
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)
    assert all(table.times(trial, 5) >= 1 for trial in TRIALS)
    assert next(t for t in TRIALS if "`zarr.json`" in t.name).times >= len(EDITS)


def test_the_document_shows_these_trials_and_that_all_held() -> None:
    assert table.shown(DOCUMENT) == [(t.name, t.times, t.times, t.checked) for t in TRIALS]
    (sentence,) = re.findall(r"(\d+) trials, (\d+) of them kill -9 .* (\d+) held", DOCUMENT.read_text())
    made = sum(trial.times for trial in TRIALS)
    assert [int(number) for number in sentence] == [made, table.KILLS, made]


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    rows = [table.Row(trial, 3, 2) for trial in TRIALS[:2]]
    for _ in range(2):
        table.write(document, f"{table.summary(rows, 90, 7)}\n\n{table.markdown(rows)}")
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "6 trials, 6 of them kill -9 at a random moment, 4 held; seed 7, 1.5 minutes." in text
    assert table.shown(document) == [(trial.name, 3, 2, trial.checked) for trial in TRIALS[:2]]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults", *arguments]
    path = f"{ROOT}:{environment()['PYTHONPATH']}"
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at its threads in /proc")
def test_one_of_each_that_is_quick(tmp_path: Path) -> None:
    """Everything else is tried by `nox -s faults`; its parts are tests of their own beside what they disturb."""
    document = tmp_path / "page.md"
    document.write_text(f"{table.BEGIN}\n{table.END}\n")
    names = ("`analyze`", "SIGTERM", "clock that", "disk", "chunk")  # without a comma, which parts them
    done = run("--trials", "5", "--seed", "3", "--only", ",".join(names), "--out", str(document))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    shown = table.shown(document)
    assert sum(count for _, count, _, _ in shown) >= 5
    assert all(held == count for _, count, held, _ in shown)
    assert {name for name, *_ in shown} == {t.name for t in TRIALS if any(part in t.name for part in names)}


@pytest.mark.slow
def test_an_unknown_trial_is_refused() -> None:
    done = run("--only", "flood")
    assert done.returncode == 2
    assert "no trial has 'flood' in its name" in done.stderr
