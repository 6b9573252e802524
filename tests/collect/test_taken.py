"""Another run's bases and targets: walked to the same curves, named in the identity, refused where they do not fit."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.tiny import write_model, write_preset

from plateaulens.cli import main
from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, open_context, prompt_values, specification
from plateaulens.collect.taken import Taken
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.verify import verify

Configure = Callable[..., RunConfig]
TYPES = ["real", "random", "structured"]


@pytest.fixture(autouse=True, scope="module")
def no_commit() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        yield


@pytest.fixture(scope="module")
def preset(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("presets")
    changed = {"targets__types": TYPES, "experiments": ["sensitivity", "plateau"]}
    return lambda **changes: write_preset(folder / "tiny.toml", tiny_files, **{**changed, **changes})


@pytest.fixture(scope="module")
def configure(preset: Callable[..., Path]) -> Configure:
    return lambda **changes: read_config(preset(**changes))


@pytest.fixture(scope="module")
def source(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    path = tmp_path_factory.mktemp("runs") / "source.zarr"
    collect(configure(), path)
    return path


@pytest.fixture(scope="module")
def again(configure: Configure, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run from stored bases and targets."""
    path = tmp_path_factory.mktemp("runs") / "again.zarr"
    collect(configure(targets__of_run=str(source)), path)
    return path


def refused(config: RunConfig) -> str:
    with pytest.raises(UsageError) as raised:
        open_context(config)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.slow
class TestTakenActivations:
    def test_every_chunk_is_that_of_the_run(self, source: Path, again: Path) -> None:
        for group in ("prompts", "activations", "sensitivity", "plateau"):
            files = {file.relative_to(source) for file in (source / group).rglob("c/**/*") if file.is_file()}
            assert files
            for file in files:
                assert (again / file).read_bytes() == (source / file).read_bytes(), file
        assert verify(again) == []

    def test_the_identity_says_so(self, source: Path, again: Path) -> None:
        before, after = (json.loads(open_run(path).attrs["identity"]) for path in (source, again))
        digest = after.pop("activations_of")["sha256"]
        assert before == after
        assert len(bytes.fromhex(digest)) == 32

    def test_it_is_continued_from_wherever_the_run_lies(self, configure: Configure, source: Path, again: Path) -> None:
        elsewhere = source.parent / "moved.zarr"
        elsewhere.symlink_to(source)
        collect(configure(targets__of_run=str(elsewhere)), again)
        with pytest.raises(UsageError, match=r"identity\.activations_of: stored"):
            collect(configure(), again)

    def test_other_bases_are_walked_as_they_are_stored(
        self, configure: Configure, source: Path, again: Path, tmp_path: Path
    ) -> None:
        """What another device has stored: here the bases are rounded to 12 bits more coarsely."""
        context = open_context(configure())
        other = tmp_path / "other.zarr"
        with RunStore.create(other, specification(context), attributes(context), prompt_values(context)) as store:
            for span in store.spans("activations"):
                values: dict[str, Any] = dict(context.activations(span))
                values |= {name: values[name] * np.float32(1 + 2**-12) for name in ("base", "target")}
                store.write("activations", span, values)
        moved = tmp_path / "moved.zarr"
        collect(configure(targets__of_run=str(other)), moved)
        with open_run(other) as one, open_run(moved) as two, open_run(source) as drawn:
            for name in ("base", "target", "source_row", "active_latents"):
                np.testing.assert_array_equal(one["activations"][name], two["activations"][name])
            assert (drawn["activations"].base != two["activations"].base).any()
            assert bool(two["sensitivity"].completed.all())
            said = [json.loads(run.attrs["identity"]) for run in (two, open_run(again))]
            assert said[0]["activations_of"] != said[1]["activations_of"]

    def test_what_an_earlier_version_did_not_store_is_computed(self, configure: Configure, source: Path) -> None:
        context = open_context(configure(targets__of_run=str(source)))
        assert context.taken is not None
        assert context.taken.encoded
        earlier = replace(context, taken=replace(context.taken, encoded=False))
        span = slice(1, 4)
        assert set(earlier.taken.values(span)) < set(context.taken.values(span))  # type: ignore[union-attr]
        for name, values in context.activations(span).items():
            np.testing.assert_array_equal(earlier.activations(span)[name], values)
        assert attributes(earlier) == attributes(context)

    def test_fewer_types_and_samples_are_chosen_by_name(
        self, configure: Configure, source: Path, tmp_path: Path
    ) -> None:
        fewer = {"targets__types": ["structured", "real"], "sensitivity__samples": 3, "plateau__samples": 3}
        collect(configure(targets__of_run=str(source), **fewer), tmp_path / "fewer.zarr")
        with open_run(source) as whole, open_run(tmp_path / "fewer.zarr") as part:
            expected = whole["activations"].target.sel(activation_type=["structured", "real"])[:, :3]
            np.testing.assert_array_equal(part["activations"].target, expected)

    def test_the_command_line_takes_a_run(self, preset: Callable[..., Path], source: Path, tmp_path: Path) -> None:
        out = tmp_path / "again.zarr"
        assert main(["collect", "--preset", str(preset()), "--activations-of", str(source), "--out", str(out)]) == 0
        assert main(["differ", str(source), str(out)]) == 0
        assert "activations_of" in json.loads(open_run(out).attrs["identity"])


class TestRefusals:
    def test_a_run_that_is_not_there(self, configure: Configure, tmp_path: Path) -> None:
        assert "no plateaulens run at" in refused(configure(targets__of_run=str(tmp_path / "nowhere.zarr")))

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"seed": 8}, "seed: stored 7, asked 8"),
            (
                {"sites__write": "blocks.2.hook_resid_pre", "sae__source": None, "targets__types": ["real", "random"]},
                'write_site: stored "blocks.1.hook_resid_pre"',
            ),
            ({"prompts__length": 5}, "prompt.length: stored 6, asked 5"),
            ({"targets__anchor_cosine": 0.3}, "targets.anchor_cosine: stored 0.42, asked 0.3"),
            ({"targets__types": ["real", "isotropic"]}, "have no type 'isotropic'"),
            ({"sensitivity__samples": 7}, "are there of 6 base prompts, and 7 are asked for"),
            ({"targets__variants": {"other": {"type": "random"}}}, "variants.other"),
        ],
    )
    def test_a_run_of_something_else(
        self, configure: Configure, source: Path, changes: dict[str, Any], told: str
    ) -> None:
        if "targets__variants" in changes:
            config = configure(targets__of_run=str(source))
            targets = config.targets.model_dump() | {"variants": {"other": {"type": "random"}}}
            config = RunConfig.model_validate(config.model_dump() | {"targets": targets})
        else:
            config = configure(targets__of_run=str(source), **changes)
        assert told in refused(config)

    def test_a_run_of_another_model(self, configure: Configure, source: Path, tmp_path: Path) -> None:
        import torch

        torch.manual_seed(1)
        write_model(tmp_path / "model")
        (tmp_path / "model" / "config.json").write_text((tmp_path / "model" / "config.json").read_text() + "\n")
        told = refused(configure(targets__of_run=str(source), model__source=str(tmp_path / "model")))
        assert "were not made for this run: model." in told

    def test_bases_that_are_not_the_models(self, configure: Configure, source: Path) -> None:
        """Whatever a store says of itself, its bases are compared with the model's own."""
        context = open_context(configure(targets__of_run=str(source)))
        assert context.taken is not None
        own = context.target_context.pool.activation[context.base_row].numpy()
        context.taken.check_bases(own)
        with pytest.raises(UsageError, match="the base of sample 1 is no activation of this model"):
            context.taken.check_bases(np.concatenate([own[:1], own[1:][::-1]]))

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda part: part.assign(base=part.base.astype(np.float64)), "base is float64"),
            (lambda part: part.assign(target=part.target.isel(d_model=slice(1, None)).rename(d_model="d")), "damaged"),
            (lambda part: part.assign(target=part.target.where(part.target > 0)), "no finite numbers"),
            (lambda part: part.drop_vars("source_row"), "damaged"),
        ],
    )
    def test_values_that_no_run_has(
        self, configure: Configure, source: Path, spoil: Callable[..., Any], told: str
    ) -> None:
        taken = open_context(configure(targets__of_run=str(source))).taken
        assert taken is not None
        spoilt = Taken(taken.where, spoil(taken.group), taken.types, taken.samples, taken.mixed)
        with pytest.raises(UsageError, match=told):
            spoilt.values(slice(0, 2))

    def test_damaged_chunks_are_named(self, configure: Configure, source: Path, tmp_path: Path) -> None:
        copy = tmp_path / "damaged.zarr"
        shutil.copytree(source, copy)
        chunk = next(file for file in (copy / "activations" / "target").rglob("c/**/*") if file.is_file())
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content)
        assert "damaged" in refused_later(configure(targets__of_run=str(copy)), tmp_path / "out.zarr")

    def test_a_store_that_says_nonsense(self, configure: Configure, source: Path, tmp_path: Path) -> None:
        copy = tmp_path / "nonsense.zarr"
        shutil.copytree(source, copy)
        shutil.rmtree(copy / "integrity")
        group = zarr.open_group(copy, mode="r+")
        group.attrs["schema_version"] = 1
        group.attrs["identity"] = "[1]"
        told = refused(configure(targets__of_run=str(copy)))
        assert "activations of" in told
        assert "verify" in told


def refused_later(config: RunConfig, out: Path) -> str:
    with pytest.raises(UsageError) as raised:
        collect(config, out)
    assert "\n" not in str(raised.value)
    return str(raised.value)
