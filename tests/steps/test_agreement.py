"""Two runs curve by curve: on curves that differ by what is known, and on runs that cannot be compared."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from plateaulens.cli import main
from plateaulens.errors import UsageError
from plateaulens.steps.agreement import agreement, ends
from plateaulens.store.reading import open_run
from plateaulens.testing import generate_run, synthetic_spec

SAMPLES, STEPS = 12, 21


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    path = tmp_path_factory.mktemp("runs") / "one.zarr"
    generate_run(path, synthetic_spec(SAMPLES, steps=STEPS))
    return path


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """Its copy, without digests, so that a test may change it."""
    copy = tmp_path / "other.zarr"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "integrity")
    zarr.open_group(copy, mode="r+").attrs["schema_version"] = 1
    return copy


def change(path: Path, name: str) -> Any:
    array = zarr.open_group(path, mode="r+")[name]
    assert isinstance(array, zarr.Array)
    return array


def test_a_run_agrees_with_itself(run: Path, other: Path) -> None:
    found = agreement(run, other)
    assert {each.experiment for each in found} == set(open_run(run).children) - {"prompts", "activations", "provenance"}
    assert all(each[3:] == (0.0, 1.0, 1.0) for each in found)
    assert all(each.curves == 9 * SAMPLES for each in found)
    assert [each.what for each in ends(run, other)] == ["base", "target"]
    assert all(each[2:] == (0.0, 1.0) for each in ends(run, other))


def test_a_point_that_differs_is_seen_in_its_metric_alone(run: Path, other: Path) -> None:
    curves = change(other, "sensitivity/curve")
    values = np.asarray(curves[...])
    largest = values[..., 1].max()
    values[2, 3, 5, 1] -= 0.25 * largest
    curves[...] = values
    found = {(each.experiment, each.metric): each.largest_difference for each in agreement(run, other)}
    assert found.pop(("sensitivity", "kl")) == pytest.approx(0.25, rel=1e-5)
    assert set(found.values()) == {0.0}


def test_the_share_of_equal_steps_and_tokens_is_exact(run: Path, other: Path) -> None:
    """A curve whose only rise is at its end, and one that never rises, in place of two that rise before."""
    curves, tokens = change(other, "sensitivity/curve"), change(other, "sensitivity/top_token")
    values = np.asarray(curves[...])
    values[1, :2, :, 0] = 0.0
    values[1, 0, -1, 0] = 100.0
    curves[...] = values
    changed = np.asarray(tokens[...])
    changed[0, 0, :7] += 1
    tokens[...] = changed
    rows = {each.metric: each for each in agreement(run, other) if each.experiment == "sensitivity"}
    assert rows["l2"].same_max_slope == 1 - 2 / (9 * SAMPLES)
    assert rows["kl"].same_max_slope == 1.0
    assert {row.same_top_token for row in rows.values()} == {1 - 7 / (9 * SAMPLES * STEPS)}


def test_two_curves_that_never_rise_agree(run: Path, other: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat.zarr"
    shutil.copytree(other, flat)
    for path in (other, flat):
        change(path, "sensitivity/curve")[...] = 0.0
    rows = [each for each in agreement(flat, other) if each.experiment == "sensitivity"]
    assert all(row[3:] == (0.0, 1.0, 1.0) for row in rows)
    del run


def test_a_base_and_a_target_that_are_longer(run: Path, other: Path) -> None:
    base, target = change(other, "activations/base"), change(other, "activations/target")
    base[1] = np.asarray(base[1]) * 1.5
    target[4, 2] = np.asarray(target[4, 2]) * 1.25
    found = {each.what: each for each in ends(run, other)}
    assert found["base"].largest_difference == pytest.approx(0.5, rel=1e-6)
    assert found["base"].same == 1 - 1 / SAMPLES
    assert found["target"].largest_difference == pytest.approx(0.25, rel=1e-6)
    assert found["target"].same == 1 - 1 / (9 * SAMPLES)


def test_what_only_one_has_is_left_out(run: Path, other: Path, tmp_path: Path) -> None:
    shorter = tmp_path / "shorter.zarr"
    generate_run(shorter, synthetic_spec(SAMPLES, steps=STEPS + 4))
    done = change(other, "sensitivity/completed")
    marks = np.asarray(done[...])
    marks[:, [0, 4, 9]] = False
    done[...] = marks
    rows = [each for each in agreement(run, other) if each.experiment == "sensitivity"]
    assert {row.curves for row in rows} == {9 * (SAMPLES - 3)}
    with pytest.raises(UsageError, match="have no curve in common: collect the same types and experiments"):
        agreement(run, shorter)


def test_other_prompts_are_refused(run: Path, other: Path) -> None:
    change(other, "prompts/token")[3, 0] += 1
    for compare in (agreement, ends):
        with pytest.raises(UsageError, match="have other base prompts"):
            compare(run, other)


@pytest.mark.slow
def test_damage_is_blamed_on_the_run_that_has_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(run, damaged)
    chunk = next(file for file in (damaged / "sensitivity" / "curve").rglob("c/**/*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    for pair in ((run, damaged), (damaged, run)):
        assert main(["differ", *map(str, pair)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert str(damaged) in line
        assert "damaged" in line


def test_the_command_line_prints_and_writes_tables(
    run: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = change(other, "plateau/top_token")
    tokens[0, 0, 1] = np.asarray(tokens[0, 0, 1]) + 1
    assert main(["differ", str(run), str(other), "--out", str(tmp_path / "made" / "curves.csv")]) == 0
    told = capsys.readouterr().out
    assert "same max-slope step" in told
    row = next(line for line in told.splitlines() if line.startswith("plateau") and " kl " in line)
    assert row.split() == ["plateau", "kl", str(9 * SAMPLES), "0", "100", "%", "99.95", "%"]
    lines = (tmp_path / "made" / "curves.csv").read_text().splitlines()
    assert lines[0] == "experiment,metric,curves,largest_difference,same_max_slope,same_top_token"
    assert len(lines) == 1 + len(agreement(run, other))
