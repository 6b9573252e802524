import json
from pathlib import Path

import pytest

from plateaulens.config import RunConfig, SaeConfig, SweepConfig
from plateaulens.store.manifest import FILE, NO_SAE, Entry, Manifest, config_of, read_manifest
from plateaulens.testing import synthetic_attributes, synthetic_spec

ENTRY = Entry(
    name="seed=2", model="m", sae="s", write="blocks.2.hook_resid_pre", read="blocks.3.hook_resid_pre", seed=2
)


@pytest.fixture
def config() -> RunConfig:
    spec = synthetic_spec(2, experiments=("plateau",), d_model=2, positions=2, samples_per_chunk=2, steps=3)
    made = RunConfig.model_validate_json(str(synthetic_attributes(spec, 0)["config"]))
    return made.model_copy(update={"sweep": SweepConfig(seed=(1, 2))})


@pytest.mark.parametrize("there", ["a link", "a broken link", "a file", "a folder", "nothing"])
def test_it_is_written_through_no_link(there: str, config: RunConfig, tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "sweep"
    victim.write_text("precious")
    building = folder / f".{FILE}.partial"
    folder.mkdir()
    match there:
        case "a link":
            building.symlink_to(victim)
        case "a broken link":
            building.symlink_to(tmp_path / "new")
        case "a file":
            building.write_text("half")
        case "a folder":
            building.mkdir()
    manifest = Manifest(config=config, cells=(ENTRY,))
    manifest.write(folder)
    assert read_manifest(folder) == manifest
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep", "victim"]
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_a_run_has_what_its_entry_says(config: RunConfig) -> None:
    found = config_of(config, ENTRY)
    assert found.sweep is None
    assert found.sae is not None
    assert (found.name, found.model.source, found.sae.source, found.seed) == ("seed=2", "m", "s", 2)
    assert (found.sites.write, found.sites.read) == (ENTRY.write, ENTRY.read)
    assert json.loads(found.model_dump_json())["targets"] == json.loads(config.model_dump_json())["targets"]
    assert config_of(config, ENTRY.model_copy(update={"sae": NO_SAE})).sae is None
    own = config.model_copy(update={"sae": SaeConfig(source="other")})
    assert config_of(own, ENTRY).sae == SaeConfig(source="s")
