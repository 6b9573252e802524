from pathlib import Path

import pytest

from calibration import runner
from calibration.outcomes import Tallies
from calibration.runner import Cell, Effort, calibrate, cells

EFFORT = Effort(replications=20, resamples=19)


def run(folder: Path, chosen: list[Cell], effort: Effort = EFFORT, *, processes: int = 1) -> dict[Cell, Tallies]:
    return calibrate(chosen, effort, folder, processes=processes, report=str)


def as_rows(results: dict[Cell, Tallies]) -> str:
    """For comparing: the width of what has none is NaN, which differs from itself."""
    return str(results)


@pytest.fixture
def cell() -> Cell:
    return Cell("confounds", "difference", 50)


def test_cells_are_distinct_and_chosen_by_question() -> None:
    every = cells()
    assert len({cell.name for cell in every}) == len(every)
    assert {cell.question for cell in cells(["survival", "shared"])} == {"survival", "shared"}
    assert {cell.samples for cell in every if cell.question != "corners"} == {50, 200, 1000}
    assert {cell.samples for cell in every if cell.question in {"planning", "looks"}} == {200}
    assert {cell.samples for cell in every if cell.question == "corners"} == {5, 10, 20, 40, 100, 300, 1000}


@pytest.mark.slow
def test_neither_processes_nor_other_cells_matter(tmp_path: Path, cell: Cell) -> None:
    other = Cell("confounds", "no difference", 50)
    alone = run(tmp_path / "alone", [cell])
    together = run(tmp_path / "together", [other, cell], processes=2)
    assert str(together[cell]) == str(alone[cell])
    assert str(together[other]) != str(alone[cell])
    assert all(tally.total <= 20 for tally in alone[cell].rows.values())


def test_a_finished_cell_is_not_run_again(tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path, [cell])
    monkeypatch.setattr(runner, "_batches", None)
    assert as_rows(run(tmp_path, [cell])) == as_rows(first)


def test_another_effort_or_other_code_runs_it_again(
    tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, [cell])
    assert as_rows(run(tmp_path, [cell], Effort(replications=20, resamples=19, seed=1))) != as_rows(first)
    assert as_rows(run(tmp_path, [cell])) == as_rows(first)
    monkeypatch.setattr(runner, "_code", lambda: "another")
    monkeypatch.setattr(runner, "_batches", lambda cell, effort: iter([(cell, effort, range(1))]))
    (tally, *_) = run(tmp_path, [cell])[cell].rows.values()
    assert tally.total == 1
