"""What a sweep's folder must hold to be summarized; the numbers are tested where runs have a model."""

from pathlib import Path
from typing import Any

import pytest

from plateaulens.config import RunConfig, SweepConfig
from plateaulens.errors import UsageError
from plateaulens.store.manifest import NO_SAE, Entry, Manifest, config_of, read_manifest
from plateaulens.store.run import RunStore
from plateaulens.summary.sweep import analyze_sweep, check_runs
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec

SPEC = synthetic_spec(2, experiments=("plateau",), d_model=2, positions=2, samples_per_chunk=2, steps=3)
CONFIG = RunConfig.model_validate_json(str(synthetic_attributes(SPEC, 0)["config"]))


def entry(seed: int) -> Entry:
    sites = {"write": CONFIG.sites.write, "read": CONFIG.sites.read}
    return Entry(name=f"seed={seed}", model="synthetic", sae=NO_SAE, **sites, seed=seed, state="complete")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep over two seeds, without a single curve."""
    manifest = Manifest(
        config=CONFIG.model_copy(update={"sweep": SweepConfig(seed=(1, 2))}), cells=(entry(1), entry(2))
    )
    manifest.write(tmp_path / "sweep")
    for each in manifest.cells:
        own = config_of(manifest.config, each).model_dump_json()
        attributes = {**synthetic_attributes(SPEC, each.seed, each.name), "config": own}
        RunStore.create(tmp_path / "sweep" / each.run, SPEC, attributes, synthetic_prompts(SPEC, each.seed)).close()
    return tmp_path / "sweep"


def refused(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        analyze_sweep(folder, folder.with_name("summary.zarr"))
    assert not folder.with_name("summary.zarr").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_runs_in_their_places(folder: Path) -> None:
    check_runs(folder, read_manifest(folder))


def test_two_runs_exchanged(folder: Path) -> None:
    (folder / "seed=1.zarr").rename(folder / "aside")
    (folder / "seed=2.zarr").rename(folder / "seed=1.zarr")
    (folder / "aside").rename(folder / "seed=2.zarr")
    message = refused(folder)
    assert "seed=1.zarr is not the run that the sweep's manifest says: " in message
    assert 'name: stored "seed=2", asked "seed=1", and 2 more' in message


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"model": "other"}, "model.source"),
        ({"sae": "other"}, "sae"),
        ({"write": "blocks.2.hook_resid_pre"}, "sites.write"),
        ({"read": "blocks.10.hook_resid_post"}, "sites.read"),
        ({"seed": 7}, "seed"),
    ],
)
def test_an_entry_that_says_something_else(change: dict[str, Any], key: str, folder: Path) -> None:
    manifest = read_manifest(folder)
    one, other = manifest.cells
    manifest.model_copy(update={"cells": (one, other.model_copy(update=change))}).write(folder)
    assert f"seed=2.zarr is not the run that the sweep's manifest says: {key}: stored " in refused(folder)


def test_a_run_that_is_not_complete_is_not_asked(folder: Path) -> None:
    manifest = read_manifest(folder)
    changed = manifest.cells[1].model_copy(update={"seed": 7, "state": "running"})
    check_runs(folder, manifest.model_copy(update={"cells": (manifest.cells[0], changed)}))


def test_a_summary_inside_one_of_the_runs(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"lies inside the store .*seed=1\.zarr: choose another place"):
        analyze_sweep(folder, folder / "seed=1.zarr" / "sub.zarr")
    assert not (folder / "seed=1.zarr" / "sub.zarr").exists()
