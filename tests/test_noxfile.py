"""How noxfile.py takes the options after `--`: each session those it knows, and none that no session knows."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import pytest

from plateaulens.presets import override, read_config

ROOT = Path(__file__).parents[1]


class RefusedError(Exception):
    """What a session ends with."""


def error(message: str) -> NoReturn:
    raise RefusedError(message)


def session(*given: str) -> SimpleNamespace:
    """As much of a session as is asked before anything is installed; with anything else the test fails."""
    return SimpleNamespace(posargs=list(given), error=error)


@pytest.fixture(scope="module")
def noxfile() -> ModuleType:
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_takes_those_it_knows(noxfile: ModuleType) -> None:
    given = session("--quick", "--samples", "40", "--beside=x.zarr", "--open")
    assert noxfile.options(given, (*noxfile.RUN, *noxfile.QUICK)) == ["--samples", "40", "--quick"]
    assert noxfile.options(given, (*noxfile.BESIDE, *noxfile.OPEN)) == ["--beside", "x.zarr", "--open"]
    assert noxfile.options(session(), noxfile.RUN) == []


@pytest.mark.parametrize("name", ["collect", "analyze", "report", "calibrate", "sweep", "ladder", "train", "audit"])
@pytest.mark.parametrize("given", [("--sample", "40"), ("--seed", "7", "--out=x.zarr"), ("smollm2",)])
def test_what_none_knows_is_refused_before_anything_is_installed(
    name: str, given: tuple[str, ...], noxfile: ModuleType
) -> None:
    unknown = next(word for word in given if word not in {"--seed", "7"})
    with pytest.raises(RefusedError, match=rf"^{unknown}: no session takes it; they take --activations, "):
        getattr(noxfile, name).func(session(*given))


def test_a_finding_that_there_is_not(noxfile: ModuleType) -> None:
    with pytest.raises(RefusedError, match=r"^dept: no finding; there are closest, second-seed, gemma, ladder, depth$"):
        noxfile.findings.func(session("closest", "dept"))


def test_findings_are_of_presets_that_ship(noxfile: ModuleType) -> None:
    for runs in noxfile.FINDINGS.values():
        for own, given in runs.items():
            options = dict(option.removeprefix("--").split("=") for option in given)
            config = read_config(ROOT / "data" / "presets" / f"{options.pop('preset', own)}.toml")
            override(config, seed=int(options.pop("seed", "1")), frozen=options.pop("frozen", "").split() or None)
            assert not options
