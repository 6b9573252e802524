"""SAEs from releases and repositories of a hub, and of every architecture that SAELens saves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from sae_lens import SAE
from safetensors.torch import save_file
from tests.tiny import D_MODEL, LATENTS, WRITE, make_sae, write_sae
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject import hub
from plateaulens.subject.sae import NOT_ROW_BY_ROW, LoadedSae, load_sae

COMMIT = "c" * 40
SCOPE = "gemma-scope-2-270m-pt-res-all:layer_0_width_16k_l0_small"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the hub, which is switched off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.find.cache_clear()
    yield tmp_path / "hub"
    hub.find.cache_clear()


@pytest.fixture(scope="module")
def activations() -> Tensor:
    return 4 * torch.randn((20, D_MODEL), generator=torch.Generator().manual_seed(1))


def cached(cache: Path, repository: str, folder: str, revision: str = "main") -> Path:
    """The folder of a repository in the cache, still empty."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / revision).write_text(COMMIT)
    result = place / "snapshots" / COMMIT / folder
    result.mkdir(parents=True)
    return result


def load(source: str, *, activations: Callable[[], Tensor] | None = None, **options: Any) -> LoadedSae:
    return load_sae(
        SaeConfig(source=source, **options), d_model=D_MODEL, write_site=WRITE, blocks=3, activations=activations
    )


class TestArchitectures:
    @pytest.mark.parametrize(
        ("architecture", "options"),
        [
            ("standard", {}),
            ("standard", {"apply_b_dec_to_input": False}),
            ("gated", {}),
            ("jumprelu", {}),
            ("topk", {"k": 9}),
            ("topk", {"k": 9, "rescale_acts_by_decoder_norm": True}),
            ("abstopk", {"k": 9}),
            ("matching_pursuit", {}),
        ],
    )
    def test_what_was_saved_is_what_runs(
        self, architecture: str, options: dict[str, Any], activations: Tensor, tmp_path: Path
    ) -> None:
        config = {"architecture": architecture, "d_in": D_MODEL, "d_sae": LATENTS, **options}
        made = SAE.from_dict({**config, "metadata": {"hook_name": WRITE}})
        rng = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) / D_MODEL**0.5)
        write_sae(tmp_path / "sae", made)
        loaded = load(str(tmp_path / "sae"))
        assert loaded.identity["architecture"] == architecture
        with torch.no_grad():
            code = made.encode(activations)
            torch.testing.assert_close(loaded.sae.encode(activations), code)
            torch.testing.assert_close(loaded.sae.decode(code), made.decode(code))
            for row in activations[:3]:  # as the activation types use it
                whole = loaded.sae.encode(activations)[(activations == row).all(dim=1)]
                torch.testing.assert_close(loaded.sae.encode(row[None]), whole)

    @pytest.mark.parametrize("architecture", [*NOT_ROW_BY_ROW])
    def test_what_is_no_autoencoder_of_single_activations(
        self, architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        made = make_sae()
        write_sae(tmp_path / "sae", made)
        monkeypatch.setattr(type(made.cfg), "architecture", classmethod(lambda _: architecture))
        monkeypatch.setattr(SAE, "load_from_disk", lambda *_, **__: made)
        with pytest.raises(UsageError, match=f"is a {architecture}, it.*: use a sparse autoencoder"):
            load(str(tmp_path / "sae"))

    def test_heads_side_by_side(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make_sae(hook="blocks.1.attn.hook_z", reshape_activations="hook_z"))
        with pytest.raises(UsageError, match=r"reshapes what it reads .*'hook_z'.*: use one of the residual stream"):
            load(str(tmp_path / "sae"))


class TestFrequencies:
    def test_none_shipped(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        (tmp_path / "sae" / "sparsity.safetensors").unlink()
        with pytest.raises(UsageError, match=r'comes without firing frequencies .*: .* frequency = "measured"'):
            load(str(tmp_path / "sae"))

    def test_measured_by_hand(self, activations: Tensor, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        loaded = load(str(tmp_path / "sae"), frequency="measured", activations=lambda: activations)
        by_hand = (loaded.sae.encode(activations) > 0).float().mean(dim=0)
        assert 0 < by_hand.mean() < 0.5
        assert torch.equal(loaded.frequency, by_hand)
        assert loaded.identity["frequency"] == "measured"

    def test_no_logarithms(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        save_file({"sparsity": torch.linspace(0, 0.5, LATENTS)}, tmp_path / "sae" / "sparsity.safetensors")
        with pytest.raises(UsageError, match="holds no logarithms of frequencies"):
            load(str(tmp_path / "sae"))


class TestReleases:
    @pytest.mark.slow
    def test_a_repository_with_folders_in_saelens_format(self, cache: Path, activations: Tensor) -> None:
        write_sae(cached(cache, "someone/saes", "first/one"))
        loaded = load("someone/saes:first/one")
        assert loaded.identity == {
            "release": "someone/saes",
            "id": "first/one",
            "hub_id": "someone/saes",
            "commit": COMMIT,
            "architecture": "standard",
            "hook_name": WRITE,
            "frequency": "shipped",
        }
        torch.testing.assert_close(loaded.sae.encode(activations), make_sae().encode(activations).detach())

    def test_a_revision(self, cache: Path) -> None:
        write_sae(cached(cache, "someone/saes", "one", revision="v2"))
        assert load("someone/saes:one", revision="v2").identity["commit"] == COMMIT
        with pytest.raises(hub.NotFoundError, match=r"SAE 'someone/saes:one' of someone/saes was not found \(not in"):
            load("someone/saes:one")

    def test_another_layout(self, cache: Path, activations: Tensor) -> None:
        """Gemma Scope 2 has other files, names and no frequencies; SAELens reads it, and needs no hub for that here."""
        folder = cached(cache, "google/gemma-scope-2-270m-pt", "resid_post_all/layer_0_width_16k_l0_small")
        made = make_sae("jumprelu")
        names = {"w_enc": made.W_enc, "w_dec": made.W_dec, "b_enc": made.b_enc, "b_dec": made.b_dec}
        tensors = {name: tensor.detach().contiguous() for name, tensor in names.items()}
        save_file({**tensors, "threshold": made.threshold.detach()}, folder / "params.safetensors")
        (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt"}))
        loaded = load(SCOPE, frequency="measured", activations=lambda: activations)
        assert loaded.identity["hook_name"] == "blocks.0.hook_resid_post"
        assert loaded.identity["commit"] == COMMIT
        code = (activations @ made.W_enc + made.b_enc).detach()
        torch.testing.assert_close(loaded.sae.encode(activations), code * (code > made.threshold))
        with pytest.raises(UsageError, match="comes without firing frequencies"):
            load(SCOPE)

    def test_an_id_that_a_release_does_not_have(self) -> None:
        with pytest.raises(UsageError, match=r"release gpt2-small-res-jb has no 'blocks.12.*'; it has blocks.0.hook"):
            load("gpt2-small-res-jb:blocks.12.hook_resid_pre")

    @pytest.mark.parametrize("source", ["no-such-release:one", "./no/such:one"])
    def test_no_such_release(self, source: str) -> None:
        with pytest.raises(UsageError, match=r"SAELens knows no release .*; see its table of pretrained SAEs"):
            load(source)

    def test_a_folder_that_a_repository_does_not_have(self, cache: Path) -> None:
        write_sae(cached(cache, "someone/saes", "one"))
        with pytest.raises(hub.NotFoundError, match=r"was not found \(no two among the files that there are of it\)"):
            load("someone/saes:two")

    def test_a_damaged_file(self, cache: Path) -> None:
        folder = cached(cache, "someone/saes", "one")
        write_sae(folder)
        (folder / "sae_weights.safetensors").write_bytes(b"nonsense")
        with pytest.raises(UsageError, match=r"SAE someone/saes:one cannot be read \(.+\): fetch or train it again"):
            load("someone/saes:one")
