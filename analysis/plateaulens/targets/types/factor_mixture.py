"""`factor_mixture`: a draw from a mixture of factor analysers fitted to real activations, which takes no SAE."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh, solve_triangular
from scipy.special import logsumexp

from plateaulens.errors import UsageError
from plateaulens.progress import stage
from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.fitting import Fitting, Learned
from plateaulens.targets.registry import register

COMPONENTS = 32
FACTORS = 16
"""Of each component. Of 53,248 activations of SmolLM2-135M at block 1, a held-out one has a log likelihood of -162 nats
under 32 components of 16 factors, of -370 under 16 of 8, and of -731 under a single Gaussian."""
FLOOR = 1e-3
"""The least variance that a component leaves to a dimension beside its factors, in units of the dimension's own."""
TOLERANCE = 0.5
"""EM stops when the log likelihood of an activation rises by less (nats)."""
MOST_ROUNDS = 40
"""Of EM."""
PER_COMPONENT = 100
"""There are no more components than leave so many activations to each."""
_ASSIGNMENTS = 10
"""Rounds of k-means before EM."""
_NEGLIGIBLE = 1e-10
"""An activation that belongs to a component with a smaller probability does not move it."""
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class FactorAnalysers:
    """A mixture of factor analysers: of N(mean_k, L_k L_k^T + diag(noise_k)) with probability weight_k.

    Ghahramani and Hinton 1996, The EM Algorithm for Mixtures of Factor Analyzers (CRG-TR-96-1), with a noise of its own
    for each component, as in McLachlan and Peel 2000. All in float64.
    """

    weight: Float64[np.ndarray, " component"]
    mean: Float64[np.ndarray, "component d_model"]
    loading: Float64[np.ndarray, "component d_model factor"]
    """L."""
    noise: Float64[np.ndarray, "component d_model"]
    """Variances beside the factors; 0 in a dimension in which all activations are equal."""
    likelihood: Float64[np.ndarray, " round"]
    """Mean log likelihood of the activations fitted to before each round of EM, and after the last (nats)."""
    held_out: Float64[np.ndarray, ""]
    """Mean log likelihood of the activations held out (nats)."""
    held_out_gaussian: Float64[np.ndarray, ""]
    """The same of one Gaussian with the moments of those fitted to, for comparison: -inf where it is singular."""
    slow: ClassVar = True
    """See `plateaulens.targets.fitting.Learned`."""
    after: ClassVar[tuple[type[Learned], ...]] = ()

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """By EM, to all activations but those held out. See `plateaulens.targets.fitting.Learned.fit`."""
        activation = fitting.corpus.activation.double().numpy()
        out = fitting.held_out
        return cls.of(activation[~out], activation[out], fitting.generator("factor mixture"))

    @classmethod
    def of(
        cls,
        values: Float64[np.ndarray, "rows d_model"],
        held_out: Float64[np.ndarray, "held_out d_model"],
        generator: np.random.Generator,
        *,
        components: int = COMPONENTS,
        factors: int = FACTORS,
    ) -> Self:
        """The mixture that EM arrives at from k-means, each cluster's principal components being its first factors.

        Dimensions are scaled to a variance of 1 meanwhile, which moves the floor of variances and nothing else.

        Parameters
        ----------
        values
            What is fitted to, shaped (row, d_model).
        held_out
            What it is judged by, shaped (row, d_model).
        generator
            What the first means are drawn from (k-means++).
        components, factors
            How many at most: `PER_COMPONENT` allows for fewer components, and there are fewer factors than dimensions.

        Returns
        -------
        FactorAnalysers
            In the order of the first means.

        Raises
        ------
        UsageError
            When what is fitted to is all the same.
        """
        centre, scale = values.mean(axis=0), values.std(axis=0)
        varies = scale > 1e-9 * np.maximum(np.abs(centre), np.finfo(np.float64).tiny)
        if not varies.any():
            raise UsageError("the activations that types are fitted to are all the same; supply more prompts")
        shaped = (values[:, varies] - centre[varies]) / scale[varies]
        count = max(1, min(components, len(values) // PER_COMPONENT))
        state = _start(shaped, count, max(0, min(factors, shaped.shape[1] - 1)), generator)
        volume = np.log(scale[varies]).sum()
        seen = [-np.inf]
        for turn in range(MOST_ROUNDS + 1):
            found = _Expected.of(state, shaped)
            seen.append(float(found.log_density.mean() - volume))
            stage(f"mixture of {count} factor analysers: round {turn}, {seen[-1]:.1f} nats an activation")
            if turn == MOST_ROUNDS or seen[-1] - seen[-2] < TOLERANCE:
                break
            state = _maximized(state, shaped, found.membership)
        mean, loading = np.tile(centre, (count, 1)), np.zeros((count, len(centre), state.loading.shape[2]))
        noise = np.zeros_like(mean)
        mean[:, varies] += state.mean * scale[varies]
        loading[:, varies] = state.loading * scale[varies, np.newaxis]
        noise[:, varies] = state.noise * np.square(scale[varies])
        judged = (held_out[:, varies] - centre[varies]) / scale[varies]
        return cls(
            state.weight,
            mean,
            loading,
            noise,
            np.array(seen[1:]),
            np.array(_Expected.of(state, judged).log_density.mean() - volume),
            np.array(_gaussian_density(shaped, judged) - volume),
        )

    def draw(self, generator: np.random.Generator) -> Float64[np.ndarray, " d_model"]:
        """One activation.

        Parameters
        ----------
        generator
            What component, factors and noise are drawn from.

        Returns
        -------
        NDArray
            Shaped (d_model,).
        """
        own = int(generator.choice(len(self.weight), p=self.weight))
        factor = generator.standard_normal(self.loading.shape[2])
        rest = np.sqrt(self.noise[own]) * generator.standard_normal(self.noise.shape[1])
        return np.asarray(self.mean[own] + self.loading[own] @ factor + rest)


@register
class FactorMixture:
    """A draw from a mixture of factor analysers, fitted to real activations of other prompts.

    The density of activations, told in `COMPONENTS` local Gaussians of `FACTORS` dimensions and noise: what an
    activation is like is modelled in the space of activations itself, with nothing of an SAE. See `FactorAnalysers`.
    """

    name = "factor_mixture"
    definition = "a draw from a mixture of factor analysers fitted to real activations"
    needs_sae = False
    learns = (FactorAnalysers,)

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A target, which does not depend on the base. See `plateaulens.targets.base.ActivationType.target`."""
        del base
        return Target(torch.from_numpy(context.learned(FactorAnalysers).draw(generator)))


class _State(NamedTuple):
    """A mixture of dimensions that have a variance of 1."""

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    loading: NDArray[np.float64]
    noise: NDArray[np.float64]

    def roots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The inverse of R, I + L^T N^-1 L = R R^T, and N^-1 L R^-T, of each component."""
        over = self.loading / self.noise[:, :, np.newaxis]
        inner = np.eye(self.loading.shape[2]) + np.swapaxes(self.loading, 1, 2) @ over
        inverse = np.stack(
            [solve_triangular(each, np.eye(len(each)), lower=True) for each in np.linalg.cholesky(inner)]
        )
        return inverse, over @ np.swapaxes(inverse, 1, 2)


class _Expected(NamedTuple):
    """The E step."""

    log_density: NDArray[np.float64]
    """(row,)."""
    membership: NDArray[np.float64]
    """(row, component): how likely each component has made a row."""

    @classmethod
    def of(cls, state: _State, values: NDArray[np.float64]) -> Self:
        """By the matrix inversion lemma: no matrix is larger than the factors."""
        inverse, whitening = state.roots()
        count, width, factors = whitening.shape
        across = np.ascontiguousarray(np.moveaxis(whitening, 0, 1).reshape(width, count * factors))
        offset = np.einsum("kd,kdf->kf", state.mean, whitening).reshape(-1)
        precision = 1 / state.noise
        pull = state.mean * precision
        with np.errstate(divide="ignore"):  # a component may have died out
            constant = np.log(state.weight)
        constant -= 0.5 * (width * np.log(2 * np.pi) + np.log(state.noise).sum(axis=1))
        constant += np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)
        constant -= 0.5 * (state.mean * pull).sum(axis=1)
        joint = np.empty((len(values), count))
        for start in range(0, len(values), _ROWS_AT_ONCE):
            rows = values[start : start + _ROWS_AT_ONCE]
            explained = np.square(rows @ across - offset).reshape(len(rows), count, factors).sum(axis=2)
            joint[start : start + _ROWS_AT_ONCE] = (
                constant + rows @ pull.T - 0.5 * np.square(rows) @ precision.T + 0.5 * explained
            )
        log_density = np.asarray(logsumexp(joint, axis=1))
        return cls(log_density, np.exp(joint - log_density[:, np.newaxis]))


def _maximized(state: _State, values: NDArray[np.float64], membership: NDArray[np.float64]) -> _State:
    """The M step: of each component a regression of its rows on their factors and on 1."""
    inverse, whitening = state.roots()
    mass = membership.sum(axis=0)
    mean, loading, noise = state.mean.copy(), state.loading.copy(), state.noise.copy()
    for own in np.flatnonzero(mass > _NEGLIGIBLE):
        rows = np.flatnonzero(membership[:, own] > _NEGLIGIBLE)
        share = membership[rows, own]
        centred = values[rows]
        centred -= state.mean[own]
        inputs = np.column_stack([centred @ whitening[own] @ inverse[own], np.ones(len(rows))])
        shared = (share[:, np.newaxis] * inputs).T
        gram, cross = shared @ inputs, shared @ centred
        total = gram[-1, -1]
        gram[:-1, :-1] += total * (inverse[own].T @ inverse[own])
        found = np.linalg.solve(gram, cross)
        left = share @ np.square(centred, out=centred) - (found * cross).sum(axis=0)
        mean[own], loading[own] = state.mean[own] + found[-1], found[:-1].T
        noise[own] = np.maximum(left / total, FLOOR)
    return _State(mass / mass.sum(), mean, loading, noise)


def _start(values: NDArray[np.float64], count: int, factors: int, generator: np.random.Generator) -> _State:
    """Clusters of k-means, with the principal components of each; few rows lean on the covariance of all."""
    stage(f"mixture of {count} factor analysers: first means")
    nearest = _clusters(values, count, generator)
    width = values.shape[1]
    overall = np.cov(values, rowvar=False, bias=True).reshape(width, width)
    mean, loading = np.zeros((count, width)), np.zeros((count, width, factors))
    noise, weight = np.ones((count, width)), np.zeros(count)
    for own in range(count):
        rows = values[nearest == own]
        mean[own] = rows.mean(axis=0)
        centred = rows - mean[own]
        covariance = (centred.T @ centred + width * overall) / (len(rows) + width)
        if factors:
            found, vectors = eigh(covariance, subset_by_index=(width - factors, width - 1))
            rest = (np.trace(covariance) - found.sum()) / (width - factors)
            loading[own] = vectors * np.sqrt(np.maximum(found - rest, 0))
        noise[own] = np.maximum(np.diag(covariance) - np.square(loading[own]).sum(axis=1), FLOOR)
        weight[own] = len(rows) / len(values)
    return _State(weight, mean, loading, noise)


def _clusters(values: NDArray[np.float64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """The cluster of each row: k-means++ (Arthur and Vassilvitskii 2007) and some rounds of k-means.

    Every cluster has a row. SciPy's warns of ones that have none, and computes all distances again for each mean.
    """
    means = [values[generator.integers(len(values))]]
    apart = np.square(values - means[0]).sum(axis=1)
    while len(means) < count:
        if not apart.any():  # there are fewer different rows than means
            apart = np.ones(len(values))
        means.append(values[generator.choice(len(values), p=apart / apart.sum())])
        apart = np.minimum(apart, np.square(values - means[-1]).sum(axis=1))
    middle, nearest = np.array(means), np.zeros(len(values), dtype=np.int64)
    for _ in range(_ASSIGNMENTS):
        nearest = (np.square(middle).sum(axis=1) - 2 * values @ middle.T).argmin(axis=1)
        for empty in np.setdiff1d(np.arange(count), nearest):
            sizes = np.bincount(nearest, minlength=count)
            nearest[np.flatnonzero(nearest == sizes.argmax())[0]] = empty
        ones = np.ones(len(values))
        members = sparse.csr_array((ones, (nearest, np.arange(len(values)))), shape=(count, len(values)))
        middle = (members @ values) / members.sum(axis=1)[:, np.newaxis]
    return nearest


def _gaussian_density(values: NDArray[np.float64], judged: NDArray[np.float64]) -> float:
    """Mean log density of some rows under the Gaussian with the moments of others."""
    covariance = np.cov(values, rowvar=False, bias=True).reshape(values.shape[1], values.shape[1])
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return -np.inf
    whitened = solve_triangular(root, (judged - values.mean(axis=0)).T, lower=True)
    quadratic = np.square(whitened).sum(axis=0).mean()
    return float(-0.5 * (quadratic + len(root) * np.log(2 * np.pi)) - np.log(np.diag(root)).sum())
