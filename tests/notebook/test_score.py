"""`pl.score_sae` on a model whose blow-ups follow from its weights: SAEs of known quality, pairing, mistakes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from sae_lens import SAE
from tests import toy

import plateaulens as pl
from plateaulens.notebook.score import Scores

SEED = 3
OPTIONS: dict[str, Any] = {"steps": 31, "seed": SEED, "metrics": ("l2", "kl"), "resamples": 300, "quiet": True}
PER_WORD = 3
"""Prompts that end with each word; what stands before it changes nothing in this model."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy.write_model(folder / "model")
    toy.write_sae(folder / "sae")
    return folder


@pytest.fixture(scope="module")
def subject(folder: Path) -> pl.Subject:
    return pl.Subject(folder / "model", write=toy.WRITE, read=toy.READ)


@pytest.fixture(scope="module")
def tokens() -> Any:
    words = np.tile(np.arange(1, toy.WORDS + 1), PER_WORD)
    before = np.repeat(np.arange(1, PER_WORD + 1), toy.WORDS)
    return np.stack([np.zeros_like(words), before, words], axis=1)


def turned(folder: Path, degrees: float) -> Any:
    """The exact SAE, turning activations in the plane of the signal and one data pair, each in units of its spread.

    Turned by a right angle, the signal of what it gives is normally distributed, with the mean and the variance that
    signals have: like that of a random activation, whatever signal the real one has.
    """
    made: Any = SAE.load_from_disk(folder / "sae")
    pairs = toy.embeddings()[1:, ::2]
    mean, sd = pairs.mean(axis=0), pairs.std(axis=0)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(toy.PAIRS)
    plane = [toy.SIGNAL, toy.SIGNAL + 1]
    matrix[np.ix_(plane, plane)] = np.diag(1 / sd[plane]) @ np.array([[cos, -sin], [sin, cos]]) @ np.diag(sd[plane])
    bias = made.b_dec.numpy(force=True)[::2]
    with torch.no_grad():
        rows = made.W_dec.numpy(force=True)[:, ::2]
        made.W_dec.copy_(torch.from_numpy(toy.mirrored(rows @ matrix)).float())
        # encode subtracts the bias, decode adds it: what is left over of the mean's rotation joins it
        made.b_dec.copy_(torch.from_numpy(toy.mirrored(bias)).float())
        shift = mean - (bias + (mean - bias) @ matrix)
        made.b_dec.add_(torch.from_numpy(toy.mirrored(shift)).float())
        made.b_enc.add_(torch.from_numpy(toy.mirrored(shift)).float() @ made.W_enc)
    return made


@pytest.fixture(scope="module")
def scores(subject: pl.Subject, tokens: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Of an SAE that loses nothing, one that loses a little, and one that loses all; their runs are stored."""
    saes = {"noise": turned(folder, 90), "exact": folder / "sae", "near": turned(folder, 10)}
    out = tmp_path_factory.mktemp("scored")
    return pl.score_sae(subject, saes, tokens, types=["reconstruction"], out=out, **OPTIONS)


def cell(scores: Scores, sae: str, metric: str = "kl") -> xr.Dataset:
    return scores.data.sel(sae=sae, metric=metric, activation_type="reconstruction")


def test_turned(folder: Path) -> None:
    points = torch.from_numpy(toy.embeddings()[1:]).float()
    same, noise = (turned(folder, degrees) for degrees in (0, 90))
    torch.testing.assert_close(same(points), points, atol=1e-3, rtol=0)
    given = noise(points).numpy(force=True)
    np.testing.assert_allclose(given.mean(axis=0), toy.embeddings()[1:].mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(toy.signal(given).std(), toy.signal(points.numpy()).std(), rtol=1e-3)
    assert np.abs(np.corrcoef(toy.signal(given), toy.signal(points.numpy()))[0, 1]) < 0.3


@pytest.mark.slow
class TestKnownAnswers:
    def test_an_sae_that_loses_nothing_has_come_the_whole_way(self, scores: Scores) -> None:
        found = cell(scores, "exact")
        assert found["share"] == 1
        assert found["share_interval"][0] > 0.8
        for metric in ("l2", "kl"):
            lower, upper = cell(scores, "exact", metric)["share_interval"].values
            assert lower < 1 <= upper

    def test_one_that_loses_all_has_come_no_way(self, scores: Scores) -> None:
        for metric in ("l2", "kl"):
            found = cell(scores, "noise", metric)
            lower, upper = found["share_interval"].values
            assert lower < 0 < upper < 0.7
            assert abs(float(found["share"])) < 0.5

    def test_they_are_ranked_in_their_order(self, scores: Scores) -> None:
        order = scores.ranking.query("metric == 'kl'")
        assert order["sae"].tolist() == ["exact", "near", "noise"]
        assert order["rank"].tolist() == [1, 2, 3]
        assert order["standing"].tolist()[0] == "best"
        assert order["standing"].tolist()[2] == "worse"
        assert order["behind_p_holm"].iloc[2] < 0.01
        assert order["behind"].iloc[2] == order["share"].iloc[0] - order["share"].iloc[2]
        assert (order["behind_lower"].iloc[1:] <= order["behind"].iloc[1:]).all()

    def test_plateaus_of_an_exact_sae_are_as_long_as_real_ones(self, scores: Scores) -> None:
        found = cell(scores, "exact", "l2")
        assert float(found["plateau_share"]) == pytest.approx(1, abs=0.02)
        assert found["plateau_share_interval"][0] <= 1 <= found["plateau_share_interval"][1]
        assert np.isnan(cell(scores, "exact")["plateau_share"])  # KL has no threshold

    def test_a_second_draw_of_real_is_the_yardstick(self, scores: Scores) -> None:
        control = scores.data["control_share_interval"].sel(metric="kl")
        assert control[0] < 1 <= control[1]
        assert (scores.data["scale_length_interval"].sel(bound="lower") > 0).all()


@pytest.mark.slow
def test_all_saes_have_the_same_bases_and_targets(
    scores: Scores, subject: pl.Subject, tokens: Any, folder: Path, tmp_path: Path
) -> None:
    """And runs that are there give what the call gave; a stored call goes on where it is complete."""
    del scores
    saes = {"exact": folder / "sae", "noise": turned(folder, 90)}
    options: dict[str, Any] = OPTIONS | {"steps": 9, "metrics": ("kl",)}
    made = pl.score_sae(subject, saes, tokens[:100], types=["reconstruction"], out=tmp_path, **options)
    runs = {name: pl.open_run(tmp_path / f"{name}.zarr") for name in saes}
    one, other = runs.values()
    for kind in ("real", "real_control", "random"):
        targets = [run["activations"].target.sel(activation_type=kind).values for run in (one, other)]
        np.testing.assert_array_equal(*targets)
    np.testing.assert_array_equal(one["prompts"].token, other["prompts"].token)
    again = pl.score_sae(runs, types=["reconstruction"], resamples=300)
    xr.testing.assert_identical(again.data, made.data)
    assert pl.score_sae(subject, saes, tokens[:100], types=["reconstruction"], out=tmp_path, **options).data.identical(
        made.data
    )
    elsewhere = pl.score_sae(subject, {"moved": folder / "sae"}, tokens[:100], types=["reconstruction"], out=tmp_path,
                             **options | {"seed": 4})  # fmt: skip
    assert set(elsewhere.ranking["standing"]) <= {"only one", "undefined"}
    with pytest.raises(pl.UsageError, match=r"exact.* and .*moved.* cannot be compared, the seed of their runs"):
        pl.score_sae({"exact": one, "moved": pl.open_run(tmp_path / "moved.zarr")})


class TestMistakes:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"saes": {}, "tokens": [[1]]}, "give SAEs by their names"),
            ({"saes": ["a"], "tokens": [[1]]}, "give SAEs by their names"),
            ({"saes": {"a": "b"}}, "give prompts, tokens="),
        ],
    )
    def test_what_is_missing(self, given: Any, message: str, subject: pl.Subject) -> None:
        with pytest.raises(pl.UsageError, match=message):
            pl.score_sae(subject, **given)

    def test_runs_bring_everything_along(self) -> None:
        with pytest.raises(pl.UsageError, match="leave saes and tokens out"):
            pl.score_sae({}, {"a": "b"})
        with pytest.raises(pl.UsageError, match="give at least one run"):
            pl.score_sae({})
        with pytest.raises(pl.UsageError, match="wanted are runs or summaries"):
            pl.score_sae({"a": xr.DataTree()})

    def test_two_names_of_one_file(self, subject: pl.Subject, tmp_path: Path) -> None:
        with pytest.raises(pl.UsageError, match="2 SAEs would be stored as a-b"):
            pl.score_sae(subject, {"a/b": "x", "a b": "y"}, [[0, 1, 2]], out=tmp_path)


@pytest.mark.slow
@pytest.mark.model
def test_the_shipped_sae_and_one_that_is_disturbed() -> None:
    """On the embedded model, with few prompts."""
    from plateaulens.resources import find

    subject = pl.Subject("embedded:smollm2", write="blocks.1.hook_resid_pre")
    tokens = np.load(find("prompts", "smollm2"))["tokens"][:, :10]
    shipped: Any = SAE.load_from_disk(find("saes", "smollm2-blocks.1.hook_resid_pre"))
    disturbed: Any = SAE.load_from_disk(find("saes", "smollm2-blocks.1.hook_resid_pre"))
    with torch.no_grad():
        noise = torch.randn(shipped.W_dec.shape, generator=torch.Generator().manual_seed(0))
        disturbed.W_dec += 2 * noise * shipped.W_dec.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    scores = pl.score_sae(
        subject, {"disturbed": disturbed, "shipped": shipped}, tokens[:40], pool=tokens[40:700], steps=31,
        types=["reconstruction"], quiet=True, resamples=300,
    )  # fmt: skip
    order = scores.ranking.query("metric == 'l2'")
    assert order["sae"].tolist() == ["shipped", "disturbed"]
    assert order["standing"].tolist() == ["best", "worse"]
