import re
from pathlib import Path

import pandas as pd
import pytest

from calibration import table
from calibration.__main__ import main
from calibration.outcomes import Tallies, covers, rejects
from calibration.runner import Cell, Effort
from plateaulens.marks import fill

ROOT = Path(__file__).parents[2]


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two designs: an interval that holds 3 of 4 times and 4 of 4, and a test that errs once in 4."""
    results = {}
    for design, hits in (("steps", [True, True, True, False]), ("ties", [True] * 4)):
        tallies = Tallies()
        for hit in hits:
            tallies.add([covers("mean", "bca", "real", 0.0, (-1.0, 1.0 if hit else -0.5))])
            tallies.add([rejects("KS", "pooled", "same", 0.0, not hit, null=True)])
            tallies.add(
                [rejects("KS", "pooled", f"KS 0.15{other}", 0.15, hit, null=False) for other in ("", ", earlier")]
            )
        results[Cell("intervals", design, 50)] = tallies
    return table.as_frame(results, Effort(4, 99, 0))


def test_rows_come_back_from_the_file(frame: pd.DataFrame, tmp_path: Path) -> None:
    table.save(frame, tmp_path / "table.csv")
    loaded = table.load(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(loaded, frame, rtol=1e-3)
    assert table.render(loaded) == table.render(frame)


def test_entries_are_the_mean_and_the_range(frame: pd.DataFrame) -> None:
    lines = table.render(frame).splitlines()
    assert any(line.split("|")[1:4] == [" mean       ", " bca      ", " 87.5 (75.0-100.0) "] for line in lines)
    (error,) = (line for line in lines if "12.5 (0.0-25.0)" in line)
    assert "KS" in error
    assert "pooled" in error
    (power,) = (line for line in lines if "KS 0.15" in line)
    assert power.split("|")[-2].strip() == "88"


def test_the_introduction_says_how_many_replications_there_are(frame: pd.DataFrame) -> None:
    assert table.render(frame).startswith("4 replications of each cell")
    more = pd.concat([frame, frame.assign(samples=200, replications=100)])
    assert table.render(more).startswith("4 to 100 replications of each cell (")
    apart = [frame.assign(question=name) for name in ("tests", "survival")]
    few = pd.concat([*apart, frame.assign(question="planning", replications=2)])
    assert table.render(few).startswith("4 replications of each cell, 2 of *planning* (fewer")


def test_what_covers_too_little_is_named_with_where(frame: pd.DataFrame) -> None:
    (low,) = table.below(frame).to_dict("records")
    assert low == {
        "quantity": "mean",
        "method": "bca",
        "table": "first",
        "entries below": "1 of 2",
        "lowest": "75.0",
        "where": "steps, real, n = 50",
    }
    assert table.below(frame.assign(share=table.FLOOR)).empty
    assert table._LOW not in table.render(frame.assign(share=table.FLOOR))


def test_the_page_names_every_interval_that_covers_too_little() -> None:
    """Read from the file and from the page, by nothing that writes either."""
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    named = [[cell.strip() for cell in line.split("|")] for line in page.partition("somewhere**")[2].splitlines()]
    rows = pd.read_csv(ROOT / "docs" / "calibration.csv")
    low = rows[(rows["kind"] == "coverage") & (rows["share"] < 0.93)]
    assert len(low) > 0
    for row in low.itertuples():
        at = "corners" if row.question == "corners" else "first"
        (lowest,) = (float(line[5]) for line in named if line[1:4] == [row.quantity, row.method, at])
        assert lowest <= round(100 * float(str(row.share)), 1), row


STUDENT = "studentised, at least Student's t"
SAYS = {
    r"means and mean differences cover (\d+) to (\d+) % where prompts are independent": (
        "mean|mean_difference",
        STUDENT,
        "",
    ),
    r"BCa intervals of the\s+deltas (\d+) to (\d+) %": ("cliffs_delta|paired_delta", "bca", ""),
    r"restricted means and their differences (\d+) to (\d+) %": (
        "restricted_mean|restricted_mean_difference",
        STUDENT,
        "",
    ),
    r"intervals from single prompts cover as little as\s+(\d+) %;": (
        ".*",
        ".*, prompts resampled",
        "three prompts a target",
    ),
    r"with `resample_targets`, (\d+) to (\d+) %": (".*", ".*, linked groups resampled", "three prompts a target"),
}
"""What the page says of coverage, and of which quantities, methods and designs."""


@pytest.mark.parametrize("sentence", SAYS)
def test_what_the_page_says_of_coverage_is_what_was_counted(sentence: str) -> None:
    quantity, method, design = SAYS[sentence]
    rows = pd.read_csv(ROOT / "docs" / "calibration.csv")
    rows = rows[(rows["kind"] == "coverage") & ~rows["question"].isin(["corners", "novelty"])]
    rows = rows[rows["quantity"].str.fullmatch(quantity) & rows["method"].str.fullmatch(method)]
    rows = rows[rows["design"] == design] if design else rows
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    (said,) = re.finditer(sentence, page)
    shares = 100 * rows["share"]
    assert len(shares) >= 40
    counted = [str(round(share)) for share in (shares.min(), shares.max())]
    assert list(said.groups()) == counted[: len(said.groups())]


def test_new_cells_replace_old_ones(frame: pd.DataFrame) -> None:
    again = frame[frame["design"] == "ties"].assign(share=0.5)
    merged = table.merge(frame, again)
    assert len(merged) == len(frame)
    assert set(merged.loc[merged["design"] == "ties", "share"]) == {0.5}
    assert merged[merged["design"] == "steps"].equals(frame[frame["design"] == "steps"])


def test_the_page_shows_the_table_that_is_stored() -> None:
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert fill(page, *table.MARKS, table.render(table.load(ROOT / "docs" / "calibration.csv"))) == page


class TestCommand:
    def test_writes_both_and_forgets_the_cells(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "statistics.md").write_text("# Page\n\n{}\n{}\n".format(*table.MARKS), encoding="utf-8")
        effort = ["--replications", "4", "--resamples", "9", "--processes", "1"]
        assert main(["--only", "confounds", *effort]) == 0
        page = (tmp_path / "docs" / "statistics.md").read_text(encoding="utf-8")
        assert "| adjusted difference  | regression, CR3 |" in page
        assert not list((tmp_path / "data" / "cache" / "calibration").iterdir())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--only", "nothing"], "no question 'nothing'"),
            (["--replications", "0"], "must be positive"),
            (["--page", "missing.md"], "no page at missing.md"),
        ],
    )
    def test_says_what_is_wrong(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([*arguments]) == 1
        assert message in capsys.readouterr().err
