"""What fitted activation types learn from: real activations of prompts that are never bases nor targets.

A run with fitted types cuts its prompts in two (`plateaulens.collect.context`). From one part come bases and real
targets, from the other a `Corpus`: all activations of its later tokens. Types are judged on prompts that they have not
seen, and how far their targets lie from what they have seen is written down (`Corpus.distance`), to know a copy.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.progress import stage
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.gaussian import Gaussian
from plateaulens.targets.randomness import generator

SAME = 1e-3
"""Activations no further apart than this (L2) are one: two prompts may begin with the same tokens."""
_ROWS_PER_BATCH = 256
_ROWS_OF_DISTANCES = 4096
"""Activations of the corpus that targets are compared with at once."""
_RIDGE = 1e-3
"""Of the mean variance of an input: what is added to every variance before it is divided by."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Real activations that types are fitted to, with the token of each.

    Raises
    ------
    UsageError
        When it is empty or when a value is not finite.
    """

    activation: Float[Tensor, "corpus d_model"]
    token: Int64[np.ndarray, " corpus"]
    embedding: Float[Tensor, "corpus d_model"]
    """Of each token, as the model's first layer takes it."""

    def __post_init__(self) -> None:
        assert len(self.activation) == len(self.token) == len(self.embedding)
        if not len(self.token):
            raise UsageError("there are no activations to fit types to; supply more prompts, or longer ones")
        if not self.activation.isfinite().all():
            raise UsageError(
                "an activation that types are fitted to is not finite; check the model's weights and dtype"
            )

    @cached_property
    def gaussian(self) -> Gaussian:
        """Mean and covariance."""
        return Gaussian.fit(self.activation)

    def distance(self, targets: Float[Tensor, "targets d_model"]) -> Float32[np.ndarray, " targets"]:
        """How far each of some activations lies from the nearest of the corpus (L2).

        Parameters
        ----------
        targets
            Shaped (target, d_model).

        Returns
        -------
        NDArray
            Shaped (target,). The nearest is found in single precision, its distance computed in double.
        """
        apart = targets.double() - self.activation[self._nearest(targets, beyond=-1.0)].double()
        return np.asarray(apart.norm(dim=1).numpy(), dtype=np.float32)

    def nearest(self, activation: Float[Tensor, " d_model"]) -> int:
        """The row of the nearest activation further than `SAME` away; of the last one where all are the same."""
        return int(self._nearest(activation[None], beyond=SAME)[0])

    def _nearest(self, targets: Float[Tensor, "targets d_model"], beyond: float) -> Int64[Tensor, " targets"]:
        centre = self.gaussian.mean.float()
        points = targets.float() - centre
        own = points.square().sum(dim=1, keepdim=True)
        best = torch.full((len(targets),), torch.inf)
        place = torch.full((len(targets),), len(self.activation) - 1)
        for start in range(0, len(self.activation), _ROWS_OF_DISTANCES):
            others = self.activation[start : start + _ROWS_OF_DISTANCES].float() - centre
            squared = own + others.square().sum(dim=1) - 2 * points @ others.T
            if beyond >= 0:  # rounded, a small distance says nothing
                doubtful = squared < 1e-4 * own + beyond**2
                for row, column in doubtful.nonzero().tolist():
                    apart = (targets[row].double() - self.activation[start + column].double()).norm()
                    squared[row, column] = apart.square() if apart > beyond else torch.inf
            found = squared.min(dim=1)
            place = torch.where(found.values < best, start + found.indices, place)
            best = torch.minimum(best, found.values)
        return place


@dataclass(frozen=True, eq=False)
class Tokens:
    """What activations owe to their token: a mean for each token of a corpus, and what is left of each activation.

    A token that occurs seldom has no mean to speak of, and the mean of a single activation is that activation. Means
    are therefore shrunk towards what the token's embedding predicts (ridge regression), by empirical Bayes: with n
    activations the mean counts n / (n + k), k being the variance within tokens over the variance of means around their
    prediction.
    """

    mean: Float32[np.ndarray, "token d_model"]
    of: Int64[np.ndarray, " corpus"]
    """Which mean belongs to each activation of the corpus."""
    left: Float32[np.ndarray, "corpus d_model"]
    """Activation minus mean, over sqrt(1 - 2 w / n + w^2 / n), w = n / (n + k): the mean is part of the activation,
    which makes it shorter than what a new activation of the token has left."""

    @classmethod
    def fit(cls, fitting: "Fitting") -> Self:
        """The means of a corpus, in the order of the tokens' ids. See `Learned.fit`."""
        corpus = fitting.corpus
        activation = corpus.activation.double().numpy()
        _, first, of, count = np.unique(corpus.token, return_index=True, return_inverse=True, return_counts=True)
        total = np.zeros((len(count), activation.shape[1]))
        np.add.at(total, of, activation)
        bare = total / count[:, np.newaxis]
        inputs = corpus.embedding[torch.from_numpy(first)].double().numpy()
        predicted = linear(inputs, bare, weights=count.astype(np.float64))(inputs)
        within = np.square(activation - bare[of]).sum() / max(1, len(of) - len(count))
        around = max(
            np.square(bare - predicted).sum(axis=1).mean() - within * (1 / count).mean(), 1e-12 * within + 1e-30
        )
        weight = count / (count + within / around)
        mean = predicted + weight[:, np.newaxis] * (bare - predicted)
        shortened = np.sqrt(1 - 2 * weight / count + weight**2 / count)
        # a token's error of prediction is part of what is left of all its activations
        left = (activation - mean[of]) / np.maximum(shortened, 0.1)[of, np.newaxis]
        return cls(mean.astype(np.float32), of, left.astype(np.float32))


class Linear(NamedTuple):
    """A least-squares map `x W + b`."""

    weight: Float64[np.ndarray, "input output"]
    bias: Float64[np.ndarray, " output"]

    def __call__(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shaped (row, output)."""
        return np.asarray(inputs @ self.weight + self.bias)


def linear(
    inputs: NDArray[np.floating], outputs: NDArray[np.floating], *, weights: NDArray[np.float64] | None = None
) -> Linear:
    """Ridge regression with an intercept that is not shrunk.

    Parameters
    ----------
    inputs, outputs
        (row, input) and (row, output).
    weights
        How much each row counts, (row,); None for all the same.

    Returns
    -------
    Linear
        With a thousandth of the inputs' mean variance added to each.
    """
    counts = np.ones(len(inputs)) if weights is None else weights
    share = (counts / counts.sum())[:, np.newaxis]
    middle, goal = (share * inputs).sum(axis=0), (share * outputs).sum(axis=0)
    centred = inputs - middle
    gram = centred.T @ (share * centred)
    gram[np.diag_indices_from(gram)] += _RIDGE * max(float(np.trace(gram)) / len(gram), 1e-30)
    weight = np.linalg.solve(gram, centred.T @ (share * (outputs - goal)))
    return Linear(weight, goal - middle @ weight)


@dataclass(frozen=True, eq=False)
class Codes:
    """The SAE codes of a corpus."""

    strength: sparse.csr_array
    """(corpus, latent): how strong each active latent is."""
    size: Int64[np.ndarray, " corpus"]
    """How many are active."""

    @classmethod
    def fit(cls, fitting: "Fitting") -> Self:
        """Encode the corpus, in batches of a fixed size to be reproducible. See `Learned.fit`.

        Raises
        ------
        UsageError
            When no latent is active anywhere.
        """
        with torch.no_grad():
            parts = [
                sparse.csr_array(fitting.dictionary.encoder(part).float().cpu().numpy())
                for part in fitting.corpus.activation.split(_ROWS_PER_BATCH)
            ]
        strength = sparse.csr_array(sparse.vstack(parts))
        size = np.diff(strength.indptr)
        if not size.any():
            raise UsageError(
                "no latent of the SAE is active on the activations that types are fitted to; check the SAE"
            )
        return cls(strength, size.astype(np.int64))

    def code(self, row: int) -> Code:
        """The code of one activation, latents ascending."""
        start, stop = self.strength.indptr[row : row + 2]
        latent, strength = self.strength.indices[start:stop], self.strength.data[start:stop]
        order = np.argsort(latent, kind="stable")
        return Code(latent[order].astype(np.int64), strength[order])

    @cached_property
    def fired(self) -> Int64[np.ndarray, " fired"]:
        """The latents that are active on some activation, ascending."""
        return np.flatnonzero(self.frequency)

    @cached_property
    def frequency(self) -> Float64[np.ndarray, " latents"]:
        """Share of the activations on which each latent is active."""
        fires = np.bincount(self.strength.indices, minlength=self.strength.shape[1])
        return np.asarray(fires / len(self.size))

    @cached_property
    def mean_strength(self) -> Float64[np.ndarray, " latents"]:
        """How strong each latent is on average where it is active; 0 for one that never is."""
        total = np.bincount(self.strength.indices, self.strength.data, minlength=self.strength.shape[1])
        return np.asarray(total / np.maximum(1, self.frequency * len(self.size)))

    @cached_property
    def by_latent(self) -> sparse.csc_array:
        """`strength` with the activations of each latent together."""
        return sparse.csc_array(self.strength)

    def strengths_of(self, latent: int) -> Float32[np.ndarray, " fired"]:
        """How strong a latent is each time that it is active."""
        start, stop = self.by_latent.indptr[latent : latent + 2]
        found: NDArray[np.float32] = self.by_latent.data[start:stop]
        return found

    def draw_strengths(
        self, latents: Sequence[int] | NDArray[np.integer], generator: np.random.Generator
    ) -> Float32[np.ndarray, " latents"]:
        """A strength for each latent, drawn from those that it has had.

        Parameters
        ----------
        latents
            Each active in the corpus at least once.
        generator
            What is drawn from.

        Returns
        -------
        NDArray
            Shaped (latent,).
        """
        return np.array([generator.choice(self.strengths_of(int(latent))) for latent in latents], dtype=np.float32)

    @cached_property
    def top(self) -> Int64[np.ndarray, " corpus"]:
        """The strongest latent of each activation, -1 where none is active."""
        found = np.full(len(self.size), -1)
        for row in np.flatnonzero(self.size):
            start, stop = self.strength.indptr[row : row + 2]
            found[row] = self.strength.indices[start + np.argmax(self.strength.data[start:stop])]
        return found


@dataclass(frozen=True, eq=False)
class SaeError:
    """What an SAE leaves out of activations, x - SAE(x), as far as it can be drawn."""

    plain: Gaussian
    """The errors' own moments."""
    predicted: Linear
    """From SAE(x)."""
    around: Gaussian
    """Of what the prediction leaves."""
    share: float
    """Of the errors' variance that is predicted."""

    def added(
        self, made: Float[Tensor, " d_model"], generator: np.random.Generator, *, predicted: bool
    ) -> Float64[Tensor, " d_model"]:
        """What an SAE makes, with an error like those of real activations.

        Parameters
        ----------
        made
            A decoded code, shaped (d_model,).
        generator
            What the error, or the part of it that is not predicted, is drawn from.
        predicted
            Whether the error's mean follows from `made`.

        Returns
        -------
        Tensor
            Shaped (d_model,), float64.
        """
        if not predicted:
            return made.double() + self.plain.draw(generator)
        expected = torch.from_numpy(self.predicted(made.double().numpy()))
        return made.double() + expected + self.around.draw(generator)

    @classmethod
    def fit(cls, fitting: "Fitting") -> Self:
        """The errors of a corpus, and the linear map that predicts them from reconstructions. See `Learned.fit`."""
        corpus, codes, dictionary = fitting.corpus, fitting.learned(Codes), fitting.dictionary
        made = [
            dictionary.reconstructor(torch.from_numpy(codes.strength[start : start + _ROWS_PER_BATCH].toarray()))
            for start in range(0, len(codes.size), _ROWS_PER_BATCH)
        ]
        seen = torch.cat([part.detach().cpu() for part in made]).double().numpy()
        error = corpus.activation.double().numpy() - seen
        predicted = linear(seen, error)
        around = error - predicted(seen)
        spread = np.square(error - error.mean(axis=0)).sum()
        return cls(
            Gaussian.fit(torch.from_numpy(error)),
            predicted,
            Gaussian.fit(torch.from_numpy(around)),
            float(1 - np.square(around).sum() / spread),
        )


class Learned(Protocol):
    """What is learned from a corpus: a dataclass of arrays."""

    @classmethod
    def fit(cls, fitting: "Fitting") -> Self:
        """Learn.

        Parameters
        ----------
        fitting
            The corpus, what else was learned from it, and a generator.

        Returns
        -------
        Self
            The same whenever the corpus and the run's seed are.
        """
        ...


LearnedT = TypeVar("LearnedT", bound=Learned)


class Fitting:
    """A corpus and what has been learned from it, each when first asked for.

    Parameters
    ----------
    find_corpus
        Gives the corpus.
    dictionary
        The run's SAE, or what a variant has in its place; None in a run without.
    seed
        The run's.
    """

    def __init__(self, find_corpus: Callable[[], Corpus], dictionary: Dictionary | None, seed: int) -> None:
        self._find_corpus, self._dictionary, self._seed = find_corpus, dictionary, seed
        self._learned: dict[type[Any], Any] = {}

    @cached_property
    def corpus(self) -> Corpus:
        """The real activations."""
        stage("activations that types are fitted to")
        return self._find_corpus()

    @property
    def dictionary(self) -> Dictionary:
        """The SAE.

        Raises
        ------
        UsageError
            When the run has none.
        """
        if self._dictionary is None:
            raise UsageError("needs an SAE, and the run has none; add an [sae] section to the preset")
        return self._dictionary

    def generator(self, purpose: str) -> np.random.Generator:
        """The generator of one purpose, that of the run's seed. See `plateaulens.targets.randomness.generator`."""
        return generator(self._seed, 0, purpose)

    def learned(self, what: type[LearnedT]) -> LearnedT:
        """What is learned, once.

        Parameters
        ----------
        what
            Its class.

        Returns
        -------
        Learned
            The same one each time.
        """
        if what not in self._learned:
            stage(f"fitting {what.__name__} to {len(self.corpus.token):,} activations")
            self._learned[what] = what.fit(self)
        found: LearnedT = self._learned[what]
        return found

    def with_dictionary(self, dictionary: Dictionary | None) -> "Fitting":
        """The same corpus with another SAE.

        Parameters
        ----------
        dictionary
            The SAE.

        Returns
        -------
        Fitting
            In which nothing has been learned.
        """
        return Fitting(lambda: self.corpus, dictionary, self._seed)

    def identity(self, learned: Iterable[type[Learned]]) -> dict[str, str]:
        """What tells what was learned from anything else.

        Parameters
        ----------
        learned
            Classes of it.

        Returns
        -------
        dict
            By name of the class, and `Corpus`, the SHA-256 of all arrays.
        """
        found = {"Corpus": _digest(self.corpus)}
        return found | {each.__name__: _digest(self.learned(each)) for each in learned}


def _digest(what: Any) -> str:
    found = hashlib.sha256()
    for part in _arrays(what):
        found.update(f"{part.dtype.str}{part.shape}".encode())
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def _arrays(what: Any) -> Iterable[NDArray[Any]]:
    """Every array of what was learned, in order."""
    if isinstance(what, Tensor):
        yield what.detach().cpu().numpy()
    elif isinstance(what, sparse.sparray):
        ordered: Any = sparse.csr_array(cast("Any", what))
        yield from (ordered.indptr, ordered.indices, ordered.data)
    elif is_dataclass(what):
        for own in fields(what):
            yield from _arrays(getattr(what, own.name))
    elif isinstance(what, tuple | list):
        for part in what:
            yield from _arrays(part)
    else:
        yield np.asarray(what)
