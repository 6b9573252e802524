"""SAEs from releases and repositories of a hub, and of every architecture that SAELens saves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from sae_lens import SAE
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
from safetensors.torch import save_file
from tests.tiny import D_MODEL, LATENTS, WRITE, make_sae, write_sae
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject import hub
from plateaulens.subject.registry import NOT_ROW_BY_ROW
from plateaulens.subject.sae import LoadedSae, find_sae, load_sae

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
        SaeConfig(source=source, **options), width=D_MODEL, write_site=WRITE, blocks=3, activations=activations
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


class TestFrequencies:
    def test_none_shipped(self, activations: Tensor, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        (tmp_path / "sae" / "sparsity.safetensors").unlink()
        with pytest.raises(UsageError, match=r'comes without firing frequencies .*: .* frequency = "measured"'):
            load(str(tmp_path / "sae"), frequency="shipped")
        with pytest.raises(UsageError, match="comes without firing frequencies, and there are no activations here"):
            load(str(tmp_path / "sae"))
        loaded = load(str(tmp_path / "sae"), activations=lambda: activations)
        assert loaded.identity["frequency"] == "measured"
        assert len(loaded.notes) == 1
        assert loaded.notes[0].endswith("comes without firing frequencies: they are measured on the prompts")
        explicit = load(str(tmp_path / "sae"), frequency="measured", activations=lambda: activations)
        assert torch.equal(loaded.frequency, explicit.frequency)
        assert (explicit.identity, explicit.notes) == (loaded.identity, ())

    def test_none_that_fires_on_the_prompts(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        with pytest.raises(UsageError, match="no live latent, every firing frequency is 0: use another"):
            load(str(tmp_path / "sae"), frequency="measured", activations=lambda: torch.zeros((3, D_MODEL)))

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
            load(SCOPE, frequency="shipped")

    def test_a_scale_that_saelens_folds(self, cache: Path, activations: Tensor) -> None:
        release, sae_id = "gpt2-small-mlp-tm", "blocks.1.hook_mlp_out"
        known = get_pretrained_saes_directory()[release]
        made = make_sae(hook=sae_id, normalize_activations="expected_average_only_in")
        write_sae(cached(cache, known.repo_id, known.saes_map[sae_id]), made)
        loaded = load_sae(SaeConfig(source=f"{release}:{sae_id}"), width=D_MODEL, write_site=sae_id, blocks=3)
        assert loaded.identity["normalization"] == "folded (expected_average_only_in)"
        scale = known.norm_scaling_factor[sae_id]
        assert loaded.notes == (
            f"SAE {release}:{sae_id} reads activations times {scale:.4g}: folded (expected_average_only_in)",
        )
        with torch.no_grad():
            code = made.encode(activations * scale)
            torch.testing.assert_close(loaded.sae.encode(activations), code)
            torch.testing.assert_close(loaded.sae.decode(code), made.decode(code) / scale)

    def test_a_scale_beside_the_weights_of_a_repository(self, cache: Path, activations: Tensor) -> None:
        folder = cached(cache, "someone/saes", "one")
        made = make_sae(normalize_activations="expected_average_only_in")
        write_sae(folder, made)
        (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.25, "has_whitening": false}')
        loaded = load("someone/saes:one")
        assert loaded.identity["normalization"] == "folded (expected_average_only_in, activation_scaler.json)"
        with torch.no_grad():
            torch.testing.assert_close(loaded.sae.encode(activations), made.encode(activations / 4))

    @pytest.mark.slow
    def test_the_embedding_is_what_comes_into_the_first_block(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SAELens calls it `hook_embed`; the real one is 2,304 wide."""
        release, sae_id = "gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6"
        (cached(cache, "google/gemma-scope-2b-pt-res", sae_id) / "params.npz").write_bytes(b"")
        made = make_sae(hook="hook_embed")
        monkeypatch.setattr(SAE, "from_pretrained_with_cfg_and_sparsity", lambda *_, **__: (made, {}, None))
        site = "blocks.0.hook_resid_pre"
        config = SaeConfig(source=f"{release}:{sae_id}")
        loaded = load_sae(
            config, width=D_MODEL, write_site=site, blocks=3, activations=lambda: torch.full((2, D_MODEL), 50.0)
        )
        assert loaded.identity["hook_name"] == site

    @pytest.mark.slow
    def test_a_transcoder_of_a_release_is_refused_before_anything_is_fetched(self) -> None:
        with pytest.raises(UsageError, match=r"is a jumprelu_transcoder, it writes to another place .*: use a sparse"):
            find_sae(SaeConfig(source="gemma-scope-2b-pt-transcoders:layer_3/width_16k/average_l0_54"))

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
