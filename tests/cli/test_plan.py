from pathlib import Path

import pytest

from plateaulens.cli import main
from plateaulens.config import AnalysisConfig
from plateaulens.summary.analyze import analyze
from plateaulens.testing import generate_run, synthetic_spec


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    spec = synthetic_spec(20, activation_types=("real", "random"), experiments=("sensitivity",))
    generate_run(folder / "run.zarr", spec)
    analyze(folder / "run.zarr", folder / "summary.zarr", AnalysisConfig(resamples=50))
    return folder / "summary.zarr"


@pytest.mark.parametrize(
    ("options", "goal"),
    [
        (["--width", "2"], "for a 95 % interval of width 2"),
        (["--power", "0.8"], "for power 0.8 against the pilot's own effect at level 0.05, adjusted for the types"),
        (["--power", "0.8", "--effect", "3"], "for power 0.8 against an effect of 3 at level 0.05"),
        (["--quantity", "ks", "--power", "0.8"], "against the pilot's own effect, a distance less its noise, at level"),
        (["--quantity", "ks", "--power", "0.8", "--effect", "0.2"], "for power 0.8 against an effect of 0.2 at level"),
        (["--quantity", "ks", "--width", "0.2"], "KS distance to real"),
    ],
)
def test_a_table(summary: Path, capsys: pytest.CaptureFixture[str], options: list[str], goal: str) -> None:
    assert main(["plan", "--summary", str(summary), *options]) == 0
    heading, heads, _, row = capsys.readouterr().out.splitlines()
    assert goal in heading
    assert heads.split()[-1] == ("equivalent" if {"ks", "--power"} <= set(options) else "prompts")
    assert row.split()[0] == "random"
    assert int(row.split()[-1].replace(",", "")) >= 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--width", "0"], "is no width"),
        (["--power", "1"], "is no power"),
        (["--width", "1", "--effect", "2"], "--effect goes with --power"),
        (["--power", "0.8", "--effect", "0"], "and is not 0"),
        (["--quantity", "ks", "--power", "0.8", "--effect", "3"], "--effect 3 is no KS distance"),
        (["--width", "1", "--experiment", "plateau"], "has no experiment 'plateau'"),
        (["--width", "1", "--experiment", "geometry"], "has no experiment 'geometry'"),
        (["--width", "1", "--metric", "l1"], "no metric 'l1'"),
    ],
)
def test_what_the_user_can_mend(
    summary: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["plan", "--summary", str(summary), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_no_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--summary", str(tmp_path / "none.zarr"), "--width", "1"]) == 1
    assert "plateaulens analyze" in capsys.readouterr().err
