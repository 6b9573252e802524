"""What fitted activation types learn from: real activations of prompts that are never bases nor targets.

A run with fitted types cuts its prompts in two (`plateaulens.collect.context`). From one part come bases and real
targets, from the other a `Corpus`: all activations of its later tokens. Types are judged on prompts that they have not
seen, and how far their targets lie from what they have seen is written down (`Corpus.distance`), to know a copy.
"""

import hashlib
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self, TypeVar, cast

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch import Tensor

from plateaulens import cache
from plateaulens.errors import UsageError
from plateaulens.progress import stage
from plateaulens.provenance import versions
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.gaussian import Gaussian
from plateaulens.targets.modules import source_of
from plateaulens.targets.randomness import generator

_KIND = "learned"
_FILE = "learned.safetensors"
_NEIGHBOURS = 64
"""Activations beside each other that are held out together."""
SAME = 1e-3
"""Activations no further apart than this (L2) are one: two prompts may begin with the same tokens."""
_ROWS_PER_BATCH = 256
_ROWS_OF_DISTANCES = 4096
"""Activations of the corpus that targets are compared with at once."""
_CANDIDATES = 8
"""Of each so many, those nearest to a target in single precision whose distance is computed in double."""
_RIDGES = 10.0 ** np.arange(-6, 5)
"""Of the mean variance of an input: what may be added to every variance before it is divided by."""
_ROUNDS = 3
"""How often tokens are weighed anew by what the prediction of their means leaves."""
_MOST_ROUNDS, _CLOSE = 200, 1e-4
"""Of finding odds, and how near to frequencies they are to come."""
_MOST_STRETCHED = 10.0
"""How many times longer what is left of an activation may be made, at most."""


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

    @cached_property
    def _by_token(self) -> tuple[Int64[np.ndarray, " corpus"], Int64[np.ndarray, " corpus"]]:
        """The rows of the corpus by token, and their tokens."""
        order = np.argsort(self.token, kind="stable")
        return order, self.token[order]

    def rows_of(self, token: int) -> Int64[np.ndarray, " rows"]:
        """The activations of one token.

        Parameters
        ----------
        token
            Its id.

        Returns
        -------
        NDArray
            Shaped (row,), ascending; none for a token that does not occur.
        """
        order, tokens = self._by_token
        start, stop = np.searchsorted(tokens, [token, token + 1])
        return order[start:stop]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all arrays, which are hundreds of megabytes as a rule."""
        return _digest(self)

    def distance(self, targets: Float[Tensor, "targets d_model"]) -> Float32[np.ndarray, " targets"]:
        """How far each of some activations lies from the nearest of the corpus (L2).

        Parameters
        ----------
        targets
            Shaped (target, d_model).

        Returns
        -------
        NDArray
            Shaped (target,). The nearest few are found in single precision, their distances computed in double.
        """
        centre = self.gaussian.mean.float()
        points, exact = targets.float() - centre, targets.double()
        best = torch.full((len(targets),), torch.inf, dtype=torch.float64)
        for start in range(0, len(self.activation), _ROWS_OF_DISTANCES):
            others = self.activation[start : start + _ROWS_OF_DISTANCES]
            centred = others.float() - centre
            order = centred.square().sum(dim=1) - 2 * points @ centred.T  # squared, less what all others share
            likely = order.topk(min(_CANDIDATES, len(others)), largest=False).indices
            apart = (exact[:, None] - others[likely].double()).norm(dim=2)
            best = torch.minimum(best, apart.amin(dim=1))
        return np.asarray(best.numpy(), dtype=np.float32)

    def nearest(self, activation: Float[Tensor, " d_model"]) -> int:
        """The row of the nearest activation further than `SAME` away.

        Parameters
        ----------
        activation
            Shaped (d_model,).

        Returns
        -------
        int
            The first of equally near ones, and the first of all where none is further away.
        """
        # no matrix product, which would round small differences of large numbers away
        mode = "donot_use_mm_for_euclid_dist"
        apart = torch.cdist(activation[None].float(), self.activation.float(), compute_mode=mode)[0]
        return int(torch.where(apart > SAME, apart, torch.inf).argmin())


@dataclass(frozen=True, eq=False)
class Tokens:
    """What activations owe to their token: a mean for each token of a corpus, and what is left of each activation.

    A token that occurs seldom has no mean to speak of, and the mean of a single activation is that activation. Means
    are therefore shrunk towards what the embeddings of all other tokens predict of this one (`regress`), by empirical
    Bayes: of a token with n activations their mean counts w = n / (n + k), the prediction 1 - w. k is the variance s
    within tokens over the variance a of means around their prediction, both summed over dimensions. s is the squares
    about tokens' means over activations less tokens; a is the mean over tokens of the squared distance between mean and
    prediction, less s / n, and no less than 0. Where no token occurs twice nothing tells s from a, and w is 0.
    """

    mean: Float32[np.ndarray, "token d_model"]
    of: Int64[np.ndarray, " corpus"]
    """Which mean belongs to each activation of the corpus."""
    left: Float32[np.ndarray, "corpus d_model"]
    """Activation minus mean, as long as what a new activation of the token would have left. The mean has the activation
    in it, which takes 2 s w / n from the expected square: u = s (1 - 2 w / n + w^2 / n) + a (1 - w)^2 of an activation
    of the corpus, u + 2 s w / n of a new one. So it is the difference times the root of their ratio, 10 at most."""

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
        repeated = len(of) - len(count)
        within = np.square(activation - bare[of]).sum() / max(1, repeated)
        weight = np.zeros(len(count))
        for _ in range(_ROUNDS):
            weights = weight if weight.any() else np.ones(len(count))
            predicted = regress(inputs, bare, weights=weights).without
            excess = np.square(bare - predicted).sum(axis=1) - within / count
            around = max(0.0, float(excess.mean())) if repeated else 0.0
            weight = count * around / np.maximum(count * around + within, np.finfo(np.float64).tiny)
        mean = predicted + weight[:, np.newaxis] * (bare - predicted)
        seen = within * (1 - 2 * weight / count + weight**2 / count) + around * (1 - weight) ** 2
        new = seen + 2 * within * weight / count
        stretch = np.sqrt(np.divide(new, seen, out=np.ones(len(count)), where=seen > new / _MOST_STRETCHED**2))
        stretch[(new > 0) & (seen <= new / _MOST_STRETCHED**2)] = _MOST_STRETCHED
        left = (activation - mean[of]) * stretch[of, np.newaxis]
        return cls(mean.astype(np.float32), of, left.astype(np.float32))


class Linear(NamedTuple):
    """A map `x W + b`."""

    weight: Float64[np.ndarray, "input output"]
    bias: Float64[np.ndarray, " output"]

    def __call__(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shaped (row, output)."""
        return np.asarray(inputs @ self.weight + self.bias)


class Regressed(NamedTuple):
    """What ridge regression found."""

    line: Linear
    without: Float64[np.ndarray, "row output"]
    """What the regression of all other rows predicts for each row."""


def regress(
    inputs: NDArray[np.floating], outputs: NDArray[np.floating], *, weights: NDArray[np.float64] | None = None
) -> Regressed:
    """Ridge regression with an intercept that is not shrunk, its ridge chosen by generalised cross-validation.

    Least squares with ridge r is `W = (X^T P X + r I)^-1 X^T P Y`, X and Y being centred and P the weights over their
    sum. The leverage of a row is h = p (1 + x (X^T P X + r I)^-1 x^T), and without it its residual is 1 / (1 - h) times
    as large. Of the ridges 1e-6, 1e-5 ... 1e4 times the inputs' mean variance the one is taken for which the squared
    residuals over (1 - mean of h)^2 are least (Golub, Heath & Wahba 1979).

    Parameters
    ----------
    inputs, outputs
        (row, input) and (row, output).
    weights
        How much each row counts, (row,), of which one is above 0; None for all the same.

    Returns
    -------
    Regressed
        The map, and what each row is predicted as without it.
    """
    counts = np.ones(len(inputs)) if weights is None else weights
    share = (counts / counts.sum())[:, np.newaxis]
    middle, goal = (share * inputs).sum(axis=0), (share * outputs).sum(axis=0)
    centred, wanted = inputs - middle, outputs - goal
    values, vectors = np.linalg.eigh(centred.T @ (share * centred))
    values = np.maximum(values, 0.0)
    turned = centred @ vectors
    product = turned.T @ (share * wanted)
    size, common = np.square(product).sum(axis=1), float((share * np.square(wanted)).sum())
    ridges = _RIDGES * max(float(values.mean()), 1e-30)

    def error(ridge: float) -> float:
        left = max(0.0, common - float((size * (values + 2 * ridge) / (values + ridge) ** 2).sum()))
        leverage = (1 + float((values / (values + ridge)).sum())) / len(inputs)
        return left / max(1e-9, 1 - leverage) ** 2

    ridge = min(ridges, key=error)
    turned_weight = product / (values + ridge)[:, np.newaxis]
    leverage = share * (1 + (np.square(turned) / (values + ridge)).sum(axis=1, keepdims=True))
    residual = (wanted - turned @ turned_weight) / np.maximum(1 - leverage, 1e-9)
    weight = vectors @ turned_weight
    return Regressed(Linear(weight, goal - middle @ weight), outputs - residual)


@dataclass(frozen=True, eq=False)
class Codes:
    """The SAE codes of a corpus."""

    strength: sparse.csr_array
    """(corpus, latent): how strong each active latent is."""
    size: Int64[np.ndarray, " corpus"]
    """How many are active."""

    @classmethod
    def fit(cls, fitting: "Fitting") -> Self:
        """Encode the corpus, in batches of a fixed size to be reproducible.

        Parameters
        ----------
        fitting
            The corpus and the SAE.

        Returns
        -------
        Codes
            The same whenever both are.

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
        """The code of one activation.

        Parameters
        ----------
        row
            Of the corpus.

        Returns
        -------
        Code
            Latents ascending, without the activation's scale where the SAE has one for each.
        """
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
    def log_odds(self) -> Float64[np.ndarray, " latents"]:
        """Of each latent to be active by itself, -inf for one that never is.

        Those of Rasch (1960): with an a for each latent and a t for each size of a code, latents are active with the
        chances 1 / (1 + exp(-a - t)), the expected size of a code is its size, and over the sizes of the corpus each
        latent's expected frequency is its frequency. With one t for all, and a the log odds of the frequency, latents
        that are often active would be so too seldom where sizes are as unequal as they are.
        """
        found = np.full(self.strength.shape[1], -np.inf)
        inner = (self.size > 0) & (self.size < len(self.fired))
        size, times = np.unique(self.size[inner], return_counts=True)
        if not len(size):
            found[self.fired] = 0.0
            return found
        share = times / len(self.size)
        # where all are active nothing is drawn
        goal = self.frequency[self.fired] - np.mean(self.size == len(self.fired))
        goal = np.clip(goal, 0.25 / len(self.size), share.sum() - 0.25 / len(self.size))
        own, common = logit(goal / share.sum()), np.zeros(len(size))
        for _ in range(_MOST_ROUNDS):
            chance = expit(own + common[:, np.newaxis])
            common += np.clip((size - chance.sum(axis=1)) / (chance * (1 - chance)).sum(axis=1), -1, 1)
            chance = expit(own + common[:, np.newaxis])
            missing = goal - share @ chance
            if np.abs(missing).max() < _CLOSE:
                break
            own += np.clip(missing / (share @ (chance * (1 - chance))), -1, 1)
        found[self.fired] = own
        return found

    @cached_property
    def mean_strength(self) -> Float64[np.ndarray, " latents"]:
        """How strong each latent is on average where it is active; 0 for one that never is."""
        total = np.bincount(self.strength.indices, self.strength.data, minlength=self.strength.shape[1])
        return np.asarray(total / np.maximum(1, self.frequency * len(self.size)))

    @cached_property
    def by_latent(self) -> sparse.csc_array:
        """`strength` with the activations of each latent together."""
        return sparse.csc_array(self.strength)

    def draw_latents(
        self, count: int, among: Int64[np.ndarray, " among"], generator: np.random.Generator
    ) -> Int64[np.ndarray, " latents"]:
        """So many latents, each as if it were active by itself with its odds (`log_odds`), given how many are.

        Odds are multiplied by what makes that number the expected one, which leaves the chances of sets of one size as
        they are among each other, and latents drawn independently until there are so many (Hajek 1964).

        Parameters
        ----------
        count
            How many, at most as many as there are to choose from.
        among
            Latents to choose from, each active in the corpus at least once.
        generator
            What is drawn from.

        Returns
        -------
        NDArray
            Shaped (latent,), ascending where `among` is.
        """
        if count in {0, len(among)}:
            return among[:count]
        odds = self.log_odds[among]
        chance = expit(odds + brentq(lambda by: float(expit(odds + by).sum()) - count, -100, 100))
        while True:
            drawn = np.flatnonzero(generator.random(len(among)) < chance)
            if len(drawn) == count:
                return among[drawn]

    def strengths_of(self, latent: int) -> Float32[np.ndarray, " fired"]:
        """How strong a latent is each time that it is active.

        Parameters
        ----------
        latent
            Its id.

        Returns
        -------
        NDArray
            Shaped (time,), in the order of the corpus.
        """
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
    """Of what is added to a prediction: mean 0, and the covariance by which that of errors exceeds that of predictions,
    so that both together have the errors' moments."""
    share: float
    """Of the errors' variance that is predicted of activations that are left out of the regression; negative where that
    is worse than their mean."""

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
        activation, codes, dictionary = fitting.corpus.activation, fitting.learned(Codes), fitting.dictionary
        parts = []
        with torch.no_grad():
            for start in range(0, len(codes.size), _ROWS_PER_BATCH):
                rows = slice(start, start + _ROWS_PER_BATCH)
                dense = torch.from_numpy(codes.strength[rows].toarray())
                made = dictionary.reconstructor(dense.to(dictionary.decoder)).cpu()
                if dictionary.frames is not None:
                    scale, mean = (each.cpu() for each in dictionary.frames(activation[rows]))
                    made = made * scale + mean
                parts.append(made)
        seen = torch.cat(parts).double().numpy()
        error = activation.double().numpy() - seen
        line, without = regress(seen, error)
        plain = Gaussian.fit(torch.from_numpy(error))
        # with a ridge residuals go together with predictions, and theirs is not what is missing
        missing = plain.covariance - Gaussian.fit(torch.from_numpy(line(seen))).covariance
        spread = float(plain.covariance.trace()) * len(error)
        share = 1 - float(np.square(error - without).sum()) / spread if spread else 0.0
        return cls(plain, line, Gaussian(torch.zeros_like(plain.mean), missing), share)


class Learned(Protocol):
    """What is learned from a corpus: a dataclass of arrays.

    A class whose learning takes minutes may say `slow = True`. What it learns is then kept in this machine's cache
    (`plateaulens.cache`): its fields are all NumPy arrays, and its attribute `after` has the classes of what else it
    learns from.
    """

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
        self._digests: dict[type[Any], str] = {}

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
            self._learned[what] = self._kept(what) if getattr(what, "slow", False) else what.fit(self)
        found: LearnedT = self._learned[what]
        return found

    @cached_property
    def held_out(self) -> Bool[np.ndarray, " corpus"]:
        """Which activations are held out where what is learned is judged: a tenth, drawn in runs of neighbours.

        Neighbours may be tokens of one prompt, which say much of each other.

        Raises
        ------
        UsageError
            When there is a single activation.
        """
        count = len(self.corpus.token)
        if count == 1:
            raise UsageError("types are fitted to a single activation, which leaves none to judge by; supply more")
        run = np.arange(count) // max(1, min(_NEIGHBOURS, count // 20))
        runs = int(run[-1]) + 1
        return np.isin(run, self.generator("held out").choice(runs, max(1, runs // 10), replace=False))

    def _kept(self, what: type[LearnedT]) -> LearnedT:
        """What takes long to learn, from the cache where it is in it."""
        if cache.folder() is None:
            return what.fit(self)
        installed = versions()
        key = {
            "what": what.__qualname__,
            "from": self.identity(getattr(what, "after", ())),
            "seed": self._seed,
            "versions": {name: installed.get(name) for name in ("plateaulens", "torch", "numpy", "scipy")},
            "code": [cache.code_digest("targets"), source_of(what)],
            "threads": torch.get_num_threads(),
            "device": [platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability()],
        }
        if (found := _read(what, key)) is not None:
            return found
        made = what.fit(self)
        arrays = {own.name: np.array(getattr(made, own.name), order="C") for own in fields(cast("Any", made))}
        size = sum(each.nbytes for each in arrays.values())
        cache.keep(_KIND, key, size, lambda part: safetensors.numpy.save_file(arrays, part / _FILE))
        return made

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
        found = {"Corpus": self.corpus.digest}
        for each in learned:
            if each not in self._digests:
                self._digests[each] = _digest(self.learned(each))
            found[each.__name__] = self._digests[each]
        return found


def _read(what: type[LearnedT], key: cache.Key) -> LearnedT | None:
    place = cache.find(_KIND, key)
    if place is None:
        return None
    try:
        return what(**safetensors.numpy.load((place / _FILE).read_bytes()))
    except Exception:  # noqa: BLE001  removed at this moment, or not what safetensors wrote of this class
        cache.forget(_KIND, key)
        return None


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
        plain = np.asarray(what)
        assert plain.dtype.kind in "biuf", f"{type(what).__name__} has no bytes of its own"
        yield plain
