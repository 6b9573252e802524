"""`code_network`: codes drawn latent by latent, strongest first, by a network that has learned what follows what."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding, log_softmax, relu

from plateaulens.errors import UsageError
from plateaulens.progress import stage
from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.fitting import Codes, Fitting, Learned
from plateaulens.targets.registry import register

WIDTH = 64
"""Of what the network knows of a latent, where it reads it and where it chooses it."""
HIDDEN = 256
"""Units of each of its two layers."""
PIECES = 4
"""Of the mixture that a strength is drawn from."""
BATCHES = 1200
"""The most batches that it learns from; the learning rate falls to 0 over them."""
CODES_PER_BATCH = 64
CHOICES_PER_BATCH = 512
"""As many of a batch's choices, drawn among all of them, are learned from at once."""
RATE = 3e-3
"""Learning rate in the beginning."""
PATIENCE = 3
"""Learning ends when held-out choices have become no likelier so many times in a row; the best weights are kept."""
PRIOR = 0.5
"""What is added to the times that a latent is active and to those that it is not, where latents are independent."""
_LOOKS = 20
"""How many times in `BATCHES` held-out choices are looked at."""
_LOOKED_AT = 4096
"""How many of them."""
_EDGE = 1e-4
"""Of the range of a strength: how far inside it lies at least."""
_MARGIN = 0.01
"""How far beyond the log strengths that there are others may lie, in standard deviations of all."""
_SHARPEST = -4.0
"""The least log standard deviation of a Gaussian of the mixture: a strength that is always the same has no density."""
_NARROWEST = 1e-3
"""The least range that a strength has, in standard deviations of log strengths."""


@dataclass(frozen=True, eq=False)
class NextLatent:
    """A network that says of the latents so far which one is next, or that there is none, and how strong it is.

    Latents come in the order of falling strength, so that every code is told in one way, and its density is the product
    of that of its choices and strengths. What the network is told of the latents so far is the sum of an embedding of
    each, moved in proportion to its log strength, over sqrt(1 + how many); the embeddings of the strongest and of the
    last; how many there are; and the last log strength. It has two layers, and chooses among the latents that are not
    in use. The place of the log strength between the least of all and the last one has, through the logit, a mixture of
    Gaussians that depends on the latent.

    It learns by Adam from drawn choices of drawn codes. Codes held out say when to stop, and how likely codes are that
    it has not learned from: that they were looked at for the first makes little of the second.
    """

    latent: Int64[np.ndarray, " known"]
    """Those that are active in the corpus, ascending: the network counts latents by their place here."""
    scale: Float64[np.ndarray, "4"]
    """Mean and standard deviation of log strengths, and in units of these the least and the greatest."""
    longest: Int64[np.ndarray, ""]
    """No code has more latents."""
    read: Float32[np.ndarray, "known width"]
    read_strength: Float32[np.ndarray, "known width"]
    """What is added to `read`, times the log strength in units of `scale`."""
    first: Float32[np.ndarray, "inputs hidden"]
    first_bias: Float32[np.ndarray, " hidden"]
    second: Float32[np.ndarray, "hidden hidden"]
    second_bias: Float32[np.ndarray, " hidden"]
    choose: Float32[np.ndarray, "hidden width"]
    chosen: Float32[np.ndarray, "known_and_end width"]
    """The last one ends the code."""
    chosen_bias: Float32[np.ndarray, " known_and_end"]
    how: Float32[np.ndarray, "hidden width"]
    how_chosen: Float32[np.ndarray, "known width"]
    """How what the strength depends on depends on the latent."""
    strength: Float32[np.ndarray, "width pieces_of_3"]
    strength_bias: Float32[np.ndarray, " pieces_of_3"]
    """Log weights, means and log standard deviations of the mixture."""
    looks: Float64[np.ndarray, " looks"]
    """Mean log likelihood of a held-out choice and its strength, each time that it was looked at (nats)."""
    held_out: Float64[np.ndarray, ""]
    """Mean log likelihood of a held-out code, a density over log strengths (nats)."""
    held_out_independent: Float64[np.ndarray, ""]
    """The same where latents are independent, active as often as they are, and log strengths Gaussian for each."""
    slow: ClassVar = True
    """See `plateaulens.targets.fitting.Learned`."""
    after: ClassVar[tuple[type[Learned], ...]] = (Codes,)

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """By stochastic gradient descent; raises `UsageError` where an active latent has a strength below 0.

        See `plateaulens.targets.fitting.Learned.fit`.
        """
        codes = fitting.learned(Codes)
        told = _Told.of(codes)
        rows, judged = np.flatnonzero(~fitting.held_out), np.flatnonzero(fitting.held_out)
        seed = int(fitting.generator("code network").integers(2**63))
        with torch.inference_mode(mode=False), torch.enable_grad():
            weights, looks = _trained(told, rows, judged, torch.Generator().manual_seed(seed))
            held_out = _likelihood(weights, told, judged)
        return cls(
            latent=told.latent,
            scale=told.scale,
            longest=np.array(told.longest),
            **{name: value.numpy().copy() for name, value in weights._asdict().items()},
            looks=np.array(looks),
            held_out=np.array(held_out),
            held_out_independent=np.array(_independent_likelihood(told, rows, judged)),
        )

    def draw(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """One code.

        Parameters
        ----------
        generator
            What every latent and strength is drawn from.

        Returns
        -------
        NDArray, NDArray
            Latents, ascending and each once, and their strengths; both shaped (active,).
        """
        mean, deviation, low, last = self.scale
        places: list[int] = []
        strengths: list[float] = []
        while len(places) < self.longest:
            hidden = self.hidden(places, strengths)
            chance = np.exp(self.log_chances(hidden, places)).cumsum()
            place = int(np.searchsorted(chance, generator.random() * chance[-1], side="right"))
            if place == len(self.latent):
                break
            weight, middle, spread = self.pieces(hidden, place)
            piece = int(np.searchsorted(weight.cumsum(), generator.random() * weight.sum(), side="right"))
            position = 1 / (1 + np.exp(-(middle[piece] + spread[piece] * generator.standard_normal())))
            last = low + position * (last - low)
            places.append(place)
            strengths.append(float(last))
        latent = self.latent[np.array(places, dtype=np.int64)]
        strength = np.exp(mean + deviation * np.array(strengths)).astype(np.float32)
        order = np.argsort(latent)
        return latent[order], strength[order]

    def hidden(self, places: list[int], strengths: list[float]) -> Float32[np.ndarray, " hidden"]:
        """What the network makes of the latents so far.

        Parameters
        ----------
        places
            Places of the latents in `latent`, strongest first.
        strengths
            Their log strengths in units of `scale`.

        Returns
        -------
        NDArray
            Shaped (hidden,).
        """
        count = len(places)
        seen = np.zeros((1, self.read.shape[1]), dtype=np.float32)
        if count:
            scaled = np.array(strengths, dtype=np.float32)[:, np.newaxis]
            seen = self.read[places] + scaled * self.read_strength[places]
        last = np.float32(strengths[-1] if count else self.scale[3])
        beside = np.array([np.log1p(count), last], dtype=np.float32)
        inputs = np.concatenate([seen.sum(axis=0) / np.float32(np.sqrt(1 + count)), seen[0], seen[-1], beside])
        one = np.maximum(inputs @ self.first + self.first_bias, 0)
        return np.asarray(one + np.maximum(one @ self.second + self.second_bias, 0))

    def log_chances(
        self, hidden: Float32[np.ndarray, " hidden"], places: list[int]
    ) -> Float64[np.ndarray, " known_and_end"]:
        """How likely each latent is the next one, and in the last place that there is none.

        Parameters
        ----------
        hidden
            What the network made of the latents so far.
        places
            Their places, which are not chosen again.

        Returns
        -------
        NDArray
            Log probabilities.
        """
        score = (self.chosen @ (hidden @ self.choose) + self.chosen_bias).astype(np.float64)
        score[places] = -np.inf
        score -= score.max()
        return np.asarray(score - np.log(np.exp(score).sum()))

    def pieces(
        self, hidden: Float32[np.ndarray, " hidden"], place: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The mixture that the strength of the chosen latent has.

        Parameters
        ----------
        hidden
            What the network made of the latents before it.
        place
            Its place.

        Returns
        -------
        NDArray, NDArray, NDArray
            Weights, means and standard deviations, each shaped (piece,), of the logit of the place of the log strength
            between the least one and the last.
        """
        basis = np.maximum(hidden @ self.how + self.how_chosen[place], 0)
        weight, middle, spread = (basis @ self.strength + self.strength_bias).astype(np.float64).reshape(3, -1)
        return np.exp(weight - np.logaddexp.reduce(weight)), middle, np.exp(np.maximum(spread, _SHARPEST))


@register
class CodeNetwork(CodeType):
    """A code drawn latent by latent, strongest first, each given all before it, by a network that learned real codes.

    See `NextLatent`.
    """

    name = "code_network"
    definition = "latents and strengths drawn one after the other by a network that learned real codes"
    needs_sae = True
    learns = (Codes, NextLatent)

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code, which depends on the base by its scale only, where the SAE has one for each activation.

        See `plateaulens.targets.base.CodeType.code`.
        """
        latent, strength = context.learned(NextLatent).draw(generator)
        return Code(latent, strength, base.frame)


class _Told(NamedTuple):
    """Codes as the network is told them, one after the other, strongest latents first."""

    latent: NDArray[np.int64]
    scale: NDArray[np.float64]
    longest: int
    place: NDArray[np.int64]
    strength: NDArray[np.float32]
    """Logarithms, in units of `scale`."""
    start: NDArray[np.int64]
    """Where each code begins, and where the last one ends."""

    @classmethod
    def of(cls, codes: Codes) -> Self:
        held = codes.strength
        if held.data.min() < 0:
            raise UsageError(
                "a latent of the SAE has a strength below 0, which code_network cannot draw; leave the type out"
            )
        row = np.repeat(np.arange(len(codes.size)), codes.size)
        order = np.lexsort((held.indices, -held.data, row))
        logarithm = np.log(held.data[order].astype(np.float64))
        mean, deviation = logarithm.mean(), max(float(logarithm.std()), 1e-6)
        scaled = (logarithm - mean) / deviation
        scale = np.array([mean, deviation, scaled.min() - _MARGIN, scaled.max() + _MARGIN])
        place = np.searchsorted(codes.fired, held.indices[order])
        start = np.append(0, codes.size.cumsum())
        return cls(codes.fired, scale, int(codes.size.max()), place, scaled.astype(np.float32), start)

    def batch(self, rows: NDArray[np.int64]) -> "_Batch":
        """Some codes, with all their choices."""
        size = self.start[rows + 1] - self.start[rows]
        begin = np.append(0, size.cumsum())[:-1]
        flat = np.arange(size.sum()) + np.repeat(self.start[rows] - begin, size)
        code = np.repeat(np.arange(len(rows)), size + 1)
        count = np.arange(len(code)) - np.repeat(begin + np.arange(len(rows)), size + 1)
        return _Batch(
            torch.from_numpy(self.place[flat]),
            torch.from_numpy(self.strength[flat]),
            torch.from_numpy(begin[code]),
            torch.from_numpy(count),
            torch.from_numpy(count == size[code]),
            self.longest,
            (float(self.scale[2]), float(self.scale[3])),
        )


class _Batch(NamedTuple):
    place: Tensor
    strength: Tensor
    begin: Tensor
    """Of the code that each choice belongs to."""
    so_far: Tensor
    """How many latents there are before it."""
    ends: Tensor
    longest: int
    between: tuple[float, float]

    def only(self, choices: Tensor) -> "_Batch":
        """The same codes with some of their choices."""
        return self._replace(begin=self.begin[choices], so_far=self.so_far[choices], ends=self.ends[choices])


class _Weights(NamedTuple):
    """Those of `NextLatent`."""

    read: Tensor
    read_strength: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    choose: Tensor
    chosen: Tensor
    chosen_bias: Tensor
    how: Tensor
    how_chosen: Tensor
    strength: Tensor
    strength_bias: Tensor

    @classmethod
    def drawn(cls, frequency: NDArray[np.float64], generator: torch.Generator) -> Self:
        """As it is before it has learned: it chooses latents by how often they are chosen."""
        known, inputs = len(frequency) - 1, 3 * WIDTH + 2

        def normal(*shape: int, spread: float) -> Tensor:
            return torch.randn(shape, generator=generator) * spread

        logits = torch.zeros(3, PIECES)
        logits[1] = torch.linspace(-1, 3, PIECES)
        return cls(
            read=normal(known, WIDTH, spread=0.3),
            read_strength=normal(known, WIDTH, spread=0.1),
            first=normal(inputs, HIDDEN, spread=(2 / inputs) ** 0.5),
            first_bias=torch.zeros(HIDDEN),
            second=normal(HIDDEN, HIDDEN, spread=(1 / HIDDEN) ** 0.5),
            second_bias=torch.zeros(HIDDEN),
            choose=normal(HIDDEN, WIDTH, spread=(1 / HIDDEN) ** 0.5),
            chosen=normal(known + 1, WIDTH, spread=0.05),
            chosen_bias=torch.from_numpy(np.log(frequency)).float(),
            how=normal(HIDDEN, WIDTH, spread=(1 / HIDDEN) ** 0.5),
            how_chosen=normal(known, WIDTH, spread=0.1),
            strength=normal(WIDTH, 3 * PIECES, spread=0.05),
            strength_bias=logits.flatten(),
        )

    def log_likelihood(self, batch: _Batch) -> Tensor:
        """Of each choice and the strength that goes with it, shaped (choice,)."""
        seen = embedding(batch.place, self.read) + batch.strength[:, None] * embedding(batch.place, self.read_strength)
        nothing = seen.new_zeros(1, seen.shape[1])
        seen = torch.cat([nothing, seen])  # the one before each place
        at, begun = batch.begin + batch.so_far, (batch.so_far > 0)[:, None]
        sums = seen.cumsum(dim=0)
        total = (embedding(at, sums) - embedding(batch.begin, sums)) / (1 + batch.so_far[:, None]).sqrt()
        strongest = torch.where(begun, embedding((batch.begin + 1).clamp(max=len(seen) - 1), seen), 0.0)
        latest = torch.where(begun, embedding(at, seen), 0.0)
        low, high = batch.between
        before = torch.cat([batch.strength.new_full((1,), high), batch.strength])
        last = torch.where(batch.so_far > 0, before[at], high)
        beside = torch.stack([batch.so_far.float().log1p(), last], dim=1)
        one = relu(torch.cat([total, strongest, latest, beside], dim=1) @ self.first + self.first_bias)
        hidden = one + relu(one @ self.second + self.second_bias)

        known = len(self.read)
        following = torch.cat([batch.place, batch.place.new_zeros(1)])[at]
        score = torch.addmm(self.chosen_bias, hidden @ self.choose, self.chosen.T)
        used = torch.repeat_interleave(torch.arange(len(at)), batch.so_far)
        within = torch.arange(len(used)) - torch.repeat_interleave(batch.so_far.cumsum(0) - batch.so_far, batch.so_far)
        score[used, batch.place[batch.begin[used] + within]] = -torch.inf
        found = -cross_entropy(score, torch.where(batch.ends, known, following), reduction="none")
        found = torch.where(batch.so_far < batch.longest, found, 0.0)

        # a density over log strengths in units of the scale; an end has none
        range_ = (last - low).clamp(min=_NARROWEST)
        own = torch.cat([batch.strength, batch.strength.new_zeros(1)])[at]
        position = ((own - low) / range_).clamp(_EDGE, 1 - _EDGE)
        basis = relu(hidden @ self.how + embedding(following, self.how_chosen))
        weight, middle, spread = (basis @ self.strength + self.strength_bias).unflatten(1, (3, -1)).unbind(1)
        spread = spread.clamp(min=_SHARPEST)
        away = (position.logit()[:, None] - middle) * (-spread).exp()
        density = torch.logsumexp(log_softmax(weight, dim=1) - spread - 0.5 * away.square(), dim=1)
        density = density - 0.5 * np.log(2 * np.pi) - (position * (1 - position) * range_).log()
        return found + torch.where(batch.ends, 0.0, density)


def _trained(
    told: _Told, rows: NDArray[np.int64], judged: NDArray[np.int64], generator: torch.Generator
) -> tuple[_Weights, list[float]]:
    """The weights under which held-out choices are likeliest, and how likely they were each time."""
    known = len(told.latent)
    places = np.concatenate([told.place[told.start[row] : told.start[row + 1]] for row in rows])
    times = np.bincount(places, minlength=known + 1) + PRIOR
    times[known] += len(rows)
    weights = _Weights(*(each.requires_grad_() for each in _Weights.drawn(times / times.sum(), generator)))
    optimizer = torch.optim.Adam(weights, lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda turn: min(1, turn / 50) * (1 - turn / BATCHES))
    looked_at = told.batch(judged[torch.randperm(len(judged), generator=generator)[:_LOOKED_AT].numpy()])
    looked_at = looked_at.only(torch.randperm(len(looked_at.so_far), generator=generator)[:_LOOKED_AT])
    best, looks, behind = weights, [-np.inf], 0
    for turn, batch in enumerate(_batches(told, rows, generator)):
        if turn % (BATCHES // _LOOKS) == 0:
            looks.append(float(_each(weights, looked_at).mean()))
            stage(f"network of codes: batch {turn:,} of {BATCHES:,}, {looks[-1]:.3f} nats a held-out choice")
            behind = 0 if looks[-1] > max(looks[:-1]) else behind + 1
            if behind == 0:
                best = _Weights(*(each.detach().clone() for each in weights))
            if turn == BATCHES or behind == PATIENCE:
                break
        loss = -weights.log_likelihood(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    return best, looks[1:]


def _batches(told: _Told, rows: NDArray[np.int64], generator: torch.Generator) -> Iterator[_Batch]:
    """Endless: every code once, and again in another order; of each batch's choices some."""
    while True:
        for part in torch.randperm(len(rows), generator=generator).split(CODES_PER_BATCH):
            batch = told.batch(rows[part.numpy()])
            yield batch.only(torch.randperm(len(batch.so_far), generator=generator)[:CHOICES_PER_BATCH])


@torch.no_grad()
def _each(weights: _Weights, batch: _Batch) -> NDArray[np.float64]:
    """The log likelihood of each choice, few at once."""
    parts = torch.arange(len(batch.so_far)).split(CHOICES_PER_BATCH)
    return np.concatenate([weights.log_likelihood(batch.only(part)).double().numpy() for part in parts])


def _likelihood(weights: _Weights, told: _Told, rows: NDArray[np.int64]) -> float:
    """Mean log likelihood of some codes, a density over log strengths."""
    parts = np.array_split(rows, -(-len(rows) // CODES_PER_BATCH))
    total = sum(float(_each(weights, told.batch(part)).sum()) for part in parts)
    size = told.start[rows + 1] - told.start[rows]
    return total / len(rows) - float(size.mean() * np.log(told.scale[1]))


def _independent_likelihood(told: _Told, rows: NDArray[np.int64], judged: NDArray[np.int64]) -> float:
    """The same where latents are independent and the log strength of each is Gaussian.

    The moments of a latent's log strengths are those of all latents' as if it had been active twice more with these.
    """
    known = len(told.latent)

    def flat(which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        spans = [slice(told.start[row], told.start[row + 1]) for row in which]
        return (
            np.concatenate([told.place[span] for span in spans]),
            np.concatenate([told.strength[span] for span in spans]).astype(np.float64),
        )

    place, strength = flat(rows)
    times = np.bincount(place, minlength=known)
    chance = (times + PRIOR) / (len(rows) + 2 * PRIOR)
    mean = (np.bincount(place, strength, known) + 2 * strength.mean()) / (times + 2)
    apart = np.bincount(place, np.square(strength - mean[place]), known)
    variance = (apart + 2 * max(strength.var(), 1e-6)) / (times + 2)
    place, strength = flat(judged)
    on = np.log(chance) - np.log1p(-chance) - 0.5 * np.log(2 * np.pi * variance)
    each = on[place] - 0.5 * np.square(strength - mean[place]) / variance[place] - np.log(told.scale[1])
    return float(np.log1p(-chance).sum() + each.sum() / len(judged))
