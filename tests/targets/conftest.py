"""Dictionaries and contexts small enough to follow by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from plateaulens.config import TargetConfig
from plateaulens.targets.base import Pool, TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.fitting import Corpus, Fitting


@pytest.fixture(scope="session")
def transparent() -> Callable[..., Dictionary]:
    """A dictionary whose codes are the positive entries of A and whose targets are the codes themselves.

    Its decoder serves for cosines only, so a target shows which latents were chosen.
    """

    def make(frequency: Sequence[float], decoder: Tensor | None = None) -> Dictionary:
        count = len(frequency)
        rows = torch.eye(count) if decoder is None else decoder
        wide = torch.nn.functional.pad(rows, (0, count - rows.shape[1]))
        return Dictionary(torch.relu, torch.clone, wide, torch.tensor(frequency))

    return make


@pytest.fixture(scope="session")
def relu_sae() -> Callable[..., Dictionary]:
    """A random ReLU autoencoder in which a few latents are dead."""

    def make(d_model: int, latents: int, seed: int = 0) -> Dictionary:
        rng = torch.Generator().manual_seed(seed)
        decoder = torch.randn((latents, d_model), generator=rng) / d_model**0.5
        bias = torch.randn(d_model, generator=rng)
        frequency = torch.randint(0, 32, (latents,), generator=rng) / 1024
        return Dictionary(
            lambda x: torch.relu((x - bias) @ decoder.T - 1.0), lambda f: f @ decoder + bias, decoder, frequency
        )

    return make


@pytest.fixture(scope="session")
def context_of() -> Callable[..., TargetContext]:
    """A context over given activations, whose prompt rows are 0, 1, 2, ..."""

    def make(activation: Tensor, dictionary: Dictionary | None = None, seed: int = 0, **config: float) -> TargetContext:
        settings = TargetConfig.model_validate({"types": ("real",), **config})
        return TargetContext(Pool(activation, np.arange(len(activation))), settings, seed, dictionary)

    return make


@pytest.fixture(scope="session")
def fitted_to() -> Callable[..., TargetContext]:
    """A context whose types are fitted to given activations; its pool is another's or the same, of the tokens `own`."""

    def make(
        corpus: Tensor,
        dictionary: Dictionary | None = None,
        *,
        token: Sequence[int] | None = None,
        embedding: Tensor | None = None,
        pool: Tensor | None = None,
        own: Sequence[int] | None = None,
        seed: int = 0,
        **config: float,
    ) -> TargetContext:
        ids = np.arange(len(corpus)) if token is None else np.array(token)
        known = Corpus(corpus, ids, torch.zeros_like(corpus) if embedding is None else embedding)
        settings = TargetConfig.model_validate({"types": ("real",), **config})
        real = corpus if pool is None else pool
        fitting = Fitting(lambda: known, dictionary, seed)
        pool_of = Pool(real, np.arange(len(real)), None if own is None else np.array(own))
        return TargetContext(pool_of, settings, seed, dictionary, fitting)

    return make
