"""The Gaussian that has the mean and covariance of the real activations, and its isotropic counterpart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance of a set of activations, in float64 on the CPU.

    The covariance S is `X^T X / n` of the centred activations, as in Giglemiani et al. 2024 (divided by n, not n - 1).
    """

    mean: Float64[Tensor, " d_model"]
    covariance: Float64[Tensor, "d_model d_model"]

    @classmethod
    def fit(cls, activations: Float[Tensor, "pool d_model"]) -> Self:
        """The moments of some activations.

        Parameters
        ----------
        activations
            Shaped (pool, d_model), all finite.

        Returns
        -------
        Gaussian
            With covariance 0 if there is a single activation.
        """
        values = activations.detach().double().cpu()
        mean = values.mean(dim=0)
        centred = values - mean
        return cls(mean, centred.T @ centred / len(values))

    @cached_property
    def root(self) -> Float64[Tensor, "d_model d_model"]:
        """The symmetric square root of S, `V diag(sqrt(l)) V^T` from the eigen-decomposition `S = V diag(l) V^T`.

        S is singular whenever there are fewer activations than dimensions, or when the model centres what it writes to
        the residual stream, so a Cholesky factor need not exist. Eigenvalues below `d_model * eps * max(l)` are
        rounding errors of zero (negative ones among them) and are set to 0, so that a direction without variance gets
        none. The symmetric root is unique, which `V diag(sqrt(l))` is not: the signs that LAPACK picks for V do not
        reach the draws.
        """
        eigenvalues, vectors = torch.linalg.eigh(self.covariance)
        noise = len(self.mean) * torch.finfo(torch.float64).eps * eigenvalues.abs().max()
        scales = torch.where(eigenvalues > noise, eigenvalues, 0.0).sqrt()
        root: Tensor = (vectors * scales) @ vectors.T
        return root

    @cached_property
    def inverse_root(self) -> Float64[Tensor, "d_model d_model"]:
        """The pseudo-inverse of `root`: directions without variance stay without."""
        found: Tensor = torch.linalg.pinv(self.root, hermitian=True)
        return found

    @property
    def deviation(self) -> float:
        """Standard deviation per dimension of the isotropic counterpart: sqrt(trace(S) / d_model)."""
        return math.sqrt(float(self.covariance.trace()) / len(self.mean))

    def draw(self, generator: np.random.Generator) -> Float64[Tensor, " d_model"]:
        """One draw with the activations' mean and covariance: `mean + S^(1/2) z`, z standard normal.

        Parameters
        ----------
        generator
            What z is drawn from.

        Returns
        -------
        Tensor
            Shaped (d_model,), float64.
        """
        return self.mean + self.root @ self._noise(generator)

    def draw_each(
        self, generators: Sequence[np.random.Generator], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "draws d_model"]:
        """`draw` of each generator, rounded: to the last bit what one draw after the other gives.

        One matrix product for all of them adds up in another order. Where that could reach the last bit of a rounded
        number, by the bound on the error of either order, the draw is made by itself.

        Parameters
        ----------
        generators
            One for each draw.
        dtype
            What draws are rounded to.

        Returns
        -------
        Tensor
            Shaped (draws, d_model).
        """
        noise = torch.stack([self._noise(generator) for generator in generators])
        drawn = self.mean + noise @ self.root.T
        # of sums of d products in any order, twice: once for each of the two that are compared
        unit = 2 * (len(self.mean) + 2) * torch.finfo(torch.float64).eps
        bound = unit * (self.mean.abs() + self.root.norm(dim=1) * noise.norm(dim=1, keepdim=True))
        rounded = drawn.to(dtype)
        for row in ((drawn - bound).to(dtype) != (drawn + bound).to(dtype)).any(dim=1).nonzero()[:, 0].tolist():
            rounded[row] = (self.mean + self.root @ noise[row]).to(dtype)
        return rounded

    def draw_isotropic(self, generator: np.random.Generator) -> Float64[Tensor, " d_model"]:
        """One draw with the activations' mean and total variance, spread equally over all directions.

        Parameters
        ----------
        generator
            What it is drawn from.

        Returns
        -------
        Tensor
            Shaped (d_model,), float64.
        """
        return self.mean + self.deviation * self._noise(generator)

    def _noise(self, generator: np.random.Generator) -> Float64[Tensor, " d_model"]:
        return torch.tensor(generator.standard_normal(len(self.mean)))
