"""Training on data of known sparse structure, with every architecture, and what is saved of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import SAE
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject.sae import firing_frequency, load_sae
from plateaulens.training.autoencoder import save, shuffled, train
from plateaulens.training.quality import fidelity
from plateaulens.training.recipe import SaeRecipe

METADATA = {"model_name": "none", "hook_name": "blocks.0.hook_resid_pre"}
SETTINGS: dict[str, dict[str, float]] = {
    "batchtopk": {"k": 3},
    "standard": {"coefficient": 0.3},
    "jumprelu": {"k": 3, "coefficient": 0.3},
}


def make(sparse: Tensor, architecture: str, steps: int, **changes: Any) -> SAE[Any]:
    recipe = SaeRecipe.model_validate(
        {
            "architecture": architecture,
            "latents": 64,
            "samples": 128 * steps,
            "batch_size": 128,
            "learning_rate": 3e-3,
            **SETTINGS[architecture],
            **changes,
        }
    )
    tokens = torch.arange(len(sparse)) % 50
    return train(recipe, sparse, tokens, sparse[:0], METADATA)


@pytest.fixture(scope="module", params=list(SETTINGS))
def trained(request: pytest.FixtureRequest, sparse: Tensor) -> SAE[Any]:
    return make(sparse, request.param, steps=250)


def test_training_improves(trained: SAE[Any], sparse: Tensor) -> None:
    architecture = {"jumprelu": "batchtopk"}.get(trained.cfg.architecture(), trained.cfg.architecture())
    before, after = fidelity(make(sparse, architecture, steps=1), sparse), fidelity(trained, sparse)
    assert after["fraction_of_variance_unexplained"] < 0.15
    assert after["fraction_of_variance_unexplained"] < before["fraction_of_variance_unexplained"] / 2
    assert after["mean_l0"] < 24


def test_the_result_reads_unscaled_activations_and_has_unit_directions(trained: SAE[Any], sparse: Tensor) -> None:
    assert trained.cfg.normalize_activations == "none"
    torch.testing.assert_close(trained.W_dec.norm(dim=1), torch.ones(64))
    one, many = trained.encode(sparse[:1]), trained.encode(sparse[:100])
    torch.testing.assert_close(one[0], many[0], rtol=1e-4, atol=1e-4)  # no threshold depends on the batch


def test_it_is_read_back_as_it_was_up_to_half_precision(trained: SAE[Any], sparse: Tensor, tmp_path: Path) -> None:
    with torch.no_grad():
        before = trained(sparse)
    frequency = firing_frequency(trained, sparse).clone()
    frequency[0] = 0
    save(trained, frequency, tmp_path / "sae")
    trained.to(torch.float32)
    loaded = load_sae(SaeConfig(source=str(tmp_path / "sae")), width=24, write_site="blocks.0.hook_resid_pre", blocks=1)
    assert loaded.sae.cfg.architecture() == trained.cfg.architecture()
    error = (loaded.sae(sparse) - before).norm(dim=1) / before.norm(dim=1)
    assert error.median() < 2e-3
    assert error.mean() < 1e-2  # a latent at its threshold may fall on the other side
    torch.testing.assert_close(loaded.frequency, frequency, rtol=1e-5, atol=0)
    assert loaded.frequency[0] == 0


def test_the_same_recipe_gives_the_same_weights_and_leaves_the_global_generator(sparse: Tensor) -> None:
    torch.manual_seed(0)
    first = make(sparse, "batchtopk", steps=5)
    before = torch.random.get_rng_state()
    second = make(sparse, "batchtopk", steps=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    other = make(sparse, "batchtopk", steps=5, seed=1)
    assert not torch.equal(other.W_dec, first.W_dec)


@pytest.mark.parametrize("change", [{"latents": 5000}, {"batch_size": 5000, "samples": 5000}])
def test_too_few_activations(change: dict[str, int], sparse: Tensor) -> None:
    with pytest.raises(UsageError, match=r"4096 activations are too few for .*: sample more text"):
        make(sparse, "standard", steps=2, **change)


def test_a_pass_has_every_activation_once_and_passes_differ() -> None:
    batches = shuffled(torch.arange(10.0)[:, None].half(), batch_size=5, seed=0)
    first, second = (torch.cat([next(batches), next(batches)]) for _ in range(2))
    assert first.dtype == torch.float32
    assert first.flatten().sort().values.tolist() == second.flatten().sort().values.tolist() == list(range(10))
    assert not torch.equal(first, second)


def test_what_does_not_fill_a_batch_waits_for_another_pass() -> None:
    batches = shuffled(torch.arange(7.0)[:, None], batch_size=3, seed=0)
    sizes = {next(batches).shape for _ in range(20)}
    assert sizes == {(3, 1)}
    seen = torch.cat([next(batches) for _ in range(40)]).flatten()
    assert set(seen.tolist()) == set(range(7))
