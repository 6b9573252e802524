"""Every kind of SAE that SAELens saves or has saved, at every site: what it computes is what SAELens computes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE, TrainingSAE
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from sae_lens.training.activation_scaler import ActivationScaler
from safetensors.torch import load_file, save_file
from scipy.optimize import nnls
from tests.tiny import D_MODEL, LATENTS, WRITE, write_sae
from torch import Tensor

from plateaulens.config import SaeConfig, TargetConfig
from plateaulens.errors import UsageError
from plateaulens.subject.registry import NOT_ROW_BY_ROW
from plateaulens.subject.sae import LoadedSae, load_sae
from plateaulens.targets.base import Pool, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Corpus, Fitting
from plateaulens.targets.registry import create, create_all

HEADS = 4
SITES = {
    "resid": (WRITE, D_MODEL),
    "mlp_out": ("blocks.1.hook_mlp_out", D_MODEL),
    "attn_out": ("blocks.1.hook_attn_out", D_MODEL),
    # wider than the residual stream, as in some models
    "z": ("blocks.1.attn.hook_z", 40),
}
KINDS: dict[str, dict[str, Any]] = {
    "standard": {},
    "gated": {},
    "jumprelu": {},
    "topk": {"k": 9, "rescale_acts_by_decoder_norm": True},
    "abstopk": {"k": 9},
    "matching_pursuit": {"max_iterations": 6},
}
CHECKPOINTS: dict[str, dict[str, Any]] = {
    **KINDS,
    "batchtopk": {"k": 9},
    "matryoshka_batchtopk": {"k": 9, "matryoshka_widths": [16, LATENTS]},
}


def rows(width: int = D_MODEL, count: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 4 * torch.randn((count, width), generator=generator) + torch.randn(width, generator=generator)


def filled(sae: Any) -> Any:
    """With random weights whose codes are sparse, and thresholds that matter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / sae.cfg.d_in**0.5)
            if name == "threshold":
                parameter.copy_(parameter.abs() + 1)
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold = torch.tensor(1.5, dtype=torch.double)
    return sae


def make(architecture: str, *, hook: str = WRITE, width: int = D_MODEL, **options: Any) -> Any:
    config = {"architecture": architecture, "d_in": width, "d_sae": LATENTS, **options}
    return filled(SAE.from_dict({**config, "metadata": {"hook_name": hook}}))


def make_checkpoint(architecture: str, **options: Any) -> Any:
    """What SAELens trains, as its trainer saves it on the way."""
    config = {"architecture": architecture, "d_in": D_MODEL, "d_sae": LATENTS, **CHECKPOINTS[architecture], **options}
    config["decoder_init_norm"] = 1.0  # the only one that matching pursuit has
    return filled(TrainingSAE.from_dict({**config, "metadata": {"hook_name": WRITE}}))


def load(
    folder: Path, site: str = "resid", activations: Callable[[], Tensor] | None = None, **options: Any
) -> LoadedSae:
    write, width = SITES[site]
    return load_sae(
        SaeConfig(source=str(folder), **options), width=width, write_site=write, blocks=3, activations=activations
    )


def same(loaded: LoadedSae, made: Any, real: Tensor, scale: float | Tensor = 1.0) -> None:
    """Codes of rows, alone and together, and reconstructions are those of `made` on activations times `scale`."""
    with torch.no_grad():
        code = made.encode(real * scale)
        assert (code != 0).any(dim=1).all()
        torch.testing.assert_close(loaded.sae.encode(real), code)
        torch.testing.assert_close(loaded.sae.decode(code), made.decode(code) / scale)
        dictionary = Dictionary.of(loaded.sae, loaded.frequency)
        for row, whole in zip(real[:3], code, strict=False):
            encoded = dictionary.encode(row)
            assert np.array_equal(encoded.latent, np.flatnonzero(whole.numpy()))
            torch.testing.assert_close(torch.from_numpy(encoded.activation), whole[whole != 0])


def change(folder: Path, **changes: Any) -> None:
    file = folder / "cfg.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))


def test_these_are_all_kinds_that_there_are() -> None:
    assert {*KINDS, *NOT_ROW_BY_ROW} == set(SAE_CLASS_REGISTRY)
    assert set(CHECKPOINTS) == set(SAE_TRAINING_CLASS_REGISTRY)


class TestSites:
    @pytest.mark.parametrize("site", SITES)
    @pytest.mark.parametrize("architecture", KINDS)
    def test_every_kind_at_every_site(self, architecture: str, site: str, tmp_path: Path) -> None:
        hook, width = SITES[site]
        reshape = "hook_z" if site == "z" else "none"
        made = make(architecture, hook=hook, width=width, reshape_activations=reshape, **KINDS[architecture])
        write_sae(tmp_path / "sae", made)
        loaded = load(tmp_path / "sae", site)
        assert (loaded.identity["architecture"], loaded.identity["hook_name"]) == (architecture, hook)
        assert loaded.notes == ()
        real = rows(width)
        if site == "z":  # SAELens wants the heads apart, and gives them back so
            apart = real.unflatten(-1, (HEADS, -1))
            with torch.no_grad():
                code = made.encode(apart)
                torch.testing.assert_close(loaded.sae.encode(real), code)
                torch.testing.assert_close(loaded.sae.decode(code), made.decode(code).flatten(-2))
        else:
            same(loaded, made, real)

    def test_a_site_of_another_place_in_the_block(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make("standard", hook="blocks.1.hook_attn_out"))
        with pytest.raises(UsageError, match=r"belongs to blocks.1.hook_attn_out, the write site is blocks.1.hook_mlp"):
            load(tmp_path / "sae", "mlp_out")

    def test_negative_codes_count_as_firing(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make("abstopk", k=9))
        loaded = load(tmp_path / "sae", frequency="measured", activations=rows)
        assert (loaded.sae.encode(rows()) < 0).any()
        assert float(loaded.frequency.sum()) == pytest.approx(9)


class TestPrecision:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype: torch.dtype, tmp_path: Path) -> None:
        made = make("jumprelu").to(dtype)
        write_sae(tmp_path / "sae", made)
        loaded = load(tmp_path / "sae")
        assert {value.dtype for value in loaded.sae.state_dict().values()} == {torch.float32}
        same(loaded, made.to(torch.float32), rows())

    @pytest.mark.parametrize("name", ["topk", "relu"])
    def test_the_settings_of_2024(self, name: str, tmp_path: Path) -> None:
        kind = "topk" if name == "topk" else "standard"
        made = make(kind, k=9) if kind == "topk" else make(kind)
        write_sae(tmp_path / "sae", made)
        old = {
            "hook_point": WRITE,
            "hook_point_layer": 1,
            "d_in": D_MODEL,
            "d_sae": LATENTS,
            "dtype": "torch.float32",
            "activation_fn_str": name,
            "activation_fn_kwargs": {"k": 9} if name == "topk" else {},
            "normalize_activations": False,
        }
        (tmp_path / "sae" / "cfg.json").write_text(json.dumps(old))
        loaded = load(tmp_path / "sae")
        assert loaded.identity["architecture"] == kind
        assert "normalization" not in loaded.identity
        same(loaded, made, rows())


class TestScales:
    """A scale that is the same for all activations: SAELens' own path multiplies them before it encodes."""

    @pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu", "topk", "abstopk"])
    @pytest.mark.parametrize("apply_b_dec_to_input", [True, False])
    def test_of_a_checkpoint(self, architecture: str, apply_b_dec_to_input: bool, tmp_path: Path) -> None:
        options = {**KINDS[architecture], "apply_b_dec_to_input": apply_b_dec_to_input}
        made = make(architecture, normalize_activations="expected_average_only_in", **options)
        write_sae(tmp_path / "sae", made)
        ActivationScaler(0.37).save(str(tmp_path / "sae" / "activation_scaler.json"))
        loaded = load(tmp_path / "sae")
        mode = "folded (expected_average_only_in, activation_scaler.json)"
        assert loaded.identity["normalization"] == mode
        assert loaded.notes == (f"SAE {tmp_path / 'sae'} reads activations times 0.37: {mode}",)
        same(loaded, made, rows(), 0.37)
        before = loaded.identity
        ActivationScaler(0.38).save(str(tmp_path / "sae" / "activation_scaler.json"))
        assert load(tmp_path / "sae").identity != before

    def test_of_matching_pursuit(self, tmp_path: Path) -> None:
        """Its decoder is its encoder, so that its codes come on the scale of the activations."""
        made = make("matching_pursuit", normalize_activations="expected_average_only_in", residual_threshold=0.5)
        write_sae(tmp_path / "sae", made)
        ActivationScaler(0.37).save(str(tmp_path / "sae" / "activation_scaler.json"))
        loaded, real = load(tmp_path / "sae"), rows()
        with torch.no_grad():
            code = made.encode(0.37 * real)
            torch.testing.assert_close(loaded.sae.encode(real), code / 0.37)
            torch.testing.assert_close(loaded.sae.decode(code / 0.37), made.decode(code) / 0.37)

    def test_that_is_nowhere_is_measured(self, tmp_path: Path) -> None:
        made, real = make("standard", normalize_activations="expected_average_only_in"), rows()
        write_sae(tmp_path / "sae", made)
        with pytest.raises(UsageError, match="comes without a scale, and there are no activations here to measure"):
            load(tmp_path / "sae")
        loaded = load(tmp_path / "sae", activations=lambda: real)
        assert loaded.identity["normalization"] == "folded (expected_average_only_in, measured on the prompts)"
        scale = float(D_MODEL**0.5 / real.norm(dim=1).mean())
        same(loaded, made, real, scale)
        # what it is for: the mean norm is the root of the width
        assert float((scale * real).norm(dim=1).mean()) == pytest.approx(D_MODEL**0.5)

    @pytest.mark.parametrize("content", ["[]", "{", '{"scaling_factor": "x"}', '{"scaling_factor": -1}', "{}"])
    def test_that_is_none(self, content: str, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make("standard", normalize_activations="expected_average_only_in"))
        (tmp_path / "sae" / "activation_scaler.json").write_text(content)
        with pytest.raises(UsageError, match=r"cannot be read \(.+\): fetch or train it again"):
            load(tmp_path / "sae")

    @pytest.mark.parametrize("architecture", ["standard", "gated", "topk"])
    def test_whitening(self, architecture: str, tmp_path: Path) -> None:
        made = make(architecture, normalize_activations="covariance_whitening", **KINDS[architecture])
        folder, real = tmp_path / "sae", rows(count=200)
        write_sae(folder, made)
        with pytest.raises(UsageError, match=r"\(covariance_whitening\), which cannot be folded into it without act"):
            load(folder)
        scaler = ActivationScaler()
        scaler.estimate_whitening(D_MODEL, iter([real[:100], real[100:]]), 2)
        scaler.save(str(folder / "activation_scaler.json"))
        loaded = load(folder)
        assert loaded.identity["normalization"] == "folded (covariance_whitening)"
        with torch.no_grad():
            code = made.encode(scaler.scale(real))
            torch.testing.assert_close(loaded.sae.encode(real), code, rtol=1e-4, atol=1e-4)
            expected = scaler.unscale(made.decode(code))
            torch.testing.assert_close(loaded.sae.decode(code), expected, rtol=1e-4, atol=1e-3)

    def test_a_tied_decoder_cannot_take_a_whitening(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make("matching_pursuit", normalize_activations="covariance_whitening"))
        save_file({"mean": torch.zeros(D_MODEL)}, tmp_path / "sae" / "activation_whitening.safetensors")
        with pytest.raises(UsageError, match=r"\(covariance_whitening\), which cannot be folded into a tied decoder"):
            load(tmp_path / "sae")


class TestScaleOfEachRow:
    @pytest.mark.parametrize("mode", ["layer_norm", "constant_norm_rescale"])
    @pytest.mark.parametrize("architecture", ["standard", "topk"])
    def test_codes_and_reconstructions(self, architecture: str, mode: str, tmp_path: Path) -> None:
        made = make(architecture, normalize_activations=mode, **KINDS[architecture])
        write_sae(tmp_path / "sae", made)
        loaded, real = load(tmp_path / "sae"), rows() * torch.linspace(0.5, 3, 20)[:, None]
        assert loaded.identity["normalization"] == f"row by row ({mode})"
        assert loaded.notes[0].endswith("a code is decoded on that of the activation that it was made from")
        dictionary = Dictionary.of(loaded.sae, loaded.frequency)
        codes = [dictionary.encode(row) for row in real]
        with torch.no_grad():
            for row, code in zip(real, codes, strict=True):
                whole = made.encode(row[None])
                assert np.array_equal(code.latent, np.flatnonzero(whole[0].numpy()))
                torch.testing.assert_close(dictionary.decode(code), made.decode(whole)[0])
        # whatever was encoded last
        again = dictionary.decode(codes[0])
        dictionary.encode(real[7])
        assert torch.equal(dictionary.decode(codes[0]), again)

    def test_another_code_at_the_scale_of_the_base(self, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make("standard", normalize_activations="layer_norm"))
        loaded, base = load(tmp_path / "sae"), rows()[0]
        dictionary = Dictionary.of(loaded.sae, loaded.frequency)
        code = dictionary.encode(base)
        other = replace(code, latent=(code.latent + 1) % LATENTS)
        by_hand = torch.zeros(LATENTS)
        by_hand[torch.from_numpy(other.latent)] = torch.from_numpy(other.activation)
        decoded = by_hand @ loaded.sae.W_dec + loaded.sae.b_dec
        torch.testing.assert_close(dictionary.decode(other), decoded * base.std() + base.mean())
        assert code[:2].frame == code.frame
        turned = dictionary.shuffled(np.random.default_rng(0))
        expected = (by_hand @ turned.decoder + loaded.sae.b_dec) * base.std() + base.mean()
        torch.testing.assert_close(turned.decode(other), expected)
        with pytest.raises(UsageError, match=r"a scale for each activation, and a code has none: .* dataclasses.repl"):
            dictionary.decode(Code(code.latent, code.activation))

    @pytest.mark.parametrize("name", ["baseline", "bag", "structured", "single_latent"])
    def test_targets_have_the_scale_of_their_base(self, name: str, tmp_path: Path) -> None:
        """Where a base is three times as long and shifted, so is what is made of its code."""
        write_sae(tmp_path / "sae", make("standard", normalize_activations="layer_norm"))
        loaded = load(tmp_path / "sae")
        config = TargetConfig(types=("real", name))
        dictionary = Dictionary.of(loaded.sae, loaded.frequency)
        context = TargetContext(Pool(rows(), np.arange(20)), config, 0, dictionary)
        kind = create_all(config, has_sae=True)[1]
        base = rows()[:1]
        targets = [draw(kind, context.bases(same, range(1), [0]), context) for same in (base, 3 * base + 2)]
        torch.testing.assert_close(targets[1].activation, 3 * targets[0].activation + 2, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("name", ["code_size", "code_frequency", "code_strengths", "code_top", "code_copula"])
    def test_so_have_those_of_codes_that_are_drawn(self, name: str, tmp_path: Path) -> None:
        context, kind = self.fitted(name, tmp_path)
        base = rows()[:1]
        targets = [draw(kind, context.bases(same, range(1), [0]), context) for same in (base, 3 * base + 2)]
        torch.testing.assert_close(targets[1].activation, 3 * targets[0].activation + 2, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("name", ["latents_kept", "latents_swapped", "strengths_kept", "strengths_redrawn"])
    def test_those_of_a_real_code_have_the_real_target_s(self, name: str, tmp_path: Path) -> None:
        """Whatever is changed of the code: with the scale and mean taken out, it is decoded to what the SAE can decode
        to, a sum of its rows with strengths that are not negative."""
        context, kind = self.fitted(name, tmp_path)
        bases = context.bases(rows()[:6], range(6), range(6))
        (real,) = create(["real"], has_sae=True)
        targets = draw(kind, bases, context)
        origin, decoder = context.sae.reconstructor(torch.zeros((1, LATENTS)))[0].detach(), context.sae.decoder
        for target, own in zip(targets.activation, draw(real, bases, context).activation, strict=True):
            _, left = nnls(decoder.T.double().numpy(), ((target - own.mean()) / own.std() - origin).double().numpy())
            assert left < 1e-3
            code = context.sae.encode(own)
            assert code.frame == pytest.approx((float(own.std()), float(own.mean())))

    @staticmethod
    def fitted(name: str, folder: Path) -> tuple[TargetContext, Any]:
        """A context whose types are fitted to rows of unequal scales, and the type."""
        write_sae(folder / "sae", make("standard", normalize_activations="layer_norm"))
        loaded = load(folder / "sae")
        config = TargetConfig(types=("real", name))
        dictionary = Dictionary.of(loaded.sae, loaded.frequency)
        seen = rows().flip(1).repeat(3, 1) * torch.linspace(0.5, 3, 60)[:, None]
        corpus = Corpus(seen, np.arange(60), torch.zeros_like(seen))
        pool = Pool(rows(), np.arange(20))
        context = TargetContext(pool, config, 0, dictionary, Fitting(lambda: corpus, dictionary, 0))
        return context, create_all(config, has_sae=True)[1]


class TestFinetuned:
    @pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu"])
    def test_scaling_factors(self, architecture: str, tmp_path: Path) -> None:
        made = make(architecture)
        folder, file = tmp_path / "sae", tmp_path / "sae" / "sae_weights.safetensors"
        write_sae(folder, made)
        factor = torch.linspace(0.5, 1.5, LATENTS)
        save_file({**load_file(file), "scaling_factor": factor}, file)
        change(folder, finetuning_scaling_factor=True)
        loaded, real = load(folder), rows()
        assert loaded.notes == (f"SAE {folder} has the scaling factors of its finetuning folded into its decoder",)
        with torch.no_grad():
            code = made.encode(real)
            torch.testing.assert_close(loaded.sae.encode(real), code)
            torch.testing.assert_close(loaded.sae.decode(code), made.decode(code * factor))

    def test_of_one_are_none(self, tmp_path: Path) -> None:
        made = make("standard")
        folder, file = tmp_path / "sae", tmp_path / "sae" / "sae_weights.safetensors"
        write_sae(folder, made)
        save_file({**load_file(file), "scaling_factor": torch.ones(LATENTS)}, file)
        loaded = load(folder)
        assert loaded.notes == ()
        same(loaded, made, rows())

    def test_that_the_settings_do_not_know(self, tmp_path: Path) -> None:
        folder, file = tmp_path / "sae", tmp_path / "sae" / "sae_weights.safetensors"
        write_sae(folder)
        save_file({**load_file(file), "scaling_factor": torch.full((LATENTS,), 2.0)}, file)
        with pytest.raises(UsageError, match=r"cannot be read \(Scaling factor is present but finetuning_scaling_fact"):
            load(folder)


class TestCheckpoints:
    @pytest.mark.parametrize("architecture", CHECKPOINTS)
    def test_is_what_saelens_would_save_for_inference(self, architecture: str, tmp_path: Path) -> None:
        made = make_checkpoint(architecture)
        made.save_model(tmp_path / "sae")
        made.save_inference_model(tmp_path / "inference")
        expected = SAE.load_from_disk(tmp_path / "inference")
        loaded, real = load(tmp_path / "sae", activations=rows), rows()
        with torch.no_grad():
            code = expected.encode(real)
            assert 0 < (code != 0).float().mean() < 0.6
            torch.testing.assert_close(loaded.sae.encode(real), code)
            torch.testing.assert_close(loaded.sae.decode(code), expected.decode(code))
        assert loaded.identity["architecture"] == expected.cfg.architecture()
        converted = "a checkpoint of its training" in "".join(loaded.notes)
        assert converted == (architecture not in SAE_CLASS_REGISTRY)

    def test_with_the_scale_of_its_training(self, tmp_path: Path) -> None:
        folder = tmp_path / "sae"
        made = make_checkpoint("batchtopk", normalize_activations="expected_average_only_in")
        made.save_model(folder)
        ActivationScaler(0.5).save(str(folder / "activation_scaler.json"))
        made.save_inference_model(tmp_path / "inference")
        loaded = load(folder, activations=rows)
        assert [note.partition(" ")[0] for note in loaded.notes] == ["SAE"] * 3
        same(loaded, SAE.load_from_disk(tmp_path / "inference"), rows(), 0.5)
