"""What newcomers get wrong in a notebook: one line that names what, where and the remedy, and nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.conftest import VOCABULARY, tiny_model, tiny_tokenizer
from tests.tiny import D_MODEL, READ, WRITE, make_sae

import plateaulens as pl

TOKENS = np.random.default_rng(5).integers(1, VOCABULARY, (6, 6))
MODEL = tiny_model("gpt2")


def in_memory(**options: Any) -> pl.Subject:
    return pl.Subject(MODEL, **{"write": WRITE, "read": READ, "tokenizer": tiny_tokenizer(), **options})


@pytest.fixture(scope="module")
def subject() -> pl.Subject:
    return in_memory()


@pytest.fixture(scope="module")
def run(subject: pl.Subject) -> xr.DataTree:
    pool = np.random.default_rng(6).normal(size=(40, D_MODEL))
    return pl.walk(subject, TOKENS, {"random": "random"}, pool=pool, steps=5, quiet=True)


@pytest.fixture(scope="module")
def summary(run: xr.DataTree) -> xr.DataTree:
    return pl.compare(run, resamples=100)


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(pl.UsageError) as error:
        call()
    told = str(error.value)
    assert "\n" not in told
    for word in words:
        assert word in told


def test_a_subject() -> None:
    refused(lambda: in_memory(write=None), "sites", "write", "hook_resid_pre")
    refused(lambda: in_memory(write=1), "sites", "write")
    refused(lambda: in_memory(position="last"), "position is 'last'", "whole number")
    refused(lambda: in_memory(position=1.0), "position is 1.0")
    refused(lambda: in_memory(tokenizer="gpt2"), "tokenizer is a str", "AutoTokenizer")


def test_prompts(subject: pl.Subject) -> None:
    refused(lambda: subject.activations(TOKENS, length=2.5), "length is 2.5")  # type: ignore[arg-type]
    refused(lambda: subject.activations(np.ones((2, 5000), int)), "5000")
    refused(lambda: subject.activations(["", "w1"]), "0 token ids", "leave short ones out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": "3"}, ("samples is '3'", "6 prompts")),
        ({"samples": 2.0}, ("samples is 2.0",)),
        ({"engine": "fast"}, ("walk: engine is a str", "mapping")),
        ({"constants": [1]}, ("walk: constants is a list", "mapping")),
        ({"out": 5}, ("int", "give a path or a URL")),
    ],
)
def test_a_walk(subject: pl.Subject, options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: pl.walk(subject, TOKENS, {"real": "real"}, steps=5, quiet=True, **options), *words)


def test_a_model_in_the_place_of_a_subject() -> None:
    given: Any = MODEL
    refused(lambda: pl.walk(given, TOKENS, {"real": "real"}), "walk: subject is a GPT2LMHeadModel", "pl.Subject(")
    refused(lambda: pl.score_sae(given, {"a": make_sae()}, TOKENS), "score_sae: subject is", "pl.Subject(")


def test_a_sparse_tensor_is_an_array_too(subject: pl.Subject) -> None:
    row = torch.zeros(D_MODEL)
    row[3] = 1
    one, other = (pl.walk(subject, TOKENS, {"mine": given}, steps=5, quiet=True) for given in (row, row.to_sparse()))
    xr.testing.assert_identical(one["sensitivity"].to_dataset(), other["sensitivity"].to_dataset())


def test_an_sae_in_memory_has_no_path(subject: pl.Subject) -> None:
    def walked(sae: Any) -> xr.DataTree:
        return pl.walk(subject, TOKENS, {"reconstruction": "reconstruction"}, sae=sae, steps=5, quiet=True)

    with pytest.raises(pl.UsageError, match=r"^SAE in memory reads 16 numbers"):
        walked(make_sae(d_in=16))
    kept = json.loads(walked(make_sae()).attrs["identity"])["sae"]["settings"]
    assert (kept["d_in"], kept["hook_name"]) == (D_MODEL, WRITE)


def test_types_as_one_text(subject: pl.Subject) -> None:
    refused(
        lambda: pl.score_sae(subject, {"a": make_sae()}, TOKENS, types="reconstruction"), "'reconstruction'", "a list"
    )


def test_a_group_is_no_run(run: xr.DataTree, summary: xr.DataTree) -> None:
    refused(run["sensitivity"].plateau.max_slope, "no run or summary", "to_dataset()")
    refused(lambda: summary.plateau.summary(resamples=100), "resamples", "give its run")


@pytest.mark.parametrize(
    ("figure", "options", "words"),
    [
        ("max_slope_cdf", {"metrics": ["l3"]}, ("metrics: none of 'l3'", "l2, kl, js")),
        ("max_slope_cdf", {"metrics": "l2"}, ("metrics is the text 'l2'", "a list")),
        ("max_slope_cdf", {"types": ["nobody"]}, ("types: none of 'nobody'", "real, random")),
        ("ks_forest", {"metrics": ["l3"]}, ("metrics: none of 'l3'",)),
        ("plateaus", {"metric": "l3", "threshold": 0.1}, ("metric: none of 'l3'",)),
        ("target_geometry", {"types": ["nobody"]}, ("types: none of 'nobody'",)),
    ],
)
def test_figures_of_nothing(summary: xr.DataTree, figure: str, options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: getattr(pl.plot, figure)(summary, **options), *words)


def test_what_is_no_place(run: xr.DataTree, summary: xr.DataTree, tmp_path: Path) -> None:
    nothing: Any = None
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    for call in (lambda: pl.open_run(nothing), lambda: pl.save(run, nothing), lambda: pl.verify(nothing)):
        refused(call, "NoneType", "give a path or a URL")
    refused(lambda: pl.report(summary, nothing), "NoneType", ".html")
    for tree in (run, summary):
        refused(lambda: pl.save(tree, tmp_path / "file" / "x.zarr"), "file", "cannot be made", "choose another place")  # noqa: B023
    refused(lambda: pl.report(summary, tmp_path / "file" / "x.html"), "cannot be made", "choose another place")
    refused(lambda: pl.report(summary, tmp_path / "folder.html"), "a folder of that name")
    other: Any = "pandoc"
    refused(lambda: pl.report(summary, tmp_path / "x.html", renderer=other), "'pandoc'", "builtin")


def test_a_folder_that_nobody_may_write_to(run: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plateaulens.replacing.os.access", lambda *_: False)  # whoever runs tests may be allowed all
    refused(lambda: pl.save(run, tmp_path / "x.zarr"), str(tmp_path), "may not be written to")


def test_nothing_but_a_summary_is_replaced_by_one(run: xr.DataTree, summary: xr.DataTree, tmp_path: Path) -> None:
    """Not a run, which may have taken days, nor anybody's folder."""
    pl.save(run, tmp_path / "run.zarr")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_text("mine")
    for name in ("run.zarr", "folder", "file"):
        refused(lambda: pl.save(summary, tmp_path / name), name)  # noqa: B023
    assert pl.verify(tmp_path / "run.zarr") == []
    assert (tmp_path / "folder" / "file").read_text() == (tmp_path / "file").read_text() == "mine"
    refused(lambda: pl.save(tmp_path / "run.zarr", run), "DataTree", "give a path")  # type: ignore[arg-type]


def test_a_part_of_a_run_is_not_saved_as_one(run: xr.DataTree, tmp_path: Path) -> None:
    refused(lambda: pl.save(run.isel(sample=slice(0, 3)), tmp_path / "x.zarr"), "6 along sample", "3 of them are here")
    assert not (tmp_path / "x.zarr").exists()
