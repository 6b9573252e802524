"""Runs with types that are fitted: to other prompts than bases and real targets come from, and the same ones again."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.conftest import VOCABULARY
from tests.tiny import PROMPTS, measured, write_preset

from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, base_rows, open_context, prompt_values, specification
from plateaulens.collect.pool import FIRST_FITTED, MOST_FITTED
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.verify import verify
from plateaulens.summary.analyze import summarize
from plateaulens.targets.fitting import Fitting, Tokens

Configure = Callable[..., RunConfig]
TYPES = ["real", "real_control", "real_mixture", "random", "token_elliptical", "code_copula", "latents_swapped"]
PLAIN = {"experiments": ["plateau"], "targets__types": ["real", "random"]}


@pytest.fixture(autouse=True, scope="module")
def no_commit() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        yield


@pytest.fixture(scope="module")
def configure(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Configure:
    preset = tmp_path_factory.mktemp("presets") / "tiny.toml"
    changed = {"experiments": ["plateau"], "targets__types": TYPES, "plateau__samples": 12}
    changed["targets__variants__with_error"] = {"type": "structured", "sae_error": "predicted"}

    def make(**changes: Any) -> RunConfig:
        both = {**changed, **changes}
        variants = both.pop("targets__variants__with_error")
        text = write_preset(preset, tiny_files, **both)
        if variants:
            with text.open("a") as file:
                file.write('\ntargets.variants.with_error = { type = "structured", sae_error = "predicted" }\n')
        return read_config(text)

    return make


@pytest.fixture(scope="module")
def path(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    path = tmp_path_factory.mktemp("runs") / "fitted.zarr"
    collect(configure(), path)
    return path


@pytest.fixture(scope="module")
def activations(path: Path) -> xr.Dataset:
    return open_run(path)["activations"].to_dataset().load()


@pytest.fixture(scope="module")
def halves(configure: Configure) -> tuple[set[int], set[int]]:
    """Rows that are judged, and rows that are set aside, by their definition: the run's order cut in the middle."""
    order = base_rows(configure().seed, PROMPTS).tolist()
    return set(order[: PROMPTS // 2]), set(order[PROMPTS // 2 :])


def whole_prompts(configure: Configure) -> np.ndarray:
    with np.load(configure().prompts.source) as file:
        tokens: np.ndarray = file["tokens"]
    return tokens


@pytest.mark.slow
class TestFittedRun:
    def test_bases_and_real_targets_are_never_of_rows_set_aside(
        self, path: Path, activations: xr.Dataset, configure: Configure, halves: tuple[set[int], set[int]]
    ) -> None:
        judged, aside = halves
        stored = open_run(path)["prompts"].to_dataset()["token"].values.tolist()
        bases = {row for row, own in enumerate(whole_prompts(configure)[:, :6].tolist()) if own in stored}
        assert len(bases) == 12
        assert bases <= judged
        source, mixed = activations["source_row"], activations["mixed_row"].sel(activation_type="real_mixture")
        for name in ("real", "real_control", "latents_swapped"):
            rows = set(source.sel(activation_type=name).values.tolist())
            assert len(rows) > 3
            assert rows <= judged
        assert set(mixed.values.ravel().tolist()) <= judged
        for name in ("random", "token_elliptical", "code_copula", "with_error"):
            assert (source.sel(activation_type=name) == -1).all()
        context = open_context(configure())
        assert set(context.target_context.pool.row.tolist()) == judged
        assert not judged & aside

    def test_types_are_fitted_to_all_later_tokens_of_the_others(
        self, configure: Configure, halves: tuple[set[int], set[int]]
    ) -> None:
        """Those that follow in the array after the run's six among them, each with its token and its embedding."""
        context = open_context(configure())
        corpus, rows = context.target_context.corpus, sorted(halves[1])
        tokens = whole_prompts(configure)[rows]
        assert tokens.shape == (20, 8)
        np.testing.assert_array_equal(corpus.token, tokens[:, FIRST_FITTED:].ravel())
        found = context.subject.activations(torch.from_numpy(tokens))[:, FIRST_FITTED:].reshape(-1, 32)
        torch.testing.assert_close(corpus.activation, found.clone(), rtol=1e-4, atol=1e-4)
        assert context.subject.model is not None
        embed: Any = context.subject.model.get_input_embeddings()
        table = embed.weight.detach()
        torch.testing.assert_close(corpus.embedding, table[corpus.token])

    def test_distances_are_those_of_brute_force(self, activations: xr.Dataset, configure: Configure) -> None:
        corpus = open_context(configure()).target_context.corpus.activation.double().numpy()
        target = activations["target"].values.astype(np.float64)
        expected = np.linalg.norm(target[:, :, None] - corpus, axis=-1).min(axis=-1)
        assert activations["fit_distance"].dims == ("activation_type", "sample")
        np.testing.assert_allclose(activations["fit_distance"], expected, rtol=1e-5)
        assert (activations["fit_distance"] > 0).all()

    def test_resuming_gives_the_same_bytes_and_identity(self, path: Path, configure: Configure, tmp_path: Path) -> None:
        """Half of the spans by one process, the rest by another one that has learned everything anew."""
        context, part = open_context(configure()), tmp_path / "part.zarr"
        with RunStore.create(part, specification(context), attributes(context), prompt_values(context)) as store:
            for span in list(store.spans("activations"))[::2]:
                store.write("activations", span, context.activations(span))
        collect(configure(), part)
        assert verify(part) == []
        for group in ("prompts", "activations", "plateau"):
            mine, other = ({n: b for n, b in measured(each).items() if n.startswith(group)} for each in (part, path))
            assert mine == other
        identities = [json.loads(open_run(each).attrs["identity"]) for each in (part, path)]
        assert identities[0] == identities[1]
        learned = {"Corpus", "Tokens", "WithinTokens", "Codes", "Tops", "Copula", "SaeError"}
        assert set(identities[0]["learned"]) == learned

    @pytest.mark.parametrize("drawn", [False, True])
    def test_other_numbers_are_refused_until_all_targets_are_drawn(
        self, drawn: bool, path: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another machine rounds otherwise: what is walked then are the targets that are there, to the same bytes."""
        context, part = open_context(configure()), tmp_path / "part.zarr"
        with RunStore.create(part, specification(context), attributes(context), prompt_values(context)) as store:
            spans = list(store.spans("activations"))
            for span in spans if drawn else spans[:-1]:
                store.write("activations", span, context.activations(span))
        fit = Tokens.fit

        def rounded(fitting: Fitting) -> Tokens:
            found = fit(fitting)
            return replace(found, mean=np.nextafter(found.mean, np.inf, dtype=np.float32))

        monkeypatch.setattr(Tokens, "fit", rounded)
        if drawn:
            collect(configure(), part)
            assert verify(part) == []
            mine, other = ({n: b for n, b in measured(each).items() if "/c/" in n} for each in (part, path))
            assert mine == other
        else:
            with pytest.raises(UsageError, match=r"continue it there, with as many threads.*identity\.learned\.Tokens"):
                collect(configure(), part)

    def test_its_targets_are_walked_again(self, path: Path, activations: xr.Dataset, configure: Configure) -> None:
        context = open_context(configure(targets__of_run=str(path)))
        found = context.activations(slice(0, 5))
        for name in ("target", "fit_distance"):
            np.testing.assert_array_equal(found[name], activations[name][:, :5])
        with pytest.raises(UsageError, match=r"targets\.kept_share: stored 0\.5, asked 0\.25"):
            open_context(configure(targets__of_run=str(path), targets__kept_share=0.25))


@pytest.mark.slow
def test_the_own_token_is_that_of_the_prompt_and_the_run_says_how_often(
    tiny_files: Path, configure: Configure, tmp_path: Path
) -> None:
    """The sixth of the prompt, which is the last one; the ladder has the share and the difference of plateaus."""
    given = {"experiments": ["sensitivity", "plateau"], "targets__types": ["real", "random", "token_mean"]}
    preset = write_preset(tmp_path / "own.toml", tiny_files, **given, sensitivity__samples=12, plateau__samples=12)
    with preset.open("a") as file:
        file.write('\ntargets.variants.own = { type = "token_mean", own_token = true }\n')
    collect(read_config(preset), tmp_path / "own.zarr")
    context = open_context(read_config(preset)).target_context
    means, known = context.learned(Tokens).mean, np.unique(context.corpus.token)
    with open_run(tmp_path / "own.zarr") as run:
        target = run["activations/target"].to_numpy()[3]
        last = run["prompts/token"].to_numpy()[:, 5]
        kept = json.loads(run.attrs["identity"])["own_token"]
        has = np.isin(last, known)
        assert 0 < has.sum() < 12
        assert kept == {"own": int(has.sum())}
        np.testing.assert_array_equal(target[has], means[np.searchsorted(known, last[has])])
        ladder = summarize(run, AnalysisConfig(resamples=200, plateau_threshold={"l2": 0.5}))["ladder"].to_dataset()
    assert float(ladder["own_token_kept"].sel(rung="token_mean")) == has.mean()
    assert "own" not in ladder["rung"].to_numpy()
    assert bool(ladder["own_token_gain"].sel(rung="token_mean").notnull())
    with open_run(tmp_path / "own.zarr") as run:
        assert json.loads(run.attrs["definitions"])["own"] == "as token mean, of the base's own token"
    assert "own_token" not in json.loads(str(attributes(open_context(configure()))["identity"]))


def test_more_samples_than_half_of_the_prompts(configure: Configure) -> None:
    with pytest.raises(UsageError) as raised:
        open_context(configure(plateau__samples=21))
    assert str(raised.value) == (
        "21 samples asked for, and types are fitted to half of the 40 prompts: ask for at most 20, or supply more "
        "prompts"
    )


def test_without_fitted_types_a_run_is_what_it_was(configure: Configure) -> None:
    plain = {"targets__variants__with_error": None, **PLAIN, "plateau__samples": PROMPTS}
    context = open_context(configure(**plain))
    assert context.target_context.fitting is None
    np.testing.assert_array_equal(context.target_context.pool.row, np.arange(PROMPTS))
    np.testing.assert_array_equal(context.base_row, base_rows(7, PROMPTS))
    assert "fit_distance" not in context.activations(slice(0, 2))
    assert "learned" not in json.loads(str(attributes(context)["identity"]))
    assert not specification(context).fitted
    assert "fit_distance" not in {each.name for each in specification(context).groups["activations"].variables}


@pytest.mark.slow
def test_tokens_behind_the_prompts_may_be_anything_but_where_they_are_fitted_to(
    configure: Configure, tmp_path: Path
) -> None:
    """As padding is, which no run without fitted types looks at."""
    tokens = whole_prompts(configure).astype(np.int64)
    tokens[:, 7] = -1
    np.save(tmp_path / "padded.npy", tokens)
    given = {"prompts__source": str(tmp_path / "padded.npy")}
    open_context(configure(**given, targets__variants__with_error=None, **PLAIN))
    with pytest.raises(UsageError, match=f"has the id -1, and the model knows 0 to {VOCABULARY - 1}: cut what"):
        open_context(configure(**given)).target_context.corpus.token  # noqa: B018


@pytest.mark.slow
def test_long_sequences_are_taken_in_part(configure: Configure, tmp_path: Path) -> None:
    """No more than the model has positions for, and no more than `MOST_FITTED`."""
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (6, 90))
    np.save(tmp_path / "long.npy", tokens)
    context = open_context(configure(prompts__source=str(tmp_path / "long.npy"), plateau__samples=3))
    assert context.subject.positions == 64
    assert len(context.target_context.corpus.token) == 3 * (min(64, MOST_FITTED) - FIRST_FITTED)


def test_prompts_of_few_tokens_give_their_last_one(configure: Configure, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", whole_prompts(configure)[:, :2])
    context = open_context(configure(prompts__source=str(tmp_path / "short.npy"), prompts__length=2))
    np.testing.assert_array_equal(
        context.target_context.corpus.token,
        whole_prompts(configure)[np.sort(base_rows(7, PROMPTS)[20:]), 1],
    )
