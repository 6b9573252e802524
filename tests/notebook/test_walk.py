"""`pl.walk`: what it gives is a run, the very one that a preset gives where the same was asked for."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import VOCABULARY, tiny_model, tiny_tokenizer
from tests.tiny import READ, TYPES, WRITE, make_sae, measured, write_preset

import plateaulens as pl
from plateaulens.collect import footprint
from plateaulens.collect.collect import collect
from plateaulens.collect.context import RunContext
from plateaulens.presets import read_config

TOKENS = np.random.default_rng(5).integers(1, VOCABULARY, (40, 6))
ROOT = {"zarr.json", "integrity/zarr.json"}
"""What says which model and prompts a run is of, and the digests of the files that say so."""


@pytest.fixture(scope="module")
def subject() -> pl.Subject:
    return pl.Subject(tiny_model("gpt2"), write=WRITE, read=READ, tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def acts(subject: pl.Subject) -> Any:
    return subject.activations(TOKENS).flip(0)


@pytest.mark.slow
def test_it_stores_what_collect_stores(tiny_files: Path, tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "tiny.toml", tiny_files, experiments=["sensitivity"])
    config = read_config(preset)
    collect(config, tmp_path / "collected.zarr")
    pl.walk(
        pl.Subject(tiny_files / "model", write=WRITE, read=READ),
        np.load(tiny_files / "prompts.npz")["tokens"],
        {name: name for name in TYPES},
        steps=11,
        samples=6,
        length=6,
        sae=tiny_files / "sae",
        seed=7,
        out=tmp_path / "walked.zarr",
        name=config.name,
        engine={"samples_per_chunk": 2},
        quiet=True,
    )
    walked, collected = measured(tmp_path / "walked.zarr"), measured(tmp_path / "collected.zarr")
    assert walked.keys() == collected.keys()
    assert {name for name in walked if walked[name] != collected[name]} == ROOT
    one, other = pl.open_run(tmp_path / "walked.zarr").attrs, pl.open_run(tmp_path / "collected.zarr").attrs
    assert {key for key in one if one[key] != other[key]} == {"config", "identity"}
    ours, theirs = json.loads(one["identity"]), json.loads(other["identity"])
    assert {key for key in ours if ours[key] != theirs[key]} == {"prompts"}


@pytest.mark.slow
def test_a_walk_in_memory_is_the_stored_one(subject: pl.Subject, acts: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 7, "quiet": True, "engine": {"samples_per_chunk": 16}}
    targets = {"mine": acts, "real": "real", "random": "random"}
    stored = pl.walk(subject, TOKENS, targets, out=tmp_path / "run.zarr", **options)
    held = pl.walk(subject, TOKENS, targets, **options)
    del held["provenance"], stored["provenance"]
    assert held.identical(stored)
    assert held["sensitivity"].curve.attrs == stored["sensitivity"].curve.attrs
    assert pl.verify(tmp_path / "run.zarr") == []


def test_a_target_is_what_was_given_for_the_prompt(subject: pl.Subject, acts: Any) -> None:
    def twice(base: Any, context: Any, rng: Any) -> Any:
        return 2 * base.activation

    run = pl.walk(
        subject,
        TOKENS[:, :],
        {"mine": acts, "one": acts[3].numpy().astype(np.float64), "twice": twice, "again": "random", "real": "real"},
        steps=3,
        quiet=True,
    )
    kinds = ["real", "twice", "again", "mine", "one"]
    assert sorted(map(str, run["activations"].activation_type.values)) == sorted(kinds)
    targets = {kind: run["activations"].target.sel(activation_type=kind).values for kind in kinds}
    np.testing.assert_array_equal(run["prompts"].token, TOKENS)
    np.testing.assert_array_equal(run["activations"].base, acts.flip(0))
    np.testing.assert_array_equal(targets["mine"], acts)
    np.testing.assert_array_equal(targets["one"], np.broadcast_to(acts[3], (40, 32)))
    np.testing.assert_array_equal(targets["twice"], 2 * acts.flip(0))
    rows = run["activations"].source_row.sel(activation_type="real").values
    np.testing.assert_array_equal(targets["real"], acts.flip(0)[rows])
    definitions = json.loads(run.attrs["definitions"])
    assert definitions["mine"] == "the activation given for the prompt"
    assert definitions["one"] == "a given activation, the same for all"
    assert definitions["again"] == "as random, drawn again"
    identity = json.loads(run.attrs["identity"])["activation_types"]
    assert set(identity) == {"mine", "one", "twice"}


def test_rows_follow_prompts_that_are_drawn(subject: pl.Subject, acts: Any) -> None:
    run = pl.walk(subject, TOKENS, {"mine": acts}, samples=5, steps=3, seed=3, quiet=True)
    assert run["sensitivity"].sizes["sample"] == 5
    for sample in range(5):
        (row,) = np.flatnonzero((run["prompts"].token.values[sample] == TOKENS).all(axis=1))
        np.testing.assert_array_equal(
            run["activations"].target.sel(activation_type="mine").values[sample], acts[int(row)]
        )
    assert not np.array_equal(run["prompts"].token, TOKENS[:5])


def test_real_is_there_unasked(subject: pl.Subject, acts: Any) -> None:
    run = pl.walk(subject, TOKENS, {"mine": acts}, steps=3, quiet=True)
    assert list(map(str, run["sensitivity"].activation_type.values)) == ["real", "mine"]


def test_a_model_and_its_bridge_give_the_same(subject: pl.Subject, acts: Any) -> None:
    from tests.notebook.test_subject import bridge_of

    bridged = pl.Subject(bridge_of("gpt2"), write=WRITE, read=READ)
    options: dict[str, Any] = {"steps": 5, "quiet": True}
    own = pl.walk(subject, TOKENS[:8], {"mine": acts[:8]}, **options)
    other = pl.walk(bridged, TOKENS[:8], {"mine": acts[:8]}, **options)
    np.testing.assert_allclose(own["sensitivity"].curve, other["sensitivity"].curve, atol=1e-4)
    assert own.attrs == other.attrs


@pytest.mark.slow
def test_an_interrupted_walk_goes_on(
    subject: pl.Subject, acts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"steps": 5, "quiet": True, "engine": {"samples_per_chunk": 4}}
    targets = {"mine": acts, "random": "random"}
    pl.walk(subject, TOKENS, targets, out=tmp_path / "whole.zarr", **options)
    curves, calls = RunContext.curves, []

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(given[2])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return curves(*given, **named)

    monkeypatch.setattr(RunContext, "curves", counted)
    with pytest.raises(KeyboardInterrupt):
        pl.walk(subject, TOKENS, targets, out=tmp_path / "run.zarr", **options)
    with pl.open_run(tmp_path / "run.zarr") as part:
        assert int(part["sensitivity"].completed.all("activation_type").sum()) == 12
        assert "12 of 40 prompts complete" in part.plateau._repr_html_()
    pl.walk(subject, TOKENS, targets, out=tmp_path / "run.zarr", **options)
    assert len(calls) == 4 + 7
    assert measured(tmp_path / "run.zarr") == measured(tmp_path / "whole.zarr")
    with pytest.raises(pl.UsageError, match=r"activation_types\.mine\.sha256"):
        pl.walk(subject, TOKENS, {"mine": acts + 1, "random": "random"}, out=tmp_path / "run.zarr", **options)


def test_further_prompts_widen_the_pool(subject: pl.Subject, acts: Any) -> None:
    options: dict[str, Any] = {"steps": 3, "quiet": True}
    by_tokens = pl.walk(subject, TOKENS[:6], {"random": "random"}, pool=TOKENS[6:], **options)
    given = subject.activations(TOKENS[6:])
    by_activations = pl.walk(subject, TOKENS[:6], {"random": "random"}, pool=given.numpy(), **options)
    del by_tokens["provenance"], by_activations["provenance"]
    assert by_tokens.identical(by_activations)
    assert int(by_tokens["activations"].source_row.sel(activation_type="real").max()) >= 6


def test_too_few_activations_for_a_covariance_are_said(subject: pl.Subject) -> None:
    with pytest.warns(UserWarning, match=r"random: the covariance of 6 activations that are 32 wide .* give pool="):
        pl.walk(subject, TOKENS[:6], {"random": "random"}, steps=3, quiet=True)


@pytest.mark.slow
def test_an_sae_in_memory_is_left_as_it_is(subject: pl.Subject, tiny_files: Path) -> None:
    sae = make_sae()
    before = {name: weight.clone() for name, weight in sae.state_dict().items()}
    targets = {name: name for name in ("real", "reconstruction")}
    given = pl.walk(subject, TOKENS, targets, sae=sae, steps=3, quiet=True)
    assert all(torch.equal(weight, before[name]) for name, weight in sae.state_dict().items())
    assert sae.training or all(weight.requires_grad for weight in sae.parameters())
    read = pl.walk(subject, TOKENS, targets, sae=str(tiny_files / "sae"), steps=3, quiet=True)
    np.testing.assert_array_equal(given["sensitivity"].curve, read["sensitivity"].curve)
    assert given["activations"].active_latents.min() >= 0
    assert given["activations"].active_latents.max() > 3


def test_several_experiments(subject: pl.Subject, acts: Any) -> None:
    run = pl.walk(
        subject, TOKENS, {"mine": acts}, experiments=["sensitivity", "plateau"], steps=4, step_length=0.5, quiet=True
    )
    np.testing.assert_allclose(run["plateau"].length, [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(run["sensitivity"].fraction, [0, 1 / 3, 2 / 3, 1])


def test_what_a_run_says_of_itself_is_said(subject: pl.Subject, acts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    twice = np.concatenate([TOKENS[:-1], TOKENS[:1]])
    pl.walk(subject, twice, {"mine": acts}, steps=3)
    said = capsys.readouterr().out
    assert "way of running: " in said
    assert "1 prompt occurs twice or more\n" in said
    pl.walk(subject, TOKENS, {"mine": acts}, steps=3, quiet=True)
    assert capsys.readouterr().out == ""


def test_what_does_not_fit_into_memory_is_refused(
    subject: pl.Subject, acts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "available", lambda _: 1000)
    with pytest.raises(
        pl.UsageError,
        match=r"a walk through model 'in memory: GPT2LM.* does not fit on cpu: .*fewer activ",
    ):
        pl.walk(subject, TOKENS, {"mine": acts}, steps=3)


def test_a_bar_is_shown_unless_it_is_not_wanted(
    subject: pl.Subject, acts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.walk(subject, TOKENS[:4], {"mine": acts[:4]}, steps=3)
    assert "sensitivity" in capsys.readouterr().err
    pl.walk(subject, TOKENS[:4], {"mine": acts[:4]}, steps=3, quiet=True)
    assert capsys.readouterr().err == ""


ROWS = np.zeros((40, 32), np.float32)


@pytest.mark.parametrize(
    ("targets", "options", "says"),
    [
        ({"mine": ROWS[:39]}, {}, "target 'mine' is (39, 32): wanted is (40, 32), or (32,) for one that all prompts"),
        ({"mine": ROWS[:, :31]}, {}, "target 'mine' is (40, 31): wanted is (40, 32)"),
        ({"mine": ROWS[0, :5]}, {}, "target 'mine' is (5,): wanted is (40, 32)"),
        ({"mine": ROWS.astype(int)}, {}, "target 'mine' is int64, wanted are real floating-point numbers"),
        ({"mine": ROWS.astype(complex)}, {}, "target 'mine' is complex128, wanted are real floating-point numbers"),
        ({"mine": ROWS + np.nan}, {}, "target 'mine' has values that are no finite numbers"),
        ({"mine": object()}, {}, "target 'mine' is no array of numbers (object)"),
        ({"mine": "nothing"}, {}, "unknown activation type 'nothing' in targets.types"),
        ({"mine": "structured"}, {}, "mine need an SAE"),
        ({"random": ROWS}, {}, "targets have 'random', the name of another activation type that there is"),
        ({"real": "random"}, {}, "targets have 'real', the name of another activation type that there is"),
        ({"my type": ROWS}, {}, "'my type' cannot be the name of an activation type"),
        (ROWS, {}, "targets are a ndarray: give a mapping"),
        ({"mine": ROWS}, {"steps": 1}, "walk: sensitivity.steps: Input should be from 3 to 10,000"),
        ({"mine": ROWS}, {"experiments": "plateau"}, "plateau.step_length is missing"),
        ({"mine": ROWS}, {"experiments": "nothing"}, "nothing is neither a key nor an experiment"),
        ({"mine": ROWS}, {"experiments": ()}, "experiments"),
        ({"mine": ROWS}, {"samples": 41}, "samples is 41, and there are 40 prompts"),
        ({"mine": ROWS}, {"samples": 0}, "samples is 0, and there are 40 prompts"),
        ({"mine": ROWS}, {"engine": {"speed": 2}}, "walk: engine.speed"),
        ({"mine": ROWS}, {"constants": {"anchor": 2}}, "walk: targets.anchor"),
        ({"mine": ROWS}, {"pool": ROWS[:, :3]}, "pool is (40, 3): wanted are real activations (row, 32), or prompts"),
        ({"mine": ROWS}, {"pool": ROWS[0]}, "pool is (32,): wanted are real activations (row, 32), or prompts"),
        ({"mine": ROWS}, {"pool": TOKENS[:, :4]}, "the pool's prompts are 4 token ids long at least, and 6 are wanted"),
        ({"mine": ROWS}, {"sae": 3}, "sae is a int: give a SAELens SAE, a folder with one, or release:id"),
        ({"mine": ROWS}, {"sae": "nowhere"}, "nowhere"),
    ],
)
def test_what_does_not_fit(targets: Any, options: dict[str, Any], says: str, subject: pl.Subject) -> None:
    with pytest.raises(pl.UsageError, match=re.escape(says)) as raised:
        pl.walk(subject, TOKENS, targets, **{"steps": 3, "quiet": True, **options})
    assert "\n" not in str(raised.value)


def test_a_single_prompt_has_no_real_target(subject: pl.Subject) -> None:
    with pytest.raises(pl.UsageError, match=r"no other of the 1 prompts has an activation .* supply more prompts"):
        pl.walk(subject, TOKENS[:1], {"mine": ROWS[:1]}, steps=3, quiet=True)
