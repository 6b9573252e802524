"""The paper's own set-up, end to end and offline: the preset that ships, on tiny stand-ins for what the hub has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from huggingface_hub import constants
from tests.hubs import (
    COMMIT,
    DATA,
    MODEL,
    SAE,
    SITE,
    Repositories,
    cache_folder,
    serve,
    write_cache,
    write_repositories,
)
from tests.processes import run_code

from plateaulens.cli import main
from plateaulens.presets import read_config
from plateaulens.resources import find
from plateaulens.subject import hub

RUN = "run.zarr"
SMALL = ("--samples", "2", "--experiments", "sensitivity")
SAE_SOURCE = f"gpt2-small-res-jb:{SITE}"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    """Sixty sequences are all that the tiny data set has, so the preset is given fewer of them."""
    return write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset that ships, but for the number of sequences and of steps."""
    text = find("presets", "gpt2").read_text()
    assert "sequences = 8192" in text
    path = tmp_path_factory.mktemp("preset") / "gpt2.toml"
    path.write_text(
        text.replace("sequences = 8192", "sequences = 50").replace("[sensitivity]\n", "[sensitivity]\nsteps = 11\n")
    )
    return path


@pytest.fixture
def hub_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Where the hub and its cache are, as the hub's library would take it from the environment when it is imported."""

    def settle(cache: Path, *, offline: bool = True, endpoint: str = "https://hub.invalid") -> None:
        values = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": offline, "ENDPOINT": endpoint}
        for name, value in values.items():
            monkeypatch.setattr(constants, name, value)
        hub.find.cache_clear()

    return settle


def collect(preset: Path, out: Path, *arguments: str) -> int:
    """The command, in this process."""
    return main(["collect", "--preset", str(preset), "--out", str(out / RUN), *SMALL, *arguments])


def opened(folder: Path) -> Any:
    return xr.open_datatree(folder / RUN, engine="zarr", consolidated=False)


def curves(folder: Path) -> Any:
    with opened(folder) as run:
        return run["sensitivity"].curve.to_numpy()


@pytest.fixture(scope="module")
def cached(repositories: Repositories, preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a hub, from what its cache holds."""
    folder = tmp_path_factory.mktemp("cached")
    write_cache(folder / "hub", repositories)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.find.cache_clear()
        assert collect(preset, folder) == 0
    return folder


class TestFromTheCache:
    def test_every_curve_is_there(self, cached: Path) -> None:
        measured = curves(cached)
        assert measured.shape == (9, 2, 11, 3)
        assert np.isfinite(measured).all()
        assert (measured[:, :, 1:, 0] > 0).all()

    def test_all_three_are_identified_by_their_commits(self, cached: Path) -> None:
        with opened(cached) as run:
            identity = json.loads(run.attrs["identity"])
        assert identity["model"] == {"hub_id": MODEL, "commit": COMMIT[MODEL]}
        assert identity["processing"] == "folded"
        settings = identity["sae"].pop("settings")
        assert (settings["architecture"], settings["d_in"], settings["hook_name"]) == ("standard", 32, SITE)
        assert identity["sae"] == {
            "release": "gpt2-small-res-jb",
            "id": SITE,
            "hub_id": SAE,
            "commit": COMMIT[SAE],
            "architecture": "standard",
            "hook_name": SITE,
            "frequency": "shipped",
        }
        tokens = identity["prompts"].pop("tokens")
        assert len(tokens) == 64
        assert identity["prompts"] == {
            "hub_id": DATA,
            "commit": COMMIT[DATA],
            "files": "data/train-00000-of-00002.parquet, data/train-00001-of-00002.parquet",
        }

    def test_prompts_are_the_beginnings_of_the_data_sets_rows(self, cached: Path, repositories: Repositories) -> None:
        files = sorted((repositories[DATA] / "data").glob("train-*.parquet"))
        rows = [row[:10] for file in files for row in pq.read_table(file)["input_ids"].to_pylist()]
        with opened(cached) as run:
            for prompt in run["prompts"].token.to_numpy().tolist():
                assert prompt in rows[:50]

    def test_activations_are_centred(self, cached: Path) -> None:
        with opened(cached) as run:
            base = run["activations"].base.to_numpy()
        assert np.abs(base.mean(axis=1)).max() < 1e-5 * np.abs(base).max()


class TestFromAHub:
    @pytest.mark.slow
    def test_what_is_needed_is_downloaded_once(
        self,
        cached: Path,
        repositories: Repositories,
        preset: Path,
        hub_settings: Callable[..., None],
        tmp_path: Path,
    ) -> None:
        """In a process of its own, which takes the hub's address from the environment as a user's would."""
        with serve(repositories) as (address, asked):
            done = run_code(
                "import sys; from plateaulens.cli import main; sys.exit(main(sys.argv[1:]))",
                *("collect", "--preset", str(preset), "--out", RUN, *SMALL),
                folder=tmp_path,
                HF_HUB_OFFLINE="0",
                HF_ENDPOINT=address,
                HF_HOME=str(tmp_path),
            )
        assert done.returncode == 0, done.stderr
        assert np.array_equal(curves(tmp_path), curves(cached))
        got = {line.rpartition("/")[2] for line in asked if line.startswith("GET") and "/resolve/" in line}
        assert {"config.json", "model.safetensors", "tokenizer.json", "cfg.json", "sparsity.safetensors"} < got
        assert not got & {"README.md", "pytorch_model.bin", "validation-00000-of-00001.parquet"}
        assert not any("onnx" in line for line in asked)

        hub_settings(tmp_path / "hub")
        again = tmp_path / "again"
        again.mkdir()
        assert collect(preset, again) == 0
        assert np.array_equal(curves(again), curves(cached))

    def test_a_repository_that_the_hub_does_not_have(
        self,
        repositories: Repositories,
        preset: Path,
        hub_settings: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        write_cache(tmp_path / "hub", repositories)
        with serve(repositories) as (address, asked):
            hub_settings(tmp_path / "hub", offline=False, endpoint=address)
            assert collect(preset, tmp_path, "--model", "no/such@v1") == 1
        assert asked[0] == "GET /api/models/no/such/revision/v1"
        line = capsys.readouterr().err
        assert "model 'no/such' was not found (not in the cache" in line
        assert f"{address} has no such repository" in line
        assert line.count("\n") == 1


class TestWithoutAHub:
    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"offline": True}, "the hub is switched off by HF_HUB_OFFLINE"),
            ({"offline": False, "endpoint": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ],
    )
    def test_one_line_names_all_three(
        self,
        settings: dict[str, Any],
        reason: str,
        preset: Path,
        hub_settings: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        hub_settings(tmp_path / "hub", **settings)
        assert collect(preset, tmp_path) == 1
        line = capsys.readouterr().err
        assert line.startswith(
            "plateaulens: error: 3 of the 3 things that this run needs were not found: "
            f"model '{MODEL}', SAE '{SAE_SOURCE}' of {SAE}, prompts '{DATA}' "
            f"(not in the cache {tmp_path / 'hub'}, and {reason}"
        )
        assert line.endswith(
            "): point at local copies with --model PATH (a directory or a .gguf file), --sae PATH (a folder in "
            "SAELens' on-disk format), --prompts PATH (token ids: .npz, .npy, .parquet; texts: .txt, .jsonl, .parquet; "
            "or a directory of such)\n"
        )
        assert not (tmp_path / RUN).exists()

    @pytest.mark.parametrize("lacking", [MODEL, SAE, DATA])
    def test_one_line_names_the_one_that_is_missing(
        self,
        lacking: str,
        repositories: Repositories,
        preset: Path,
        hub_settings: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        write_cache(tmp_path / "hub", repositories)
        (tmp_path / "hub" / cache_folder(lacking)).rename(tmp_path / "away")
        hub_settings(tmp_path / "hub")
        assert collect(preset, tmp_path) == 1
        line = capsys.readouterr().err
        named = {MODEL: f"model '{MODEL}'", SAE: f"SAE '{SAE_SOURCE}' of {SAE}", DATA: f"prompts '{DATA}'"}
        assert {name for name, text in named.items() if f"{text} was not found" in line} == {lacking}
        assert line.count("\n") == 1

    @pytest.mark.parametrize(
        ("files", "what"),
        [
            (f"{cache_folder(MODEL)}/snapshots/*/*.*", f"model '{MODEL}' was not found (config"),
            (f"{cache_folder(SAE)}/snapshots/*/{SITE}/*", f"was not found (no {SITE} among the files that there are"),
            (
                f"{cache_folder(DATA)}/snapshots/*/data/*",
                f"prompts '{DATA}' was not found (no parquet, JSON lines",
            ),
        ],
    )
    def test_a_cache_that_holds_a_part_only(
        self,
        files: str,
        what: str,
        repositories: Repositories,
        preset: Path,
        hub_settings: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        write_cache(tmp_path / "hub", repositories)
        for file in (tmp_path / "hub").glob(files):
            file.unlink()
        hub_settings(tmp_path / "hub")
        assert collect(preset, tmp_path) == 1
        assert what in capsys.readouterr().err


def test_local_copies_give_the_same_run(
    cached: Path, repositories: Repositories, preset: Path, hub_settings: Callable[..., None], tmp_path: Path
) -> None:
    hub_settings(tmp_path / "hub")
    local = {"model": repositories[MODEL], "sae": repositories[SAE] / SITE, "prompts": repositories[DATA]}
    options = [text for name, path in local.items() for text in (f"--{name}", str(path))]
    assert collect(preset, tmp_path, *options) == 0
    assert np.array_equal(curves(tmp_path), curves(cached))
    with opened(tmp_path) as run:
        identity = json.loads(run.attrs["identity"])
    assert len(identity["model"]["model.safetensors"]) == 64
    assert len(identity["sae"]["sha256"]) == 64
    assert {"train-00000-of-00002.parquet", "train-00001-of-00002.parquet"} < set(identity["prompts"])


def test_the_shipped_preset_is_the_papers() -> None:
    config = read_config(find("presets", "gpt2"))
    assert (config.model.source, config.model.processing) == (MODEL, "folded")
    assert (config.sites.write, config.sites.read) == (SITE, "blocks.11.hook_resid_post")
    assert config.sae is not None
    assert (config.sae.source, config.sae.frequency) == (SAE_SOURCE, "auto")
    assert (config.prompts.source, config.prompts.length) == (DATA, 10)
    for name in config.experiments:
        assert (config.experiment(name).samples, config.experiment(name).steps) == (1000, 101)
    assert [config.experiment(name).step_length for name in config.experiments] == [None, 0.5, 0.5]
    assert config.analysis.plateau_threshold == {"l2": 20.0}
