"""Modules that are loaded at their first use, and what may be asked of them without."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.processes import run_code

from plateaulens.subject.lazily import lazily

NAME = "loaded_at_its_first_use"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is there as soon as the module has been loaded."""
    (tmp_path / f"{NAME}.py").write_text(f"open({str(tmp_path / 'LOADED')!r}, 'w').close()\nvalue = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "LOADED"
    sys.modules.pop(NAME, None)


def test_it_is_loaded_when_something_is_looked_up(marker: Path) -> None:
    lazily(NAME)
    module = importlib.import_module(NAME)
    assert not marker.exists()
    assert module.value == 7
    assert marker.exists()
    marker.unlink()
    assert module.value == 7
    assert importlib.import_module(NAME).value == 7
    assert not marker.exists()  # once


def test_what_everybody_asks_does_not_load_it(marker: Path) -> None:
    lazily(NAME)
    assert find_spec(NAME) is not None
    assert Path(inspect.getfile(sys.modules[NAME])).name == f"{NAME}.py"
    assert inspect.getmodule(sys._getframe()) is not None
    assert not marker.exists()


def test_a_name_that_it_lacks_is_an_attribute_error(marker: Path) -> None:
    lazily(NAME)
    with pytest.raises(AttributeError, match="other"):
        _ = importlib.import_module(NAME).other
    assert marker.exists()


def test_one_that_is_loaded_or_not_there_is_left_alone() -> None:
    before = sys.modules["pytest"]
    lazily("pytest")
    lazily("there_is_no_such_module")
    assert sys.modules["pytest"] is before
    assert "there_is_no_such_module" not in sys.modules


@pytest.mark.slow
def test_collecting_does_without_what_only_training_uses(tmp_path: Path) -> None:
    done = run_code(
        "import sys, plateaulens.collect.context; print(any(name.startswith('wandb.') for name in sys.modules))",
        folder=tmp_path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
