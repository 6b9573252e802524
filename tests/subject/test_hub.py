"""Repositories of a hub: what its answers come to, and what is left of them when it is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo

from plateaulens.errors import UsageError
from plateaulens.subject import hub

NEW, OLD = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of a hub that still held commit OLD when it was asked last."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = tmp_path / "models--some--model"
    for name, content in {"refs/main": OLD, f"snapshots/{OLD}/config.json": "{}"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    hub.find.cache_clear()
    yield folder
    hub.find.cache_clear()


def answer(monkeypatch: pytest.MonkeyPatch, reply: Any) -> list[Any]:
    """Have the hub reply with this, or fail with it; returns the revisions that it is asked for."""
    asked: list[Any] = []

    def model_info(_: HfApi, name: str, *, revision: str | None, timeout: float) -> Any:
        asked.append(revision)
        if isinstance(reply, Exception):
            raise reply
        return reply

    monkeypatch.setattr(HfApi, "model_info", model_info)
    return asked


def failure(kind: type[Any], status: int) -> Exception:
    response = httpx2.Response(status, request=httpx2.Request("GET", "https://hub.invalid"))
    error: Exception = kind("some advice", response=response)
    return error


def information() -> ModelInfo:
    siblings = [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]
    made: Any = ModelInfo
    return cast("ModelInfo", made(id="some/model", sha=NEW, siblings=siblings))


def test_the_hub_is_asked_before_the_cache_and_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, information())
    found = hub.find("some/model", None, "model")
    assert (found.commit, found.revision, found.files) == (NEW, "main", ("config.json", "model.safetensors"))
    assert hub.find("some/model", None, "model") is found
    hub.find("some/model", "v2", "model")
    assert asked == [None, "v2"]


def test_the_cache_answers_when_the_hub_does_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, httpx2.ConnectError("no route"))
    found = hub.find("some/model", None, "model")
    assert (found.commit, found.files) == (OLD, ("config.json",))
    assert found.fetch(["config.json"]) == cache / "snapshots" / OLD


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("no route"), r"cannot be reached \(no route\)"),
        (failure(GatedRepoError, 403), r"wants its terms accepted and a token \(HF_TOKEN\)"),
        (failure(RevisionNotFoundError, 404), "has no such revision"),
    ],
)
def test_why_neither_has_it(error: Exception, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, error)
    with pytest.raises(LookupError, match=f"not in the cache {cache.parent}, and {constants.ENDPOINT} {reason}"):
        hub.find("some/model", "v2", "model")


def test_what_a_revision_stood_for_is_remembered(cache: Path) -> None:
    found = hub.Repository("some/model", "model", "main", NEW, ("config.json",))
    found.remember()
    assert (cache / "refs" / "main").read_text() == NEW
    hub.Repository("some/model", "model", NEW, NEW, ()).remember()
    assert not (cache / "refs" / NEW).exists()


def test_a_download_that_breaks_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object, **__: object) -> str:
        raise httpx2.ReadError("connection reset\nand more")

    monkeypatch.setattr(hub, "hf_hub_download", break_off)
    found = hub.Repository("some/model", "model", "main", NEW, ("config.json",))
    with pytest.raises(UsageError, match=r"^model some/model could not be downloaded \(connection reset\): give the"):
        found.fetch(["config.json"])
    assert (cache / "refs" / "main").read_text() == OLD


def test_the_folder_of_files_that_lie_deep(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hf_hub_download", lambda _, file, **__: str(cache / "snapshots" / OLD / file))
    found = hub.Repository("some/model", "model", "main", OLD, ())
    assert found.fetch(["data/deep/a.parquet", "z"]) == found.fetch(["z"]) == cache / "snapshots" / OLD


def test_a_name_that_no_hub_allows(cache: Path) -> None:
    with pytest.raises(LookupError, match="the hub allows no such name"):
        hub.find("some--model", None, "model")
