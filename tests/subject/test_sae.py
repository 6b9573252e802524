"""SAEs in SAELens' own format, saved by SAELens, and everything that can be wrong with one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny import D_MODEL, LATENTS, WRITE, make_sae, write_sae
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject.sae import LoadedSae, load_sae

Make = Callable[..., Path]


@pytest.fixture
def folder(tiny_files: Path, tmp_path: Path) -> Path:
    """A standard SAE of one's own, to damage."""
    return Path(shutil.copytree(tiny_files / "sae", tmp_path / "sae"))


@pytest.fixture(scope="module")
def activations() -> Tensor:
    return 4 * torch.randn((20, D_MODEL), generator=torch.Generator().manual_seed(1))


def load(folder: Path, *, width: int = D_MODEL, write_site: str = WRITE, **options: Any) -> LoadedSae:
    return load_sae(SaeConfig(source=str(folder), **options), width=width, write_site=write_site, blocks=3)


def set_sparsity(folder: Path, **tensors: Tensor) -> None:
    save_file(tensors, folder / "sparsity.safetensors")


class TestLoading:
    @pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
    def test_codes_and_reconstructions_are_those_that_were_saved(
        self, architecture: str, activations: Tensor, tmp_path: Path
    ) -> None:
        saved = make_sae(architecture)
        write_sae(tmp_path / "sae", saved)
        loaded = load(tmp_path / "sae")
        with torch.no_grad():
            code = saved.encode(activations)
            assert 1 < (code > 0).sum(dim=1).float().mean() < LATENTS / 2
            torch.testing.assert_close(loaded.sae.encode(activations), code)
            torch.testing.assert_close(loaded.sae.decode(code), saved.decode(code))
        assert loaded.identity["architecture"] == architecture

    def test_codes_by_hand(self, folder: Path, activations: Tensor) -> None:
        sae = load(folder).sae
        code = torch.relu((activations - sae.b_dec) @ sae.W_enc + sae.b_enc)
        torch.testing.assert_close(sae.encode(activations), code)
        torch.testing.assert_close(sae.decode(code), code @ sae.W_dec + sae.b_dec)

    def test_half_precision_is_read_as_single(self, tmp_path: Path) -> None:
        made = make_sae()
        made.cfg.dtype = "float16"
        write_sae(tmp_path / "sae", made.to(torch.float16))
        sae = load(tmp_path / "sae").sae
        assert {parameter.dtype for parameter in sae.parameters()} == {torch.float32}
        assert not any(parameter.requires_grad for parameter in sae.parameters())
        assert not sae.training

    def test_the_identity_is_that_of_all_three_files(self, folder: Path, tiny_files: Path) -> None:
        original = load(tiny_files / "sae").identity
        assert original == load(folder).identity
        assert (original["name"], original["hook_name"]) == ("sae", WRITE)
        seen = {original["sha256"]}
        set_sparsity(folder, sparsity=torch.full((LATENTS,), -2.0))
        seen.add(load(folder).identity["sha256"])
        config = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps(config, indent=1))
        seen.add(load(folder).identity["sha256"])
        made = make_sae()
        made.b_dec.data[0] += 1
        made.save_model(folder)
        seen.add(load(folder).identity["sha256"])
        assert len(seen) == 4

    def test_what_its_configuration_says(self, tmp_path: Path) -> None:
        """As SAELens 3 wrote it, flat and with what later versions drop while reading."""
        write_sae(tmp_path / "sae")
        written = {
            "architecture": "standard", "d_in": D_MODEL, "d_sae": LATENTS, "activation_fn_str": "relu",
            "apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "context_size": 128,
            "model_name": "gpt2-small", "hook_name": WRITE, "hook_layer": 1, "hook_head_index": None,
            "prepend_bos": True, "dataset_path": "Skylion007/openwebtext", "dataset_trust_remote_code": True,
            "normalize_activations": "none", "dtype": "torch.float32", "device": "mps",
            "sae_lens_training_version": "3.13.1", "activation_fn_kwargs": {}, "neuronpedia_id": "gpt2-small/1-res-jb",
            "model_from_pretrained_kwargs": {"center_writing_weights": True}, "training_tokens": 300_000_000,
        }  # fmt: skip
        (tmp_path / "sae" / "cfg.json").write_text(json.dumps(written))
        assert load(tmp_path / "sae").settings == {
            "architecture": "standard", "d_in": D_MODEL, "d_sae": LATENTS, "dtype": "float32",
            "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
            "model_name": "gpt2-small", "hook_name": WRITE, "context_size": 128, "prepend_bos": True,
            "dataset_path": "Skylion007/openwebtext", "training_tokens": 300_000_000,
            "sae_lens_training_version": "3.13.1", "neuronpedia_id": "gpt2-small/1-res-jb",
        }  # fmt: skip

    def test_settings_that_are_none_are_left_out(self, folder: Path) -> None:
        """As SAELens 6 writes it; the file of its training may be anything."""
        config = json.loads((folder / "cfg.json").read_text())
        config["metadata"] |= {
            "dataset_path": "x" * 201,
            "prepend_bos": 1,
            "neuronpedia_id": "a\nb",
            "context_size": -1,
        }
        (folder / "cfg.json").write_text(json.dumps(config))
        plain = load(folder).settings
        assert plain["sae_lens_training_version"] == config["metadata"]["sae_lens_training_version"]
        assert not plain.keys() & {"dataset_path", "prepend_bos", "neuronpedia_id", "context_size", "training_tokens"}
        for content in ("{", "[1]", '{"training_tokens": "many"}', "[" * 100_000):
            (folder / "runner_cfg.json").write_text(content)
            assert load(folder).settings == plain
        (folder / "runner_cfg.json").write_text('{"training_tokens": 4096}')
        assert load(folder).settings == plain | {"training_tokens": 4096}

    def test_a_version_that_it_does_not_name_is_not_todays(self, folder: Path) -> None:
        config = json.loads((folder / "cfg.json").read_text())
        config["metadata"] = {"hook_name": WRITE, "sae_lens_version": "6.0.0"}
        (folder / "cfg.json").write_text(json.dumps(config))
        assert "sae_lens_training_version" not in load(folder).settings

    def test_post_of_a_block_is_pre_of_the_next(self, folder: Path) -> None:
        assert load(folder, write_site="blocks.0.hook_resid_post").identity["hook_name"] == WRITE


class TestFrequency:
    def test_the_logarithm_is_undone(self, folder: Path) -> None:
        frequency = load(folder).frequency
        expected = torch.linspace(0.01, 0.5, LATENTS)
        assert (frequency[::16] == 0).all()
        fired = torch.arange(LATENTS) % 16 != 0
        torch.testing.assert_close(frequency[fired], expected[fired])

    def test_none_that_ever_fired(self, folder: Path) -> None:
        set_sparsity(folder, sparsity=torch.full((LATENTS,), -10.0))
        with pytest.raises(UsageError, match=r'no live latent, every firing frequency is 0: have .* frequency = "mea'):
            load(folder)

    def test_never_is_exactly_0_and_hardly_ever_is_not(self, folder: Path) -> None:
        logarithm = torch.full((LATENTS,), -3.0)
        # -10 as SAELens makes it, the neighbours that rounding may lead to, and one token of ten billion
        logarithm[:4] = torch.tensor([torch.log10(torch.tensor(1e-10)), -10.000001, -9.999999, -9.699])
        set_sparsity(folder, sparsity=logarithm)
        frequency = load(folder).frequency
        assert frequency[:3].tolist() == [0, 0, 0]
        assert frequency[3] > 0
        assert frequency[4] == pytest.approx(1e-3)

    def test_a_frequency_that_is_no_number_stays_one(self, folder: Path) -> None:
        logarithm = torch.full((LATENTS,), -3.0)
        logarithm[5] = float("nan")
        set_sparsity(folder, sparsity=logarithm)
        assert load(folder).frequency[5].isnan()

    def test_complex_numbers_are_no_logarithms(self, folder: Path) -> None:
        set_sparsity(folder, sparsity=torch.full((LATENTS,), -3.0 + 1j))
        with pytest.raises(UsageError, match="holds no logarithms of frequencies, but complex numbers"):
            load(folder)

    def test_another_number_of_frequencies(self, folder: Path) -> None:
        set_sparsity(folder, sparsity=torch.zeros(LATENTS - 1))
        with pytest.raises(UsageError, match=f"{LATENTS - 1} firing frequencies for {LATENTS} latents"):
            load(folder)

    def test_a_file_without_frequencies(self, folder: Path) -> None:
        set_sparsity(folder, density=torch.zeros(LATENTS))
        with pytest.raises(UsageError, match=r"cannot be read .*sparsity"):
            load(folder)


class TestMistakes:
    def test_no_such_sae(self) -> None:
        with pytest.raises(UsageError, match="no sae 'nothing': neither a path nor one of those that ship"):
            load_sae(SaeConfig(source="nothing"), width=D_MODEL, write_site=WRITE, blocks=3)

    @pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
    def test_a_missing_file(self, name: str, folder: Path) -> None:
        (folder / name).unlink()
        with pytest.raises(UsageError, match=f"sae lacks {name}: give a folder in SAELens' on-disk format"):
            load(folder)

    def test_an_empty_folder_lacks_all(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"lacks cfg.json, sae_weights.safetensors: give a folder"):
            load(tmp_path)

    @pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors", "sparsity.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"{", b"nonsense " * 20])
    def test_a_damaged_file(self, name: str, content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        with pytest.raises(UsageError, match=r"sae cannot be read \(.+\): fetch or train it again") as raised:
            load(folder)
        assert "\n" not in str(raised.value)

    def test_a_configuration_of_another_size(self, folder: Path) -> None:
        config = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps(config | {"d_sae": 64}))
        with pytest.raises(UsageError, match="cannot be read"):
            load(folder)

    @pytest.mark.parametrize("changes", [{"metadata": None}, {"d_sae": "x"}, {"d_in": 10**12}, {"d_sae": 0}])
    def test_a_configuration_of_another_kind(self, changes: dict[str, Any], folder: Path) -> None:
        file = folder / "cfg.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        with pytest.raises(UsageError, match=r"SAE .*sae cannot be read \(.*\): fetch or train it again") as raised:
            load(folder)
        assert len(str(raised.value).splitlines()) == 1

    @pytest.mark.parametrize("content", [b"null", b"[]", b"\xff", b"[" * 30_000])
    def test_no_configuration(self, content: bytes, folder: Path) -> None:
        (folder / "cfg.json").write_bytes(content)
        with pytest.raises(UsageError, match=r"cannot be read \(.*\): fetch or train it again"):
            load(folder)

    def test_weights_that_are_no_numbers(self, folder: Path) -> None:
        weights = load_file(folder / "sae_weights.safetensors")
        weights["b_enc"][5] = float("inf")
        save_file(weights, folder / "sae_weights.safetensors")
        with pytest.raises(UsageError, match="has weights that are no finite numbers"):
            load(folder)

    def test_weights_that_are_complex_numbers(self, folder: Path) -> None:
        weights = load_file(folder / "sae_weights.safetensors")
        save_file(weights | {"b_enc": weights["b_enc"] * (1 + 1j)}, folder / "sae_weights.safetensors")
        with pytest.raises(UsageError, match=r"sae_weights\.safetensors has complex numbers in 'b_enc'"):
            load(folder)

    def test_more_active_latents_than_there_are(self, folder: Path) -> None:
        """The `k` of a TopK is looked at only where something is encoded."""
        file = folder / "cfg.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"architecture": "topk", "k": 10**6}))
        with pytest.raises(UsageError, match=r"cannot be read \(.*k.*\): fetch or train it again"):
            load(folder)

    def test_an_unknown_architecture(self, folder: Path) -> None:
        config = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps(config | {"architecture": "nonsense"}))
        with pytest.raises(UsageError, match=r"cannot be read .*nonsense"):
            load(folder)

    def test_another_width(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="reads 32 numbers, an activation there has 768: use one made for it"):
            load(folder, width=768)

    @pytest.mark.parametrize("hook", ["blocks.2.hook_resid_pre", "blocks.1.hook_mlp_out", "blocks.9.hook_resid_pre"])
    def test_another_hook(self, hook: str, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make_sae(hook=hook))
        with pytest.raises(UsageError, match=f"belongs to {hook}, the write site is {WRITE}: use one made for it"):
            load(tmp_path / "sae")

    def test_no_hook(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make_sae(hook=None))
        with pytest.raises(UsageError, match=r'does not say what it reads .*: name it with hook = "blocks.N..." in'):
            load(tmp_path / "sae")
        loaded = load(tmp_path / "sae", hook="blocks.0.hook_resid_post")
        assert loaded.identity["hook_name"] == "blocks.0.hook_resid_post"
        assert [note.partition("does not")[2] for note in loaded.notes] == [
            " say what it reads: it is taken for one of blocks.0.hook_resid_post"
        ]
        with pytest.raises(UsageError, match=r"belongs to blocks\.2\.hook_mlp_out, the write site is"):
            load(tmp_path / "sae", hook="blocks.2.hook_mlp_out")

    def test_a_hook_that_is_named_wrongly(self, folder: Path) -> None:
        assert load(folder, hook="blocks.0.hook_resid_post").notes == ()
        with pytest.raises(UsageError, match=f"belongs to {WRITE}, hook in the preset's .sae. says blocks.1.hook_mlp_"):
            load(folder, hook="blocks.1.hook_mlp_out")

    def test_a_hook_that_is_no_site_may_be_named(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make_sae(hook="hook_embed"))
        with pytest.raises(UsageError, match="belongs to hook_embed, the write site is"):
            load(tmp_path / "sae")
        assert load(tmp_path / "sae", hook=WRITE).identity["hook_name"] == WRITE

    def test_a_write_site_that_is_none_is_the_write_site_s_mistake(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"site 'blocks.1.hook_pattern' is none that can be measured"):
            load(folder, write_site="blocks.1.hook_pattern")
