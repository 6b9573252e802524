"""The most likely next tokens of every point: stored where a run is small or asks for them, and no curve minds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.tiny import write_preset

from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, open_context, prompt_values, specification
from plateaulens.config import LIKELY, SMALL_RUN, RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.scan.outputs import likely_tokens, top_token
from plateaulens.store.reading import open_run
from plateaulens.store.run import open_or_create
from plateaulens.store.verify import verify
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_spec

NAMES = ["likely_token", "likely_text", "likely_probability"]


def preset(files: Path, folder: Path, **changes: Any) -> RunConfig:
    return read_config(write_preset(folder / "tiny.toml", files, **changes))


@pytest.fixture(scope="module")
def with_them(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    folder = tmp_path_factory.mktemp("likely")
    config = preset(tiny_files, folder)
    collect(config, folder / "run.zarr")
    return config, folder / "run.zarr"


@pytest.fixture(scope="module")
def without(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unlikely")
    collect(preset(tiny_files, folder, **{"engine.likely_tokens": 0}), folder / "run.zarr")
    return folder / "run.zarr"


def test_a_small_run_has_them(with_them: tuple[RunConfig, Path]) -> None:
    config, path = with_them
    assert config.likely_tokens == LIKELY
    assert verify(path) == []
    run = open_run(path).load()
    context = open_context(config)
    for name in config.experiments:
        group = run[name]
        assert group["likely_token"].dims == ("activation_type", "sample", "step", "rank")
        assert group["likely_token"].sizes["rank"] == LIKELY
        np.testing.assert_array_equal(group["likely_token"][..., 0], group["top_token"])
        probability = group["likely_probability"].to_numpy()
        assert (np.diff(probability, axis=-1) <= 0).all()
        assert (probability > 0).all()
        assert (probability.sum(axis=-1) < 1 + 1e-5).all()
        tokens = torch.from_numpy(np.asarray(group["likely_token"])[0, 0, 0])
        assert np.asarray(group["likely_text"])[0, 0, 0].tolist() == context.subject.text(tokens[:, None])


def test_nothing_else_of_the_run_changes(with_them: tuple[RunConfig, Path], without: Path) -> None:
    one, other = open_run(with_them[1]), open_run(without)
    for name in with_them[0].experiments:
        assert set(NAMES) <= set(one[name].data_vars)
        xr.testing.assert_identical(one[name].to_dataset().drop_vars(NAMES).load(), other[name].to_dataset().load())
    files = sorted(path.relative_to(without) for path in without.rglob("c/**/*") if path.is_file())
    kept = [file for file in files if file.parts[0] != "integrity"]
    assert kept
    assert all((with_them[1] / file).read_bytes() == (without / file).read_bytes() for file in kept)
    assert one.attrs["identity"] == other.attrs["identity"]


@pytest.mark.slow
def test_a_run_from_before_goes_on_without_them(with_them: tuple[RunConfig, Path], tmp_path: Path) -> None:
    context = open_context(with_them[0])
    before = tmp_path / "before.zarr"
    spec = replace(specification(context), likely=0)
    with open_or_create(before, spec, attributes(context), prompt_values(context)):
        pass
    collect(with_them[0], before)
    assert verify(before) == []
    assert not {*NAMES} & {*open_run(before)[with_them[0].experiments[0]].data_vars}


def test_another_number_that_is_asked_for_is_refused(without: Path, tiny_files: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        collect(preset(tiny_files, tmp_path, **{"engine.likely_tokens": 3}), without)
    assert str(raised.value).endswith("layout.likely: stored 0, asked 3")
    collect(preset(tiny_files, tmp_path), without)  # whoever does not ask gets what there is


def test_large_runs_have_none_unless_asked(tiny_files: Path, tmp_path: Path) -> None:
    config = preset(tiny_files, tmp_path)
    (name, *_) = config.experiments
    each = len(config.targets.names) * config.experiment(name).steps
    values = config.model_dump()
    values["experiments"] = [name]
    for samples, expected in ((SMALL_RUN // each, LIKELY), (SMALL_RUN // each + 1, 0)):
        values[name]["samples"] = samples
        assert RunConfig.model_validate(values).likely_tokens == expected
    values["engine"]["likely_tokens"] = 2
    assert RunConfig.model_validate(values).likely_tokens == 2


@pytest.mark.slow
def test_synthetic_runs_may_have_them(tmp_path: Path) -> None:
    spec = synthetic_spec(5, steps=11, samples_per_chunk=2, likely=2)
    generate_run(tmp_path / "run.zarr", spec)
    generate_run(tmp_path / "plain.zarr", replace(spec, likely=0))
    assert verify(tmp_path / "run.zarr") == []
    one, other = (open_run(tmp_path / f"{name}.zarr")["plateau"].to_dataset().load() for name in ("run", "plain"))
    xr.testing.assert_identical(one.drop_vars(NAMES), other)
    assert synthetic_attributes(spec, 0)["identity"] == synthetic_attributes(replace(spec, likely=0), 0)["identity"]


@pytest.mark.parametrize("vocabulary", [6, 300, 1000])
def test_they_are_those_of_the_distribution(vocabulary: int) -> None:
    logits = torch.randn(40, vocabulary, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    token, probability = likely_tokens(logits, 5)
    exact = torch.softmax(logits.double(), dim=-1)
    torch.testing.assert_close(probability.double(), exact.sort(descending=True).values[:, :5], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(probability.double(), exact.gather(-1, token), rtol=1e-5, atol=1e-7)
    assert all(len(set(row)) == 5 for row in token.tolist())
    assert (token[:, 0] == top_token(logits)).all()
