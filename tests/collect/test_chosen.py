"""How a model is run is decided once: found again under all that it depends on, and made anew where anything is odd."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.architectures import MODEL_TYPES
from tests.tiny import measured, write_preset
from torch import Tensor

from plateaulens import cache
from plateaulens.cli import main
from plateaulens.collect import chosen as module
from plateaulens.collect import conditions
from plateaulens.collect.chosen import chosen
from plateaulens.config import ModelConfig
from plateaulens.errors import UsageError
from plateaulens.names import BRIDGE, PACKED, WHOLE
from plateaulens.resources import sha256_of
from plateaulens.scan import choice
from plateaulens.scan.choice import Choice
from plateaulens.scan.direct import DirectForward
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import parse_parts

MODEL = ModelConfig(source="tiny")
ASKED: dict[str, Any] = {"points": 9, "precision": "float32", "way": None}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """Every decision that was made rather than found."""
    made: list[Choice] = []

    def choose(*arguments: Any, **options: Any) -> Choice:
        made.append(choice.choose(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(module, "choose", choose)
    return made


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 101, (3, 6), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", MODEL_TYPES)
def test_what_is_found_runs_as_what_was_decided(
    architecture: str, tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice]
) -> None:
    first = chosen(subject_at(architecture, lens=False), MODEL, tokens, **ASKED)
    again = chosen(subject_at(architecture, lens=False), MODEL, tokens, **ASKED)
    assert len(decided) == 1
    assert (again.way, again.why, again.precision) == (first.way, first.why, first.precision)
    with torch.inference_mode():
        points = first.subject.last_activations(tokens)[:, None, None] + torch.linspace(0, 1, 9)[:, None]
        one, other = first.forward.run(tokens, points), again.forward.run(tokens, points)
    assert torch.equal(one.read, other.read)
    assert torch.equal(one.final, other.final)


def test_a_bridge_that_was_refused_stays_refused(
    tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice]
) -> None:
    other = subject_at("llama", rms_norm_eps=0.1)  # the same weights
    subject = dataclasses.replace(subject_at("llama"), lens=other.lens)
    first, again = (chosen(subject, MODEL, tokens, **ASKED) for _ in range(2))
    assert len(decided) == 1
    assert first.subject.lens is again.subject.lens is None
    assert "TransformerLens' activations differ" in again.why
    assert again.why == first.why


HELD = parse_parts(["blocks.1.hook_mlp_out"], 3)


def other_instructions(patch: pytest.MonkeyPatch, subject: Subject) -> tuple[Subject, dict[str, Any]]:
    # A session of the tests sets it to avx2 itself.
    patch.setenv("ATEN_CPU_CAPABILITY", "default" if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2" else "avx2")
    return subject, {}


CHANGES: dict[str, Callable[[pytest.MonkeyPatch, Subject], tuple[Subject, dict[str, Any]]]] = {
    "points": lambda _, subject: (subject, {"points": 10}),
    "precision": lambda _, subject: (subject, {"precision": "auto"}),
    "way": lambda _, subject: (subject, {"way": WHOLE}),
    "weights": lambda _, subject: (dataclasses.replace(subject, identity={"sha256": "1"}), {}),
    "write site": lambda _, subject: (dataclasses.replace(subject, write=subject.read), {}),
    "read site": lambda _, subject: (dataclasses.replace(subject, read=subject.write), {}),
    "frozen parts": lambda _, subject: (dataclasses.replace(subject, frozen=HELD), {}),
    "position": lambda _, subject: (dataclasses.replace(subject, position=2), {}),
    "bridge": lambda _, subject: (dataclasses.replace(subject, lens=None), {}),
    "dtype": lambda _, subject: (subject, {"model": MODEL.model_copy(update={"dtype": "bfloat16"})}),
    "processing": lambda _, subject: (subject, {"model": MODEL.model_copy(update={"processing": "folded"})}),
    "prompts": lambda _, subject: (subject, {"tokens": torch.ones((2, 6), dtype=torch.long)}),
    "length": lambda _, subject: (subject, {"tokens": torch.ones((2, 7), dtype=torch.long)}),
    "versions": lambda patch, subject: (patch.setattr(conditions, "versions", dict), (subject, {}))[1],
    "code": lambda patch, subject: (patch.setattr(cache, "code_digest", str), (subject, {}))[1],
    "processor": lambda patch, subject: (patch.setattr(conditions, "_device", str), (subject, {}))[1],
    "kernels": lambda patch, subject: (patch.setattr(module, "has_kernels", lambda _: True), (subject, {}))[1],
    "instructions": other_instructions,
    "threads": lambda patch, subject: (patch.setattr(torch, "get_num_threads", lambda: 99), (subject, {}))[1],
}


@pytest.mark.parametrize("what", CHANGES)
def test_anything_that_it_depends_on_decides_anew(
    what: str,
    tokens: Tensor,
    subject_at: Callable[..., Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = subject_at("gpt2")
    made: list[object] = []

    def choose(subject: Subject, *_: Any, **__: Any) -> Choice:
        made.append(subject)
        return Choice(subject, choice.forward_of(subject, WHOLE), WHOLE, "")

    monkeypatch.setattr(module, "choose", choose)
    for _ in range(2):
        chosen(subject, MODEL, tokens, **ASKED)
    assert len(made) == 1
    other, options = CHANGES[what](monkeypatch, subject)
    asked = {"model": MODEL, "tokens": tokens, **ASKED, **options}
    for _ in range(2):
        chosen(other, **asked)
    assert made == [subject, other]


def test_prompts_that_are_not_compared_do_not_matter(
    tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice]
) -> None:
    subject = subject_at("gpt2")
    chosen(subject, MODEL, tokens, **ASKED)
    chosen(subject, MODEL, tokens[:2], **ASKED)
    assert len(decided) == 1


def test_a_decision_on_which_an_error_had_a_say_is_not_kept(
    tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch, decided: list[Choice]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory today")

    subject = subject_at("gpt2")
    with monkeypatch.context() as patch:
        patch.setattr(DirectForward, "run", fail)
        assert chosen(subject, MODEL, tokens, **ASKED).way == BRIDGE
    assert cache.entries() == {}
    assert chosen(subject, MODEL, tokens, **ASKED).way == PACKED
    assert len(decided) == 2


def test_a_model_that_cannot_be_measured_leaves_nothing(tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
    asked = {**ASKED, "way": BRIDGE}
    for _ in range(2):
        with pytest.raises(UsageError, match="cannot be measured as bridge"):
            chosen(subject_at("gpt2", position=2), MODEL, tokens, **asked)
    assert cache.entries() == {}


KEPT = {"way": PACKED, "precision": "float32", "bridge": True, "why": ""}
ODD: dict[str, str] = {
    "no JSON": "{",
    "a list": "[]",
    "empty": "",
    "another way": json.dumps({**KEPT, "way": "../packed"}),
    "another precision": json.dumps({**KEPT, "precision": "float8"}),
    "a number for a truth": json.dumps({**KEPT, "bridge": 1}),
    "a key more": json.dumps({**KEPT, "code": "import os"}),
    "a key less": json.dumps({"way": PACKED}),
    "what a terminal obeys": json.dumps({**KEPT, "why": "\x1b[2J"}),
    "too long": json.dumps({**KEPT, "why": "long" * 10_000}),
    "a character that is none": json.dumps({**KEPT, "why": "\ud800"}),
}


@pytest.mark.parametrize("odd", [*ODD, "damaged"])
def test_an_odd_entry_is_removed_and_decided_anew(
    odd: str, tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice]
) -> None:
    subject = subject_at("gpt2")
    chosen(subject, MODEL, tokens, **ASKED)
    (entry,) = cache.entries()
    file, note = entry / "way.json", entry / "entry.json"
    assert json.loads(file.read_text()) == KEPT
    content = ODD.get(odd, file.read_text() + " ")
    file.write_text(content)
    if odd != "damaged":  # whoever wrote it knows the digest that it must have
        said = json.loads(note.read_text())
        note.write_text(json.dumps(said | {"files": {file.name: sha256_of(file)}}))
    assert chosen(subject, MODEL, tokens, **ASKED).way == PACKED
    assert len(decided) == 2
    assert json.loads(file.read_text()) == KEPT


def test_a_bridge_that_is_not_there_is_not_promised(
    tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "conditions", lambda *_, **__: {})
    chosen(subject_at("gpt2"), MODEL, tokens, **ASKED)
    assert chosen(subject_at("gpt2", lens=False), MODEL, tokens, **ASKED).subject.lens is None
    assert len(decided) == 2


def test_a_way_that_was_not_asked_for_is_not_taken(
    tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_at("gpt2")
    asked = {**ASKED, "way": WHOLE}
    chosen(subject, MODEL, tokens, **asked)
    (entry,) = cache.entries()
    content = json.dumps(KEPT)
    (entry / "way.json").write_text(content)
    note = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(note | {"files": {"way.json": sha256_of(entry / "way.json")}}))
    assert chosen(subject, MODEL, tokens, **asked).way == WHOLE
    assert len(decided) == 2


def test_nothing_is_kept_where_the_cache_is_off(
    place: Path, tokens: Tensor, subject_at: Callable[..., Subject], decided: list[Choice]
) -> None:
    with cache.switched_off():
        for _ in range(2):
            chosen(subject_at("gpt2"), MODEL, tokens, **ASKED)
    assert len(decided) == 2
    assert not place.exists()


@pytest.mark.slow
def test_a_run_says_and_stores_the_same(
    tiny_files: Path,
    tmp_path: Path,
    decided: list[Choice],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_DIR", "/dev/null")
    preset = write_preset(tmp_path / "tiny.toml", tiny_files)
    runs: list[tuple[str, dict[str, bytes]]] = []
    for options in ((), (), ("--no-cache",)):
        out = tmp_path / f"{len(runs)}" / "run.zarr"
        assert main(["collect", "--preset", str(preset), "--out", str(out), *options]) == 0
        said = capsys.readouterr().out.replace(str(out), "OUT")
        runs.append((said, measured(out)))
    assert len(decided) == 2  # the first time, and without the cache
    assert runs[0] == runs[1] == runs[2]
    assert "way of running: packed" in runs[0][0]
