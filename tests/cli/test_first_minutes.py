"""The first five minutes: a quick run, examples that work, a page that opens, and what shells are told."""

import os
import shlex
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from tests.processes import environment

from plateaulens import progress
from plateaulens.cli import entry, main
from plateaulens.cli.examples import EXAMPLES
from plateaulens.errors import UsageError
from plateaulens.names import experiment
from plateaulens.presets import read_config
from plateaulens.quick import ENDING, NOTICE, SAMPLES, is_quick, quick
from plateaulens.report import build as building
from plateaulens.resources import find
from plateaulens.summary.analyze import analyze
from plateaulens.testing import generate_run, synthetic_spec


class TestQuick:
    def test_it_is_small_and_has_a_name_of_its_own(self) -> None:
        whole = read_config(find("presets", "smollm2"))
        small = quick(whole)
        assert small.name == f"smollm2{ENDING}"
        assert is_quick(small.name)
        assert not is_quick(whole.name)
        assert (small.experiments, small.samples) == (("sensitivity",), SAMPLES)
        assert small.targets.types == ("real", "real_control", "random", "baseline", "structured")
        assert small.model == whole.model
        assert small.analysis == whole.analysis

    @pytest.mark.parametrize("name", ["gemma3-270m", "gemma3-270m-scope", "gpt2", "smollm2-constants"])
    def test_of_every_preset_that_ships(self, name: str) -> None:
        small = quick(read_config(find("presets", name)))
        assert len(small.experiments) == 1
        assert small.samples <= SAMPLES
        assert {"real", "real_control"} <= set(small.targets.names) <= {*small.targets.types}

    def test_a_sweep_has_none(self) -> None:
        with pytest.raises(UsageError, match="smollm2-sweep is a sweep, which has no quick run: leave --quick out"):
            quick(read_config(find("presets", "smollm2-sweep")))

    def test_the_commands_look_where_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(["analyze", "--quick"]) == 1
        assert "no run at data/runs/smollm2-quick.zarr: make it with `plateaulens collect --quick`" in (
            capsys.readouterr().err
        )
        assert main(["report", "--quick"]) == 1
        assert "no summary at data/summaries/smollm2-quick.zarr: make it with `plateaulens analyze --quick`" in (
            capsys.readouterr().err
        )
        assert main(["analyze", "--quick", "--run", "a.zarr"]) == 1
        assert main(["report", "--quick", "--summary", "a.zarr"]) == 1
        assert capsys.readouterr().err.count("leave one of them out") == 2

    def test_a_page_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        asked: list[object] = []

        def note(_: object, out: Path, **__: object) -> list[Path]:
            asked.append(out)
            return []

        monkeypatch.setattr(building, "build", note)
        spec = synthetic_spec(4, activation_types=("real", "random"), experiments=("sensitivity",))
        generate_run("data/runs/smollm2-quick.zarr", spec)
        assert main(["analyze", "--quick"]) == 0
        assert main(["report", "--quick"]) == 0
        assert main(["report", "--summary", "data/summaries/smollm2-quick.zarr"]) == 0
        assert asked == [Path("report/_output/smollm2-quick"), Path("report/_output")]

    def test_the_notice_is_one_sentence(self) -> None:
        assert NOTICE.count(".") == 1


class TestOpen:
    @pytest.fixture(autouse=True)
    def summary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        spec = synthetic_spec(4, activation_types=("real", "random"), experiments=("sensitivity",))
        generate_run("run.zarr", spec)
        assert main(["analyze", "--run", "run.zarr", "--out", "summary.zarr"]) == 0
        monkeypatch.setattr(building, "build", lambda *_, **__: [Path("out/index.html"), Path("out/index.pdf")])

    def test_the_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []

        def note(url: str) -> bool:
            opened.append(url)
            return True

        monkeypatch.setattr(webbrowser, "open", note)
        assert main(["report", "--summary", "summary.zarr", "--open"]) == 0
        assert opened == [(tmp_path / "out/index.html").as_uri()]

    def test_without_a_browser(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(webbrowser, "open", lambda _: False)
        assert main(["report", "--summary", "summary.zarr", "--open"]) == 0
        assert "no browser was found: open " in capsys.readouterr().out

    def test_without_a_page(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", "--summary", "summary.zarr", "--open", "--to", "pdf"]) == 1
        assert "--open shows the page: have html among the formats of --to" in capsys.readouterr().err


class TestHelp:
    def test_every_command_has_a_few_examples(self) -> None:
        (commands,) = (action for action in entry._parser()._actions if hasattr(action, "choices") and action.choices)
        assert set(EXAMPLES) == {"", *(commands.choices or ())}
        assert all(2 <= len(lines) <= 5 for lines in EXAMPLES.values())

    @pytest.mark.parametrize(
        ("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line, _ in lines], ids=str
    )
    def test_each_example_is_a_command_line(self, name: str, line: str) -> None:
        program, *arguments = shlex.split(line)
        assert program == "plateaulens"
        assert name in ("", arguments[0])
        assert callable(entry._parser().parse_args(arguments).command)

    def test_they_are_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["collect", "--help"])
        assert f"\n  {EXAMPLES['collect'][1][0]}\n" in capsys.readouterr().out


class TestProgress:
    def test_the_analysis_says_what_it_is_at(self, tmp_path: Path) -> None:
        spec = synthetic_spec(4, activation_types=("real", "random"), experiments=("sensitivity",))
        generate_run(tmp_path / "run.zarr", spec)
        said: list[str] = []
        with progress.listening(said.append):
            analyze(tmp_path / "run.zarr", tmp_path / "summary.zarr")
        assert said[:2] == ["geometry", experiment("sensitivity").title]
        assert said[-1] == "constants"

    def test_a_terminal_is_shown_it_and_nothing_else_is(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with progress.shown("working"):
            progress.stage("at it")
        assert capsys.readouterr() == ("", "")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        with progress.shown("working"):
            progress.stage("at [it]")
        out, err = capsys.readouterr()
        assert out == ""
        assert "working: at [it]" in err


@pytest.mark.slow
def test_a_shell_is_told_what_could_follow(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    out = tmp_path / "words"
    asked = environment(
        _ARGCOMPLETE="1", COMP_LINE="plateaulens rep", COMP_POINT="15", _ARGCOMPLETE_STDOUT_FILENAME=str(out)
    )
    subprocess.run([sys.executable, "-m", "plateaulens"], env=asked, cwd=tmp_path, check=True, close_fds=True)
    assert out.read_text().split(os.linesep)[0].strip() == "report"
