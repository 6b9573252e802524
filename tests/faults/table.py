"""The table of what was tried, and its place in a document."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.trials import TRIALS, Trial

from plateaulens.marks import fill

BEGIN = "<!-- made by `nox -s faults`, not by hand -->"
END = "<!-- end of what is made -->"
KILLS = 100
"""How many commands are killed in all where nobody says otherwise."""


@dataclass(frozen=True)
class Row:
    """What came of one trial."""

    trial: Trial
    times: int
    held: int


def times(trial: Trial, kills: int = KILLS) -> int:
    """How often a trial is made where so many commands are killed in all."""
    return max(1, round(trial.times * kills / KILLS))


def markdown(rows: Iterable[Row]) -> str:
    """The table."""
    lines = ["| trial | times | held | what held |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {row.trial.name} | {row.times} | {row.held} | {row.trial.checked} |" for row in rows]
    return "\n".join(lines)


def summary(rows: Sequence[Row], seconds: float, seed: int) -> str:
    """What the table is of, in a sentence."""
    kills = sum(row.times for row in rows if row.trial.kills)
    made, held = sum(row.times for row in rows), sum(row.held for row in rows)
    return (
        f"{made} trials, {kills} of them kill -9 at a random moment, {held} held; seed {seed}, "
        f"{seconds / 60:.1f} minutes."
    )


def write(document: Path, text: str) -> None:
    """Put what was made between the marks of a document."""
    document.write_text(fill(document.read_text(encoding="utf-8"), BEGIN, END, text), encoding="utf-8")


def shown(document: Path) -> list[tuple[str, int, int, str]]:
    """The rows of the table that a document has: trial, times, held, what held."""
    made = document.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line.strip("|").split("|") for line in made.splitlines() if line.startswith("|")][2:]
    return [(name.strip(), int(count), int(held), what.strip()) for name, count, held, what in rows]


def chosen(only: str | None) -> tuple[Trial, ...]:
    """The trials in whose names one of these comma-separated texts is; all of them for None."""
    return TRIALS if only is None else tuple(t for t in TRIALS if any(part in t.name for part in only.split(",")))
