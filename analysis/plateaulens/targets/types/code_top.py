"""`code_top`, `code_copula`: a top latent, the latents that are active with it, and how strong they are then."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtr

from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.fitting import Codes, Fitting
from plateaulens.targets.registry import register

PRIOR = 2.0
"""So many activations a latent's frequency everywhere counts for, beside those with a given top latent."""
_PLACES = 16
"""How many others an activation is compared with, at most, to see which strengths go together."""


@dataclass(frozen=True, eq=False)
class Tops:
    """Which activations of a corpus have which top latent, and what else is then active."""

    row: Int64[np.ndarray, " rows"]
    """Rows of the corpus, those of one top latent together."""
    start: Int64[np.ndarray, " tops_and_end"]
    """Where the rows of each begin, and where the last ones end."""
    latent: Int64[np.ndarray, " tops"]

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """The rows by top latent, without those in which none is active. See `Learned.fit`."""
        top = fitting.learned(Codes).top
        order = np.argsort(top, kind="stable")
        order = order[top[order] >= 0]
        latent, start = np.unique(top[order], return_index=True)
        return cls(order, np.append(start, len(order)), latent)

    @cached_property
    def _beside(self) -> dict[int, sparse.csc_array]:
        """Codes of the activations of top latents that were drawn before, by latent."""
        return {}

    def draw(
        self, codes: Codes, generator: np.random.Generator, among: Int64[np.ndarray, " among"] | None = None
    ) -> "Fired":
        """A top latent, drawn as often as the corpus has it, and latents that are active beside it.

        Each other latent is active by itself with the probability (c + PRIOR f) / (n + PRIOR): of the n activations
        with this top latent c have it, and f is its frequency everywhere, which seldom tops lean on.

        Parameters
        ----------
        codes
            Those that this was fitted to.
        generator
            What is drawn from.
        among
            Rows of the corpus with active latents, among which the top latents are counted; None or none for all.

        Returns
        -------
        Fired
            The top latent among those that are active.
        """
        if among is not None and len(among):
            place = int(np.searchsorted(self.latent, codes.top[among[generator.integers(len(among))]]))
        else:
            place = int(np.searchsorted(self.start, generator.integers(len(self.row)), side="right")) - 1
        rows = self.row[self.start[place] : self.start[place + 1]]
        beside = self._beside.get(place)
        if beside is None:
            beside = self._beside[place] = codes.strength[rows].tocsc()
        count = np.diff(beside.indptr)
        chance = (count + PRIOR * codes.frequency) / (len(rows) + PRIOR)
        chance[self.latent[place]] = 1.0
        latent = np.flatnonzero(generator.random(len(chance)) < chance)

        def strengths_of(each: int) -> NDArray[np.float32]:
            own = np.asarray(beside.data[beside.indptr[each] : beside.indptr[each + 1]], dtype=np.float32)
            return own if own.size else codes.strengths_of(each)

        return Fired(int(self.latent[place]), latent, strengths_of)


@dataclass(frozen=True, eq=False)
class Fired:
    """Latents that are active together."""

    top: int
    latent: Int64[np.ndarray, " active"]
    """The top one among them, ascending."""
    strengths_of: Callable[[int], Float32[np.ndarray, " times"]]
    """How strong one of them was beside this top latent, or anywhere where it was never beside it."""


@register
class CodeTop(CodeType):
    """A top latent drawn as often as it is one, others by how often they are active beside it, strengths as there.

    Given the top latent the others are independent of each other, and all strengths are independent. With the base's
    own token (`TargetContext.own_token`) the top latent is drawn as often as it is that of activations with this token,
    where any latent is active on one.
    """

    name = "code_top"
    definition = "a top latent, others drawn by how often they are active with it, each as strong as it is then"
    needs_sae = True
    learns: tuple[type, ...] = (Codes, Tops)

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code, which depends on the base by its token at most, and by its scale where the SAE has one.

        See `plateaulens.targets.base.CodeType.code`.
        """
        own = _active(base, context) if context.own_token else None
        fired = context.learned(Tops).draw(context.learned(Codes), generator, own)
        strength = self._strengths(fired, context, generator)
        return Code(fired.latent, strength, base.frame)

    def has_own_token(self, base: Base, context: TargetContext) -> bool:
        """Whether a latent is active where the base's token is. See `plateaulens.targets.base.ChoosesToken`."""
        return len(_active(base, context)) > 0

    def _strengths(
        self, fired: Fired, context: TargetContext, generator: np.random.Generator
    ) -> Float32[np.ndarray, " active"]:
        """One for each latent, drawn from those that it had."""
        del context
        drawn = [generator.choice(fired.strengths_of(int(latent))) for latent in fired.latent]
        return np.array(drawn, dtype=np.float32)


def _active(base: Base, context: TargetContext) -> Int64[np.ndarray, " rows"]:
    """The activations of the corpus that have the base's token and an active latent."""
    rows = context.rows_of(base)
    active: Int64[np.ndarray, " rows"] = rows[context.learned(Codes).size[rows] > 0]
    return active


@dataclass(frozen=True, eq=False)
class Copula:
    """How strengths of latents that are active together go together."""

    correlation: Float64[np.ndarray, ""]
    """Of the normal scores of a latent's strength and its top latent's, each ranked among those beside that top."""

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """One correlation for all pairs of a top latent and one active beside it.

        Two activations with the same top latent agree about another latent that both have when it is stronger where the
        top one is. Kendall's t is the share of those that agree less that of those that disagree, and a Gaussian copula
        has the correlation sin(pi t / 2) (Greiner 1909), whether many or two activations share a top latent. Compared
        are activations that follow each other among those of a top latent in a random order, up to 16 places on.

        See `plateaulens.targets.fitting.Learned.fit`.
        """
        codes, tops = fitting.learned(Codes), fitting.learned(Tops)
        generator = fitting.generator("pairs of activations with the same top latent")
        row, end = tops.row.copy(), np.repeat(tops.start[1:], np.diff(tops.start))
        for start, stop in zip(tops.start[:-1], tops.start[1:], strict=True):
            row[start:stop] = generator.permutation(row[start:stop])
        strongest = np.array([codes.code(each).activation.max() for each in row.tolist()])
        agree, compared = 0.0, 0
        for step in range(1, _PLACES + 1):
            first = np.flatnonzero(np.arange(len(row)) + step < end)
            one, two = codes.strength[row[first]], codes.strength[row[first + step]]
            differ = ((one - two).multiply(one.multiply(two) != 0)).tocoo()
            side = np.sign(strongest[first] - strongest[first + step])[differ.coords[0]]
            is_other = differ.coords[1] != codes.top[row[first]][differ.coords[0]]
            signs = (np.sign(differ.data) * side)[is_other]
            agree, compared = agree + float(signs.sum()), compared + int((signs != 0).sum())
        return cls(np.array(np.sin(np.pi / 2 * agree / compared) if compared else 0.0))


@register
class CodeCopula(CodeTop):
    """`code_top` with strengths that go together: by a Gaussian copula with one factor, the top latent's strength.

    Each latent keeps the distribution of its own strengths. The normal score of the top latent's is z, that of another
    r z + sqrt(1 - r^2) e, e standard normal, with r as `Copula` has it.
    """

    name = "code_copula"
    definition = "as code_top, with strengths correlated as real ones are with the top latent's"
    learns = (Codes, Tops, Copula)

    def _strengths(
        self, fired: Fired, context: TargetContext, generator: np.random.Generator
    ) -> Float32[np.ndarray, " active"]:
        """One for each latent, at the quantile that its score gives."""
        correlation = float(context.learned(Copula).correlation)
        factor = generator.standard_normal()
        score = correlation * factor + np.sqrt(1 - correlation**2) * generator.standard_normal(len(fired.latent))
        score[fired.latent == fired.top] = factor
        quantile = ndtr(score)
        drawn = [
            np.quantile(fired.strengths_of(int(latent)), level, method="inverted_cdf")
            for latent, level in zip(fired.latent, quantile, strict=True)
        ]
        return np.array(drawn, dtype=np.float32)
