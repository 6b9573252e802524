"""Building the report of a summary: a web page and a PDF, by Quarto where there is one, else by `qmdrender`.

Both read the same project (`report/` of the installation), in a temporary copy, so nothing is written beside it.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn, get_args

from plateaulens import resources
from plateaulens.errors import UsageError, shown
from plateaulens.replacing import publish, scratch
from plateaulens.report.taken import gather, put
from plateaulens.store.location import Location, locate
from plateaulens.store.reading import check_kind, check_present, check_summary, open_summary
from plateaulens.store.schema import SUMMARY_KIND

Format = Literal["html", "pdf"]
Renderer = Literal["auto", "quarto", "builtin"]

FORMATS: tuple[Format, ...] = ("html", "pdf")
DEFAULT_OUT = Path("report") / "_output"

_PROJECT_FILES = ("_quarto.yml", "references.bib")
_QUARTO_NAMES: Mapping[Format, str] = {"html": "html", "pdf": "typst"}
_LOG = "report.log"
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_PART = re.compile(r"<!-- with (\w+) -->\n\n(.*?)<!-- end -->\n\n", re.DOTALL)
"""A part of a page that is about one group of the summary."""
_WARNING = re.compile(r"\[?WARN(?:ING)?\b")
# Quarto itself uses papermill to hand parameters over, and the notebook packages of the Python that it is given.
_QUARTO_NEEDS = ("quarto", "yaml", "papermill", "nbclient", "ipykernel")
_BUILTIN_NEEDS = ("yaml", "nbclient", "ipykernel", "pypandoc", "typst")


def build(
    summary: Location,
    out: Path = DEFAULT_OUT,
    *,
    formats: Sequence[Format] = FORMATS,
    renderer: Renderer = "auto",
    document: str = "index.qmd",
    beside: Location | None = None,
    data: bool = False,
) -> list[Path]:
    """Render the report of a summary into a folder, as `index.html` and `index.pdf`.

    Files of an earlier report are replaced only by finished ones.

    Parameters
    ----------
    summary
        The path or URL of the summary.
    out
        The folder, which is made where there is none.
    formats
        Some of `FORMATS`.
    renderer
        `auto` takes Quarto when it finds it ($QUARTO_PATH, the PATH, the package quarto-cli) and the built-in renderer
        otherwise; a line on standard output says which.
    document
        That file of the project which is the report of such a summary.
    beside
        The summary that `index.qmd` sets this one beside; where there is none, the report says how to make it.
    data
        Whether everything that the page is made of is written beside it: `results.json`, `report.md`, tables in `data`,
        the numbers of each figure in `data/figures`, and the figures themselves in `figures`.

    Returns
    -------
    list of Path
        A file per format.

    Raises
    ------
    UsageError
        When the summary or a package is missing, when one of the summaries is none of this version, for a renderer that
        there is not, when Quarto is asked for and not found, and when rendering fails: then the whole log is in
        `out/report.log`.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(f"the report has no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    if renderer not in get_args(Renderer):
        raise UsageError(f"there is no renderer {shown(renderer)}: choose one of {', '.join(get_args(Renderer))}")
    place = locate(summary)
    if not place.exists():
        raise UsageError(f"there is no summary {summary}: `plateaulens analyze` makes it from a run")
    program = None if renderer == "builtin" else _find_quarto()
    if renderer == "quarto" and program is None:
        raise UsageError("Quarto is not on this machine: install it, set QUARTO_PATH, or use the built-in renderer")
    check_present(place)  # before a minute is spent on pages
    if beside is not None and (other := locate(beside)).exists():
        check_summary(check_kind(other, SUMMARY_KIND), other)
    _require(_BUILTIN_NEEDS if program is None else _QUARTO_NEEDS)
    with scratch("plateaulens-report-") as project:
        for name in _PROJECT_FILES:
            shutil.copyfile(resources.root() / "report" / name, project / name)
        page = (resources.root() / "report" / document).read_text(encoding="utf-8")
        (project / "index.qmd").write_text(fitting(page, place), encoding="utf-8")
        parameters = {"summary": place.absolute()}
        if beside is not None:
            parameters["beside"] = locate(beside).absolute()
        taken, made_in = project / "taken", project / "made"
        taken.mkdir()
        if data:
            locate(out).check_outside()
            parameters["taken"] = str(taken)
        if program is None:
            print(
                f"rendering the report with the built-in renderer{'' if renderer == 'builtin' else ' (no Quarto here)'}"
            )
            made = _render_builtin(project, made_in, out, formats, parameters)
        else:
            print(f"rendering the report with Quarto ({program})")
            made = _render_with_quarto(program, project, out, formats, parameters)
        if data:
            gather(summary, taken)
        made = put(taken, made, out) if data else publish(made, out)
    (out / _LOG).unlink(missing_ok=True)
    return made


def _require(modules: Sequence[str]) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the report needs {', '.join(missing)}: pip install 'plateaulens[report]'")


def _find_quarto() -> str | None:
    """Quarto's program: where the package `quarto` looks, else among this Python's scripts (package `quarto-cli`)."""
    _require(["quarto"])
    import quarto  # noqa: PLC0415 (an optional package)

    found: str | None = quarto.path()
    return found or shutil.which("quarto", path=sysconfig.get_path("scripts"))


def _render_builtin(
    project: Path, made_in: Path, out: Path, formats: Sequence[Format], parameters: Mapping[str, str]
) -> list[Path]:
    import qmdrender  # noqa: PLC0415 (its packages are optional)

    names = [_QUARTO_NAMES[name] for name in formats]
    try:
        return qmdrender.render(project / "index.qmd", made_in, formats=names, parameters=parameters, scratch=project)
    except qmdrender.RenderError as error:
        _fail(out, str(error), error.details)


def _render_with_quarto(
    program: str, project: Path, out: Path, formats: Sequence[Format], parameters: Mapping[str, str]
) -> list[Path]:
    # Not through `quarto.render`, which drops Quarto's exit status and leaves no log.
    import yaml  # noqa: PLC0415 (an optional package)

    given = project / "parameters.yml"
    given.write_text(yaml.safe_dump(dict(parameters)), encoding="utf-8")
    for name in formats:
        command = [program, "render", "index.qmd", "--to", _QUARTO_NAMES[name], "--execute-params", str(given)]
        environment = {**os.environ, "QUARTO_PYTHON": sys.executable}
        try:
            done = subprocess.run(
                command, cwd=project, env=environment, check=False, encoding="utf-8", errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"Quarto cannot be started: {error}") from None
        if done.returncode or not (project / f"index.{name}").is_file():
            said = done.stdout.strip().splitlines() or [f"Quarto made no index.{name} and said nothing"]
            _fail(out, said[-1].strip(), done.stdout)
        for line in warnings_of(done.stdout):
            print(f"Quarto ({name}): {line}")
    return [project / f"index.{name}" for name in formats]


def fitting(page: str, summary: Location) -> str:
    """A page without its parts on what the summary does not have, whose figures and tables would be empty.

    Parameters
    ----------
    page
        The source; such a part stands between the comments `with GROUP` and `end`.
    summary
        The path or URL of the summary, which a page without such parts leaves alone.

    Returns
    -------
    str
        The source, without these comments.
    """
    if not _PART.search(page):
        return page
    with open_summary(summary) as tree:
        held = set(tree.children)
    return _PART.sub(lambda part: part[2] if part[1] in held else "", page)


def warnings_of(said: str) -> list[str]:
    r"""What Quarto and pandoc warned of while they succeeded, without the colours of a terminal.

    Parameters
    ----------
    said
        All that they printed.

    Returns
    -------
    list of str
        Each warning once, on one line.

    Examples
    --------
    >>> warnings_of("ok\n\x1b[33mWARNING: a div is not closed\x1b[0m\n[WARNING] no title\nWARN: old\n")
    ['WARNING: a div is not closed', '[WARNING] no title', 'WARN: old']
    """
    plain = _COLORS.sub("", said)
    return list(dict.fromkeys(line.strip() for line in plain.splitlines() if _WARNING.match(line.strip())))


def _fail(out: Path, reason: str, details: str) -> NoReturn:
    out.mkdir(parents=True, exist_ok=True)
    log = out / _LOG
    log.write_text(f"{reason}\n\n{details}\n", encoding="utf-8")
    raise UsageError(f"the report cannot be rendered: {reason} (log: {log})") from None
