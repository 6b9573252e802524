"""Quality of autoencoders whose quality is known."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sae_lens import SAE
from torch import Tensor

from plateaulens.subject.model import Subject
from plateaulens.subject.sae import firing_frequency
from plateaulens.training.card import COLUMNS
from plateaulens.training.quality import SYNTHETIC, fidelity, loss_recovered, measure, target_norms


def sae_of(decoder: Tensor, encoder: Tensor, *, bias: Tensor | None = None, threshold: float = 0.0) -> SAE[Any]:
    """`relu((x - bias) encoder - threshold) decoder + bias`."""
    made = SAE.from_dict({"architecture": "standard", "d_in": decoder.shape[1], "d_sae": len(decoder)})
    with torch.no_grad():
        made.W_dec.copy_(decoder)
        made.W_enc.copy_(encoder)
        made.b_enc.fill_(-threshold)
        made.b_dec.copy_(torch.zeros(decoder.shape[1]) if bias is None else bias)
    return made


def identity(d_model: int) -> SAE[Any]:
    """A latent for each direction of each axis: any activation is its own reconstruction."""
    axes = torch.cat([torch.eye(d_model), -torch.eye(d_model)])
    return sae_of(axes, axes.T)


def constant(value: Tensor) -> SAE[Any]:
    """No latent is ever active: every activation is reconstructed as `value`."""
    axes = torch.eye(len(value))
    return sae_of(axes, axes, bias=value, threshold=1e6)


@pytest.fixture(scope="module")
def activations() -> Tensor:
    return torch.randn((1500, 6), generator=torch.Generator().manual_seed(2)) + 1


@pytest.fixture(scope="module")
def tiny(subject_at: Callable[..., Subject]) -> Subject:
    return subject_at("gpt2")


@pytest.fixture(scope="module")
def prompts() -> Tensor:
    return torch.randint(0, 101, (150, 6), generator=torch.Generator().manual_seed(3))


class TestFidelity:
    def test_the_identity_explains_everything(self, activations: Tensor) -> None:
        found = fidelity(identity(6), activations)
        assert found["fraction_of_variance_unexplained"] == pytest.approx(0, abs=1e-12)
        assert found["mean_l0"] == 6
        assert found["top_latent_share"] == pytest.approx(
            float((activations.abs().max(dim=1).values / activations.abs().sum(dim=1)).mean())
        )
        assert found["cosine_to_top"] == pytest.approx(0, abs=1e-7)

    def test_the_mean_explains_nothing(self, activations: Tensor) -> None:
        found = fidelity(constant(activations.mean(dim=0)), activations)
        assert found["fraction_of_variance_unexplained"] == pytest.approx(1, rel=1e-5)
        assert found["mean_l0"] == 0
        assert math.isnan(found["top_latent_share"])
        assert math.isnan(found["cosine_to_top"])

    def test_by_hand(self) -> None:
        # latents along (1, 0), (0.6, 0.8) and (0, 1) times 2; the rows activate (3, 0, 1), (0, 2, 0), nothing
        decoder = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])
        codes = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
        rows = torch.eye(3)
        made = SAE.from_dict({"architecture": "standard", "d_in": 2, "d_sae": 3})
        with torch.no_grad():
            made.W_dec.copy_(decoder)
        made.encode = lambda x: codes[: len(x)]
        found = fidelity(made, codes @ decoder)
        assert rows.shape == codes.shape
        assert found["fraction_of_variance_unexplained"] == pytest.approx(0, abs=1e-12)
        assert found["mean_l0"] == 1
        assert found["top_latent_share"] == pytest.approx((0.75 + 1) / 2)
        assert found["cosine_to_top"] == pytest.approx(0, abs=1e-7)


class TestFrequency:
    def test_shares_over_several_batches(self, activations: Tensor) -> None:
        expected = torch.cat([(activations > 0), (activations < 0)], dim=1).float().mean(dim=0)
        torch.testing.assert_close(firing_frequency(identity(6), activations), expected)

    def test_half_precision_is_read(self, activations: Tensor) -> None:
        found = firing_frequency(identity(6), activations.half())
        torch.testing.assert_close(found, firing_frequency(identity(6), activations), atol=2e-3, rtol=0)

    def test_silent_latents_have_0(self, activations: Tensor) -> None:
        assert (firing_frequency(constant(torch.zeros(6)), activations) == 0).all()


class TestLoss:
    def test_the_identity_recovers_all_of_it(self, tiny: Subject, prompts: Tensor) -> None:
        found = loss_recovered(tiny, identity(tiny.d_model), prompts[:, :-1], prompts[:, -1])
        assert found["loss_recovered"] == pytest.approx(1, abs=1e-5)
        assert found["loss_reconstructed"] == pytest.approx(found["loss_clean"], rel=1e-5)

    def test_the_mean_recovers_none_of_it(self, tiny: Subject, prompts: Tensor) -> None:
        mean = tiny.last_activations(prompts[:, :-1]).mean(dim=0)
        found = loss_recovered(tiny, constant(mean), prompts[:, :-1], prompts[:, -1])
        assert found["loss_recovered"] == pytest.approx(0, abs=1e-5)
        assert found["loss_reconstructed"] == pytest.approx(found["loss_mean_ablated"], rel=1e-5)

    def test_the_clean_loss_is_the_model_s_own(self, tiny: Subject, prompts: Tensor) -> None:
        with torch.inference_mode():
            logits = tiny.bridge(prompts[:, :-1])[:, -1]
        expected = torch.nn.functional.cross_entropy(logits, prompts[:, -1])
        found = loss_recovered(tiny, identity(tiny.d_model), prompts[:, :-1], prompts[:, -1])
        assert found["loss_clean"] == pytest.approx(float(expected), rel=1e-5)


class TestTargets:
    def test_a_perfect_reconstruction_is_a_real_target(self, activations: Tensor) -> None:
        found = target_norms(identity(6), torch.full((12,), 0.5), activations[:100], samples=20, seed=0)
        assert set(found) == {f"{quantity}_{kind}" for quantity in ("norm", "path") for kind in SYNTHETIC}
        assert found["norm_reconstruction"] == pytest.approx(1, rel=1e-5)
        assert found["path_reconstruction"] == pytest.approx(1, rel=1e-5)

    def test_half_as_long_reconstructions_have_half_the_norm(self, activations: Tensor) -> None:
        halved = identity(6)
        halved.W_dec.data *= 0.5
        found = target_norms(halved, torch.full((12,), 0.5), activations[:100], samples=20, seed=0)
        assert found["norm_reconstruction"] == pytest.approx(0.5, rel=1e-5)


def test_a_card_finds_all_that_it_states(tiny: Subject, prompts: Tensor) -> None:
    frequency = torch.full((2 * tiny.d_model,), 0.5)
    held_out = tiny.last_activations(prompts[:60, :-1])
    found = measure(
        tiny, identity(32), frequency, prompts=prompts, held_out=held_out, loss_prompts=20, samples=10, seed=0
    )
    assert set(COLUMNS) <= set(found)
    assert found["held_out_tokens"] == 60
    assert found["silent_share"] == 0
    assert found["loss_recovered"] == pytest.approx(1, abs=1e-5)
