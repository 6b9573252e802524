"""The command line: each mistake is one line on standard error and another exit status, and loses nothing."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.processes import PATIENCE, environment
from tests.tiny import D_MODEL, make_sae, measured, write_preset, write_sae

from plateaulens.cli import main
from plateaulens.names import WAYS
from plateaulens.store.reading import open_run, open_summary

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test starts in an empty folder of its own, and the commit that others make meanwhile is not seen."""
    monkeypatch.setenv("GIT_DIR", os.devnull)
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run collected by the command line; read only."""
    folder = tmp_path_factory.mktemp("finished")
    preset = write_preset(folder / "tiny.toml", tiny_files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        assert main(["collect", "--preset", str(preset), "--out", str(folder / "tiny.zarr")]) == 0
    return folder / "tiny.zarr"


@pytest.fixture(scope="module")
def small(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one experiment on two activation types, which is analysed in a moment; read only."""
    folder = tmp_path_factory.mktemp("small")
    keys = {"experiments": ["plateau"], "targets__types": ["real", "real_control"]}
    preset = write_preset(folder / "tiny.toml", tiny_files, **keys)
    assert main(["collect", "--preset", str(preset), "--out", str(folder / "tiny.zarr")]) == 0
    return folder / "tiny.zarr"


@pytest.fixture(scope="module")
def summary(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The summary of that run; read only."""
    path = tmp_path_factory.mktemp("summary") / "summary.zarr"
    assert main(["analyze", "--run", str(small), "--out", str(path)]) == 0
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run of one's own, to damage."""
    return Path(shutil.copytree(finished, tmp_path / "run.zarr"))


@pytest.fixture
def preset(tiny_files: Path, tmp_path: Path) -> Path:
    return write_preset(tmp_path / "tiny.toml", tiny_files)


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Run:
    """A function: runs a command that must fail as every command does, and returns what it said."""

    def fail(*arguments: str | Path) -> str:
        capfd.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("plateaulens: error: ")
        return line.removeprefix("plateaulens: error: ")

    return fail


@pytest.fixture
def refused(tiny_files: Path, tmp_path: Path, fails: Run) -> Run:
    """A function: collects with changes to the preset that must be refused before anything is written."""

    def refuse(*options: str, **changes: Any) -> str:
        preset, out = write_preset(tmp_path / "wrong.toml", tiny_files, **changes), tmp_path / "refused.zarr"
        message = fails("collect", "--preset", preset, "--out", out, *options)
        assert not list(tmp_path.glob("refused*"))
        return message

    return refuse


class TestPresets:
    def test_an_unknown_one(self, fails: Run) -> None:
        for command in ("collect", "analyze", "report"):
            assert fails(command, "--preset", "nonsense").startswith("no preset 'nonsense': neither a path nor one of")

    def test_an_unknown_key(self, refused: Run) -> None:
        assert "wrong.toml: plateau.lenght: Extra inputs are not permitted" in refused(plateau__lenght=1)

    def test_a_folder(self, fails: Run, tmp_path: Path) -> None:
        assert fails("collect", "--preset", tmp_path) == f"preset {tmp_path} cannot be read: Is a directory"

    def test_an_empty_file(self, fails: Run, tmp_path: Path) -> None:
        (tmp_path / "empty.toml").touch()
        assert "empty.toml: model: Field required, and 3 more" in fails("collect", "--preset", tmp_path / "empty.toml")

    def test_an_unreadable_file(self, fails: Run, preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(path: Path, **_: object) -> str:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "read_text", deny)
        assert fails("collect", "--preset", preset) == f"preset {preset} cannot be read: Permission denied"


class TestOptions:
    @pytest.mark.parametrize("samples", ["0", "-5"])
    def test_no_samples(self, samples: str, refused: Run) -> None:
        expected = f"sensitivity.samples: Input should be from 1 to 1,000,000 (got {samples}), and 2 more"
        assert refused("--samples", samples) == expected

    @pytest.mark.parametrize("experiments", ["nonsense", "plateau,nonsense", "", "plateau,,sensitivity", "Plateau"])
    def test_unknown_experiments(self, experiments: str, refused: Run) -> None:
        assert "there is no experiment of that name, there is sensitivity, sensitivity_absolute, " in refused(
            "--experiments", experiments
        )

    def test_an_experiment_twice(self, refused: Run) -> None:
        assert "none twice" in refused("--experiments", "plateau,plateau")

    def test_a_negative_seed(self, refused: Run) -> None:
        assert refused("--seed", "-1") == f"seed: Input should be from 0 to {2**63 - 1:,} (got -1)"

    def test_more_samples_than_prompts(self, refused: Run) -> None:
        assert refused("--samples", "41").startswith("41 samples asked for, prompt file ")

    def test_options_take_the_place_of_the_preset_s(
        self, preset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        options = ["--samples", "2", "--seed", "5", "--experiments", "plateau", "--out", str(tmp_path / "run.zarr")]
        assert main(["collect", "--preset", str(preset), *options]) == 0
        out, err = capfd.readouterr()
        first, memory, way, last = out.splitlines()
        assert first == f"collecting plateau into {tmp_path / 'run.zarr'}"
        assert memory.startswith("memory: about 2 MB (0 MB of weights, ")
        assert way == f"way of running: packed ({WAYS['packed']})"
        assert last == f"finished: {tmp_path / 'run.zarr'}"
        assert err == ""
        found = open_run(tmp_path / "run.zarr")
        assert (found.attrs["seed"], found["plateau"].sizes["sample"]) == (5, 2)
        assert set(found.children) == {"prompts", "activations", "provenance", "plateau"}


class TestSubject:
    def test_activations_of_a_file_become_a_type(self, preset: Path, tmp_path: Path) -> None:
        rows = np.random.default_rng(0).normal(size=(3, D_MODEL)).astype(np.float32)
        np.save(tmp_path / "mine.npy", rows)
        options = ["--samples", "2", "--experiments", "sensitivity", "--out", str(tmp_path / "run.zarr")]
        assert main(["collect", "--preset", str(preset), *options, "--activations", f"mine={tmp_path}/mine.npy"]) == 0
        found = open_run(tmp_path / "run.zarr")
        target = found["activations"].target.sel(activation_type="mine").to_numpy()
        assert all(any(np.array_equal(row, known) for known in rows) for row in target)
        assert json.loads(found.attrs["identity"])["activation_types"]["mine"]["file"] == "mine.npy"
        assert np.isfinite(found["sensitivity"].curve.sel(activation_type="mine")).all()

    def test_activations_without_a_name(self) -> None:
        with pytest.raises(SystemExit):
            main(["collect", "--activations", "mine.npy"])

    def test_an_unknown_activation_type(self, refused: Run) -> None:
        message = refused(targets__types=["real", "reel"])
        assert message.startswith("unknown activation type 'reel' in targets.types; known are real, real_control")

    @pytest.mark.parametrize("site", ["write", "read"])
    def test_a_site_out_of_range(self, site: str, refused: Run) -> None:
        message = refused(**{f"sites__{site}": "blocks.30.hook_resid_pre"})
        assert message == "site 'blocks.30.hook_resid_pre': the model has 3 blocks, numbered 0 to 2"

    def test_a_model_that_is_not_there(self, refused: Run) -> None:
        assert refused(model__source="no/such-model").startswith("model 'no/such-model' was not found")

    def test_an_sae_of_another_width(self, refused: Run, tmp_path: Path) -> None:
        write_sae(tmp_path / "wide", make_sae(d_in=48))
        message = refused(sae__source=str(tmp_path / "wide"))
        assert message == f"SAE {tmp_path / 'wide'} reads 48 numbers, an activation there has 32: use one made for it"

    def test_an_sae_of_another_hook(self, refused: Run, tmp_path: Path) -> None:
        write_sae(tmp_path / "later", make_sae(hook="blocks.2.hook_resid_pre"))
        message = refused(sae__source=str(tmp_path / "later"))
        assert "belongs to blocks.2.hook_resid_pre, the write site is blocks.1.hook_resid_pre" in message

    def test_prompts_of_a_larger_vocabulary(self, refused: Run, tmp_path: Path) -> None:
        np.savez(tmp_path / "prompts.npz", tokens=np.full((9, 8), 101))
        assert "have token id 101, the model knows 0 to 100" in refused(prompts__source=str(tmp_path / "prompts.npz"))


class TestPaths:
    @pytest.mark.parametrize("command", ["analyze", "verify"])
    def test_a_path_that_is_no_run(self, command: str, fails: Run, tmp_path: Path) -> None:
        arguments = [command, "--run", tmp_path] if command == "analyze" else [command, tmp_path]
        assert fails(*arguments).startswith(f"{tmp_path} ")
        assert list(tmp_path.iterdir()) == []

    def test_no_run(self, fails: Run, elsewhere: Path) -> None:
        assert fails("analyze") == (
            "no run at data/runs/smollm2.zarr: make it with `plateaulens collect`, or name another with --run"
        )
        assert fails("verify", "none.zarr").startswith("none.zarr does not exist")
        assert list(elsewhere.iterdir()) == []

    def test_no_summary(self, fails: Run, elsewhere: Path) -> None:
        assert fails("report") == (
            "no summary at data/summaries/smollm2.zarr: make it with `plateaulens analyze`, or name another with "
            "--summary"
        )
        assert list(elsewhere.iterdir()) == []

    def test_a_run_is_no_summary_and_a_summary_no_run(
        self, fails: Run, finished: Path, summary: Path, tmp_path: Path
    ) -> None:
        assert fails("report", "--summary", finished) == (
            f"{finished} is not a plateaulens summary: its `kind` is 'plateaulens run'"
        )
        assert "is not a plateaulens run" in fails("analyze", "--run", summary, "--out", tmp_path / "other.zarr")

    def test_an_unknown_format(self, fails: Run, summary: Path) -> None:
        assert "no format 'docx'" in fails("report", "--summary", summary, "--to", "html,docx")

    def test_something_else_at_the_run_s_place(self, fails: Run, preset: Path, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("all I have")
        assert "is not a readable zarr v3 store" in fails("collect", "--preset", preset, "--out", tmp_path / "mine")
        assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

    def test_another_seed_is_another_run(self, fails: Run, preset: Path, run: Path) -> None:
        before = measured(run)
        message = fails("collect", "--preset", preset, "--out", run, "--seed", "8")
        assert message.startswith(f"{run} cannot be continued with other settings; use another name, or its own: ")
        assert message.endswith("seed: stored 7, asked 8")
        assert measured(run) == before


@pytest.mark.slow
class TestAFullDisk:
    @pytest.fixture
    def room_for(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """A function: from now on only so many more files can be written."""
        replace = Path.replace
        left = [10**9]

        def replace_while_there_is_room(source: Path, target: Path) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", replace_while_there_is_room)
        return lambda files: left.__setitem__(0, files)

    @pytest.mark.parametrize("files", [5, 90, 120])
    def test_while_collecting(
        self, files: int, room_for: Callable[[int], None], fails: Run, preset: Path, finished: Path, tmp_path: Path
    ) -> None:
        command = ["collect", "--preset", str(preset), "--out", str(tmp_path / "run.zarr")]
        room_for(files)
        message = fails(*command)
        assert message.startswith("the disk is full (")
        assert message.endswith("): make room and give the same command again, finished blocks are kept")
        before = {name: content for name, content in kept(tmp_path / "run.zarr").items() if "/c/" in name}
        assert bool(before) == (files > 5)
        room_for(10**9)
        assert main(command) == 0
        assert kept(tmp_path / "run.zarr").items() >= before.items()
        assert measured(tmp_path / "run.zarr") == measured(finished)

    def test_while_analysing(self, room_for: Callable[[int], None], fails: Run, finished: Path, tmp_path: Path) -> None:
        command = ["analyze", "--run", str(finished), "--out", str(tmp_path / "summary.zarr")]
        room_for(20)
        assert fails(*command).startswith("the disk is full (")
        assert list(tmp_path.iterdir()) == []
        room_for(10**9)
        assert main(command) == 0


def kept(run: Path) -> dict[str, bytes]:
    """The files of a run that are not half-written."""
    return {name: content for name, content in measured(run).items() if not name.endswith(".partial")}


class TestVerify:
    def test_a_clean_run(self, finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(finished)]) == 0
        assert capfd.readouterr() == (f"{finished}: every file is as it was written\n", "")

    @pytest.mark.parametrize("chunk", ["sensitivity/curve/c/0/1/0/0", "activations/target/c/0/2/0", "prompts/text/c/0"])
    def test_a_flipped_byte(self, chunk: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        content = bytearray((run / chunk).read_bytes())
        content[len(content) // 2] ^= 1
        (run / chunk).write_bytes(content)
        assert main(["verify", str(run)]) == 1
        out, err = capfd.readouterr()
        (problem,) = out.splitlines()
        variable, _, place = chunk.partition("/c/")
        assert problem.startswith(f"{variable} chunk c/{place}")
        assert err == f"plateaulens: error: {run}: 1 problem found\n"

    def test_several_problems(self, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for chunk in ("c/0/0/0/0", "c/0/1/0/0"):
            (run / "plateau" / "curve" / chunk).unlink()
        assert main(["verify", str(run)]) == 1
        out, err = capfd.readouterr()
        assert len(out.splitlines()) == 2
        assert err == f"plateaulens: error: {run}: 2 problems found\n"


class TestAnalyze:
    def test_the_default_places_follow_the_run_s_name(
        self, small: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["analyze", "--run", str(small)]) == 0
        assert capfd.readouterr() == ("finished: data/summaries/tiny.zarr\n", "")
        assert open_summary(elsewhere / "data/summaries/tiny.zarr").attrs["name"] == "tiny"

    def test_a_preset_s_settings_take_the_place_of_the_run_s(
        self, small: Path, tiny_files: Path, tmp_path: Path
    ) -> None:
        preset = write_preset(tmp_path / "other.toml", tiny_files, analysis__resamples=161)
        out = tmp_path / "summary.zarr"
        assert main(["analyze", "--run", str(small), "--preset", str(preset), "--out", str(out)]) == 0
        assert open_summary(out)["plateau"].mean_interval.attrs["resamples"] == 161


def test_an_interrupt_is_no_error(preset: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("plateaulens.collect.collect.collect", interrupt)
    assert main(["collect", "--preset", str(preset)]) == 130
    assert capfd.readouterr().err == "plateaulens: stopped; the same command goes on from here\n"


def test_a_message_of_several_lines_is_put_on_one(preset: Path, monkeypatch: pytest.MonkeyPatch, fails: Run) -> None:
    def fail(*_: object) -> None:
        raise OSError("first\nsecond")

    monkeypatch.setattr("plateaulens.collect.collect.collect", fail)
    assert fails("collect", "--preset", preset) == "first second"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["collect", "--samples", "many"],
            "argument --samples: invalid int value: 'many': see `plateaulens collect --help`",
        ),
        (["colect"], "argument COMMAND: invalid choice: 'colect'"),
        ([], "the following arguments are required: COMMAND: see `plateaulens --help`"),
    ],
    ids=["value", "command", "nothing"],
)
def test_arguments_that_cannot_be_read(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"plateaulens: error: {message}")


@pytest.mark.parametrize("number", ["0", "-3", "257", "1000000000", "9" * 5000, "many"])
def test_a_number_of_workers_that_no_machine_has(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["collect", f"--workers={number}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("plateaulens: error: argument --workers: ")
    assert len(line) < 400


@pytest.mark.parametrize(
    "arguments", [["verify", "x", "b\nc"], ["verify", "x", "b\x1b[31mc"], ["collect", "--samples", "9" * 5000]]
)
def test_arguments_are_said_on_one_short_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.slow
def test_a_name_that_the_terminal_cannot_say(summary: Path, small: Path, tmp_path: Path) -> None:
    del summary  # it has been analysed before: what is written by then is warm
    command = [sys.executable, "-m", "plateaulens", "analyze", "--run", str(small), "--out", "\u00e9.zarr"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"finished: \\xe9.zarr\n")
    assert open_summary(tmp_path / "\u00e9.zarr").attrs["name"] == "tiny"


def warning() -> None:
    warnings.warn("advice", RuntimeWarning, stacklevel=1)


def test_advice_of_libraries_is_not_shown(
    preset: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plateaulens.collect.collect.collect", lambda *_: warning())
    monkeypatch.setattr("sys.warnoptions", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.showwarning
        assert main(["collect", "--preset", str(preset)]) == 0
        assert warnings.showwarning is before
    assert capfd.readouterr().err == ""


def test_who_has_python_warn_is_shown_it(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plateaulens.collect.collect.collect", lambda *_: warning())
    monkeypatch.setattr("sys.warnoptions", ["default"])
    with pytest.warns(RuntimeWarning, match="advice"):
        assert main(["collect", "--preset", str(preset)]) == 0


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_to_be_an_exception_stays_one(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plateaulens.collect.collect.collect", lambda *_: warning())
    with pytest.raises(RuntimeWarning, match="advice"):
        main(["collect", "--preset", str(preset)])


def test_the_package_itself_is_the_command() -> None:
    command = [sys.executable, "-m", "plateaulens", "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, env=environment())
    assert found.stdout.startswith("plateaulens ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "summary.zarr", "--out"],
        ["report", "--out"],
        ["differ", "one.zarr", "other.zarr", "--out"],
        ["compare-reference", "summary.zarr", "--out"],
        ["train", "--out"],
        ["train", "--cache"],
        ["models", "--page"],
    ],
)
def test_a_url_where_files_are_written_is_no_folder_called_s3(
    arguments: list[str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "s3://bucket/out"])
    assert (
        f"argument {arguments[-1]}: 's3://bucket/out' is a URL: name a path of this machine" in capsys.readouterr().err
    )
    assert list(elsewhere.iterdir()) == []


def test_shares_are_rounded_down_as_counted() -> None:
    from plateaulens.cli.differ import _percent

    for total in (1, 7, 100, 1000, 30_000):
        for count in range(total + 1):
            exact = Fraction(count, total) * 10_000
            assert _percent(count / total) == f"{exact.__floor__() / 100:g} %"
