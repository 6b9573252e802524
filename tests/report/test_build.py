"""Building the report, with a small report project in place of the real one, and a stand-in for Quarto's program."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zarr
from tests.processes import PATIENCE, environment

from plateaulens import resources
from plateaulens.errors import UsageError
from plateaulens.replacing import is_alive
from plateaulens.report import build as module
from plateaulens.report.build import build
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND, SUMMARY_VERSION

INDEX = """\
---
title: Small report
---

```{python}
#| tags: [parameters]
summary = "nowhere"
```

Made from `{python} summary`.
"""

# Does as `quarto render index.qmd --to FORMAT` does in a project: writes index.html or index.pdf beside the document.
QUARTO = """\
#!{python}
import json, os, pathlib, sys
import yaml

arguments = sys.argv[1:]
given = arguments[arguments.index("--execute-params") + 1]
record = {{
    "arguments": arguments,
    "parameters": yaml.safe_load(pathlib.Path(given).read_text()),
    "files": sorted(os.listdir()),
    "python": os.environ["QUARTO_PYTHON"],
}}
with open({log!r}, "a") as log:
    log.write(json.dumps(record) + "\\n")
print("Starting python3 kernel...Done")
if {warns}:
    print("\x1b[33mWARNING: a div is not closed\x1b[39m")
if {fails}:
    print("ERROR: something\\nUsageError: no metric l3\\n")
    sys.exit(1)
suffix = {{"html": "html", "typst": "pdf"}}[arguments[arguments.index("--to") + 1]]
pathlib.Path("index." + suffix).write_text("by quarto")
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Quarto, in an empty current directory, with a report project of one paragraph."""
    report = tmp_path / "installation" / "report"
    report.mkdir(parents=True)
    (report / "_quarto.yml").write_text("execute:\n  echo: false\n")
    (report / "index.qmd").write_text(INDEX)
    (report / "references.bib").write_text("")
    monkeypatch.setattr(resources, "root", lambda: report.parent)
    monkeypatch.delenv("QUARTO_PATH", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(module, "_QUARTO_NEEDS", ("quarto", "yaml"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return report


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    path = tmp_path / "name.zarr"
    said = {"kind": SUMMARY_KIND, "schema_version": SCHEMA_VERSION, "summary_version": SUMMARY_VERSION}
    zarr.create_group(path, attributes=said)
    return path


def install_quarto(folder: Path, *, fails: bool = False, warns: bool = False) -> Path:
    """Put a stand-in for Quarto into `folder`; returns the file that it appends what it was asked to."""
    folder.mkdir(exist_ok=True)
    log = folder / "asked.jsonl"
    program = folder / "quarto"
    program.write_text(QUARTO.format(python=sys.executable, log=str(log), fails=fails, warns=warns))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return log


def asked(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_built_in_renderer_makes_both_files_under_the_current_directory(
    summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = build(Path(os.path.relpath(summary)))
    assert made == [Path("report/_output/index.html"), Path("report/_output/index.pdf")]
    assert capsys.readouterr().out == "rendering the report with the built-in renderer (no Quarto here)\n"
    page = made[0].read_text(encoding="utf-8")
    assert f"Made from {summary}." in page.replace("\\", "")
    assert made[1].read_bytes().startswith(b"%PDF-")


def test_quarto_is_preferred_and_told_everything(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = install_quarto(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("earlier")

    made = build(summary, out)

    assert [path.read_text() for path in made] == ["by quarto", "by quarto"]
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "index.pdf"]
    assert capsys.readouterr().out == f"rendering the report with Quarto ({tmp_path / 'bin' / 'quarto'})\n"
    html, pdf = asked(log)
    assert html["arguments"][:4] == ["render", "index.qmd", "--to", "html"]
    assert pdf["arguments"][:4] == ["render", "index.qmd", "--to", "typst"]
    for record in (html, pdf):
        assert record["parameters"] == {"summary": str(summary.resolve())}
        assert record["python"] == sys.executable
        assert {"_quarto.yml", "index.qmd", "references.bib"} <= set(record["files"])


def test_what_quarto_warns_of_is_shown_although_it_succeeds(
    summary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_quarto(tmp_path, warns=True)
    build(summary, tmp_path / "out")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Quarto (html): WARNING: a div is not closed",
        "Quarto (pdf): WARNING: a div is not closed",
    ]


def test_quarto_is_found_by_its_variable_and_among_the_scripts_of_this_python(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = install_quarto(tmp_path)  # where the fixture says that scripts are
    build(summary, tmp_path / "out", formats=["html"])
    assert len(asked(log)) == 1

    other = install_quarto(tmp_path / "elsewhere")
    monkeypatch.setenv("QUARTO_PATH", str(tmp_path / "elsewhere" / "quarto"))
    build(summary, tmp_path / "out", formats=["pdf"], renderer="quarto")
    assert len(asked(log)) == 1
    assert len(asked(other)) == 1


def test_the_built_in_renderer_can_be_asked_for(
    summary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = install_quarto(tmp_path)
    build(summary, tmp_path / "out", formats=["html"], renderer="builtin")
    assert capsys.readouterr().out == "rendering the report with the built-in renderer\n"
    assert not log.exists()


def test_nothing_is_written_beside_the_project(summary: Path, tmp_path: Path, project: Path) -> None:
    build(summary, tmp_path / "out", formats=["html"])
    assert sorted(path.name for path in project.iterdir()) == ["_quarto.yml", "index.qmd", "references.bib"]


def test_a_failure_of_quarto_names_its_last_words_and_a_log(summary: Path, tmp_path: Path) -> None:
    install_quarto(tmp_path, fails=True)
    out = tmp_path / "out"
    with pytest.raises(UsageError) as caught:
        build(summary, out)
    log = out / "report.log"
    assert str(caught.value) == f"the report cannot be rendered: UsageError: no metric l3 (log: {log})"
    assert "ERROR: something" in log.read_text()
    assert [path.name for path in out.iterdir()] == ["report.log"]


def test_a_page_of_quarto_takes_its_place_only_when_whole(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary folder may be on another file system, from which nothing can be renamed."""
    install_quarto(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("earlier")
    copy = shutil.copyfile

    def copy_half(source: Path, target: Path) -> None:
        copy(source, target)
        if target.parent == out:
            target.write_text(source.read_text()[:4])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", copy_half)
        with pytest.raises(KeyboardInterrupt):
            build(summary, out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("index.html", "earlier")]
    build(summary, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys(
        ("index.html", "index.pdf"), "by quarto"
    )


def test_two_reports_at_once_into_one_folder(summary: Path, tmp_path: Path) -> None:
    """Of the built-in renderer, `tests.qmdrender.test_render` says so."""
    install_quarto(tmp_path)
    out = tmp_path / "out"
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(build, summary, out, formats=["html"]) for _ in range(2)]
        assert [future.result() for future in both] == [[out / "index.html"]] * 2
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("index.html", "by quarto")]


ENDLESS = """
import sys, tempfile, time
from pathlib import Path

from plateaulens import resources
from plateaulens.report.build import build
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND, SUMMARY_VERSION

resources.root = lambda: Path(sys.argv[1])
build(sys.argv[2], Path(sys.argv[3]), formats=["html"], renderer="builtin")
"""


@pytest.mark.slow
def test_a_killed_report_leaves_the_page_that_was_there_and_the_next_one_nothing_else(
    summary: Path, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile, out = tmp_path / "meanwhile", tmp_path / "out"
    meanwhile.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(meanwhile))
    (page,) = build(summary, out, formats=["html"], renderer="builtin")
    whole = page.read_bytes()
    assert list(meanwhile.iterdir()) == []
    cell = f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'kernel')!r}).write_text(str(os.getpid()))\n"
    (project / "index.qmd").write_text(INDEX + "\n```{python}\n" + cell + "time.sleep(600)\n```\n")
    command = [sys.executable, "-c", ENDLESS, str(project.parent), str(summary), str(out)]
    with subprocess.Popen(command, env=environment(TMPDIR=str(meanwhile))) as process:
        wait_for(lambda: (tmp_path / "kernel").exists() or process.poll() is not None)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not is_alive(int((tmp_path / "kernel").read_text())))  # the kernel follows it
    assert [file.read_bytes() for file in out.iterdir()] == [whole]
    assert len(list(meanwhile.iterdir())) == 1

    (project / "index.qmd").write_text(INDEX)
    build(summary, out, formats=["html"], renderer="builtin")
    assert [file.read_bytes() for file in out.iterdir()] == [whole]
    assert list(meanwhile.iterdir()) == []


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_failing_cell_is_named_and_its_traceback_logged_until_the_next_success(
    summary: Path, tmp_path: Path, project: Path
) -> None:
    out = tmp_path / "out"
    (project / "index.qmd").write_text(INDEX + "\n```{python}\n#| label: broken\n1 / 0\n```\n")
    with pytest.raises(UsageError, match=r"index\.qmd:14: cell broken failed: ZeroDivisionError.*\(log: \S*\)$"):
        build(summary, out)
    assert "Traceback" in (out / "report.log").read_text()

    (project / "index.qmd").write_text(INDEX)
    build(summary, out, formats=["html"])
    assert [path.name for path in out.iterdir()] == ["index.html"]


@pytest.mark.parametrize("renderer", ["quarto", "builtin"])
def test_a_missing_package_comes_with_the_command_that_installs_it(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: module.Renderer
) -> None:
    install_quarto(tmp_path)
    monkeypatch.setattr(module, "_QUARTO_NEEDS", ("yaml", "package_that_is_not"))
    monkeypatch.setattr(module, "_BUILTIN_NEEDS", ("yaml", "package_that_is_not"))
    message = r"^the report needs package_that_is_not: pip install 'plateaulens\[report\]'$"
    with pytest.raises(UsageError, match=message):
        build(summary, tmp_path / "out", renderer=renderer)


def test_a_missing_summary_comes_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^there is no summary \S*none\.zarr: `plateaulens analyze` makes it"):
        build(tmp_path / "none.zarr")


def test_quarto_cannot_be_asked_for_where_it_is_not(summary: Path) -> None:
    with pytest.raises(UsageError, match=r"^Quarto is not on this machine"):
        build(summary, renderer="quarto")


def test_a_program_that_cannot_be_started_is_named(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTO_PATH", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"^Quarto cannot be started: .*gone"):
        build(summary)


def test_real_project_has_the_settings_that_both_renderers_need() -> None:
    yaml = pytest.importorskip("yaml")
    root = Path(__file__).parents[2]
    settings = yaml.safe_load((root / "report" / "_quarto.yml").read_text())
    assert settings["jupyter"] == "python3"
    assert settings["execute"] == {"echo": False, "warning": False}
    html, typst = settings["format"]["html"], settings["format"]["typst"]
    assert (html["theme"], html["embed-resources"], html["html-math-method"]) == ("default", True, "mathml")
    assert typst["citeproc"] is True
    assert html["format-links"] is False, "the page must not link to a PDF that may not be there"
    assert settings["tbl-colwidths"] is False
    assert typst["toc"] is False
    assert typst["margin"] == {"x": "2.4cm", "y": "2.4cm"}
