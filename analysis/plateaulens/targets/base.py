"""Activation types: what they start from, what they return, and what a type is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from plateaulens.config import TargetConfig, VariantConfig
from plateaulens.errors import UsageError
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.fitting import Corpus, Fitting, Learned, LearnedT
from plateaulens.targets.gaussian import Gaussian
from plateaulens.targets.randomness import generator

SYNTHETIC = -1
"""Source row of a target that is not the activation of any prompt."""
_LAST_ROW = int(np.iinfo(np.int32).max)
"""The highest row that can be stored."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The real activations that targets and statistics come from: one per prompt, at its write site and token.

    Raises
    ------
    UsageError
        When it is empty or when a value is not finite.
    """

    activation: Float[Tensor, "pool d_model"]
    row: Int64[np.ndarray, " pool"]
    """Row of the prompt file that each activation belongs to."""
    token: Int64[np.ndarray, " pool"] | None = None
    """The token that each is the activation of, where that is known."""

    def __post_init__(self) -> None:
        assert self.row.shape == self.activation.shape[:1]
        assert self.token is None or self.token.shape == self.row.shape
        if not len(self.row):
            raise UsageError("the pool of real activations is empty; supply more prompts")
        wrong = self.row[~self.activation.isfinite().all(dim=1).cpu().numpy()]
        if wrong.size:
            raise UsageError(
                f"the real activation of prompt row {wrong[0]} is not finite ({wrong.size} such rows); "
                f"check the model's weights and dtype"
            )

    @cached_property
    def gaussian(self) -> Gaussian:
        """Mean and covariance of the activations."""
        return Gaussian.fit(self.activation)

    def at(self, rows: Int64[np.ndarray, " rows"]) -> Float[Tensor, "rows d_model"]:
        """The activations of some prompts.

        Parameters
        ----------
        rows
            Rows of the prompt file, each in the pool, shaped (row,).

        Returns
        -------
        Tensor
            Shaped (row, d_model).
        """
        place = np.searchsorted(self.row, rows)
        assert (self.row[place] == rows).all(), "rows of the pool are in order, and hold these"
        return self.activation[torch.from_numpy(place)]

    def token_of(self, row: int) -> int | None:
        """The token of one prompt's activation.

        Parameters
        ----------
        row
            Of the prompt file.

        Returns
        -------
        int or None
            None where it is not known.
        """
        place = int(np.searchsorted(self.row, row))
        is_known = self.token is not None and place < len(self.row) and self.row[place] == row
        return int(self.token[place]) if self.token is not None and is_known else None


@dataclass(frozen=True, eq=False)
class Base:
    """One base activation A, and the sample and prompt it belongs to."""

    activation: Float[Tensor, " d_model"]
    sample: int
    """Its number in the run."""
    row: int
    """Row of the prompt file."""
    encoded: Code | None = None
    """The SAE code of A, when the run has an SAE."""
    token: int | None = None
    """The token of the prompt that A is the activation of, where it is known."""

    def copy(self) -> "Base":
        """The same base in memory of its own, for code that may change it in place.

        Returns
        -------
        Base
            Equal in every value.
        """
        code = self.encoded
        copied = None if code is None else replace(code, latent=code.latent.copy(), activation=code.activation.copy())
        return replace(self, activation=self.activation.clone(), encoded=copied)

    @property
    def code(self) -> Code:
        """A's SAE code.

        Raises
        ------
        UsageError
            When the run has no SAE.
        """
        if self.encoded is None:
            raise UsageError("needs an SAE, and the run has none; add an [sae] section to the preset")
        return self.encoded

    @property
    def frame(self) -> tuple[float, float] | None:
        """The scale and mean that the SAE takes out of A, for codes of its own; None where it takes none."""
        return None if self.encoded is None else self.encoded.frame


class Target(NamedTuple):
    """One target activation T, and the rows of the prompt file that it came from."""

    activation: Float[Tensor, " d_model"]
    source_row: int = SYNTHETIC
    """Of the prompt whose activation it is, or the reconstruction of."""
    mixed_rows: tuple[int, ...] = ()
    """Of the prompts whose activations it is made of, as many as the type's `mixes` says: base prompts with one of them
    in common are not independent."""

    @classmethod
    def of(cls, made: Any, d_model: int, mixed: int) -> "Target":
        """What a recipe returned, when it can be stored.

        Parameters
        ----------
        made
            A target or its activation; anything, as it may be a user's.
        d_model
            How many values an activation has.
        mixed
            How many mixed rows it is to have, by its type's `mixes`.

        Returns
        -------
        Target
            With a row that is an int.

        Raises
        ------
        UsageError
            That says what came and what is wanted.
        """
        row: Any = SYNTHETIC
        rows: Any = ()
        activation = made
        if isinstance(made, Target):
            activation, row, rows = made
        if came := _unfit(activation, d_model):
            raise UsageError(
                f"the target is {came}; return a torch tensor of {d_model} finite real floating-point numbers, shaped "
                f"({d_model},), or a Target of one"
            )
        if not _is_row(row, SYNTHETIC):
            raise UsageError(
                f"the target's source_row is {row!r}; give the row of a prompt, an integer from 0 to {_LAST_ROW}, or "
                "leave it out"
            )
        if not isinstance(rows, tuple) or not all(_is_row(each, 0) for each in rows):
            raise UsageError(
                f"the target's mixed_rows are {rows!r}; give a tuple of rows of prompts, integers from 0 to "
                f"{_LAST_ROW}, or leave it out"
            )
        if len(rows) != mixed:
            raise UsageError(
                f"the target has {len(rows)} mixed_rows and its type says mixes = {mixed}: give the class or function "
                "the attribute `mixes`, the number of prompts that every target is made of"
            )
        return cls(activation, int(row), tuple(int(each) for each in rows))


def _is_row(row: Any, lowest: int) -> bool:
    return isinstance(row, int | np.integer) and not isinstance(row, bool) and bool(lowest <= row <= _LAST_ROW)


def _unfit(activation: Any, d_model: int) -> str:
    """What is wrong with a target's activation, empty for nothing."""
    if isinstance(activation, np.ndarray):
        return "a NumPy array (torch.from_numpy makes a tensor of it)"
    if not isinstance(activation, Tensor):
        return "None" if activation is None else f"of type {type(activation).__name__}"
    if activation.shape != (d_model,):
        return f"a tensor of shape {tuple(activation.shape)}"
    if not activation.is_floating_point():
        return f"a tensor of {activation.dtype}"
    if activation.layout != torch.strided or activation.is_meta:
        return f"a tensor without plain values (layout {activation.layout}, device {activation.device})"
    return ""


@dataclass(frozen=True, eq=False)
class TargetContext:
    """Everything beside the base that a target may depend on; statistics are computed when first asked for."""

    pool: Pool
    config: TargetConfig
    """The constants of the recipes."""
    seed: int
    """The run's seed."""
    dictionary: Dictionary | None = None
    """The SAE, or what a variant has in its place; None in a run without."""
    fitting: Fitting | None = None
    """What fitted types learn from; None in a run without any."""
    own_token: bool = False
    """Whether a type that chooses a token is to choose the base's own, see `ChoosesToken`."""
    _varied: dict[VariantConfig, "TargetContext"] = field(default_factory=dict, init=False, repr=False)

    @property
    def sae(self) -> Dictionary:
        """The dictionary.

        Raises
        ------
        UsageError
            When the run has no SAE.
        """
        if self.dictionary is None:
            raise UsageError("needs an SAE, and the run has none; add an [sae] section to the preset")
        return self.dictionary

    @property
    def gaussian(self) -> Gaussian:
        """Mean and covariance of the pool."""
        return self.pool.gaussian

    def learned(self, what: type[LearnedT]) -> LearnedT:
        """What a fitted type has learned from real activations of other prompts.

        Parameters
        ----------
        what
            The class of what is learned.

        Returns
        -------
        Learned
            Of this context's dictionary, if it depends on one.

        Raises
        ------
        UsageError
            When there is nothing to learn from.
        """
        return self._fitting.learned(what)

    @property
    def corpus(self) -> Corpus:
        """The real activations of other prompts that fitted types learn from.

        Raises
        ------
        UsageError
            When there are none.
        """
        return self._fitting.corpus

    def rows_of(self, base: Base) -> Int64[np.ndarray, " rows"]:
        """The activations of the corpus that have the base's token.

        Parameters
        ----------
        base
            The base.

        Returns
        -------
        NDArray
            Rows of the corpus, ascending; none where no prompt that is set aside has the token.

        Raises
        ------
        UsageError
            When the base's token is not known.
        """
        return self.corpus.rows_of(own_token(base))

    @property
    def _fitting(self) -> Fitting:
        if self.fitting is None:
            raise UsageError("is fitted to real activations, and there are none set aside: collect a run with it")
        return self.fitting

    @cached_property
    def mean_code_norm(self) -> float:
        """Mean L2 norm of the pool's SAE codes, in units of SAE activation."""
        return self.sae.mean_code_norm(self.pool.activation)

    def varied(self, settings: VariantConfig) -> "TargetContext":
        """The same context with a variant's constants and dictionary; made once per variant.

        The random and the shuffled dictionary are fixed by the run's seed, and so the same one for all variants.

        Parameters
        ----------
        settings
            The variant's.

        Returns
        -------
        TargetContext
            With the same pool and seed.
        """
        if settings not in self._varied:
            dictionary = self.dictionary
            if settings.dictionary == "random":
                dictionary = self.sae.randomized(self.generator(0, "random dictionary"))
            elif settings.dictionary == "shuffled":
                dictionary = self.sae.shuffled(self.generator(0, "shuffled dictionary"))
            config = self.config.model_copy(update=settings.constants)
            fitting = self.fitting
            if fitting is not None and dictionary is not self.dictionary:
                fitting = fitting.with_dictionary(dictionary)
            self._varied[settings] = replace(
                self, config=config, dictionary=dictionary, fitting=fitting, own_token=settings.own_token
            )
        return self._varied[settings]

    def generator(self, sample: int, purpose: str) -> np.random.Generator:
        """The generator of one sample for one purpose.

        Parameters
        ----------
        sample
            The sample's number in the run.
        purpose
            An activation type's name, or any other text.

        Returns
        -------
        Generator
            That of `plateaulens.targets.randomness.generator` for the run's seed.
        """
        return generator(self.seed, sample, purpose)

    def bases(
        self, activation: Float[Tensor, "samples d_model"], sample: Sequence[int], row: Sequence[int]
    ) -> tuple[Base, ...]:
        """Base activations with their sample numbers and prompt rows, encoded once when there is an SAE.

        Parameters
        ----------
        activation
            The activations, shaped (sample, d_model).
        sample
            The samples' numbers in the run.
        row
            The rows of the prompt file that they belong to.

        Returns
        -------
        tuple of Base
            One for each sample.

        Raises
        ------
        UsageError
            That names the sample, when an activation or its code is not finite.
        """
        for index, finite in zip(sample, activation.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                raise UsageError(
                    f"sample {index}: the base activation is not finite; check the model's weights and dtype"
                )
        codes = [None] * len(activation) if self.dictionary is None else self.dictionary.encode_each(activation, sample)
        for index, code in zip(sample, codes, strict=True):
            if code is not None and not np.isfinite(code.activation).all():
                raise UsageError(
                    f"sample {index}: the SAE's code of the base activation is not finite; check its weights"
                )
        return tuple(
            Base(values, int(index), int(place), code, self.pool.token_of(int(place)))
            for values, index, place, code in zip(activation, sample, row, codes, strict=True)
        )


class ActivationType(Protocol):
    """A way of making a target activation for a base activation.

    A function is the whole of a type that a user adds, see `plateaulens.targets.registry.register`; a class with these
    members will do as well.

    Examples
    --------
    >>> from plateaulens.targets.registry import register
    >>> @register
    ... def opposite(base, context, rng):
    ...     return 2 * context.gaussian.mean - base.activation
    """

    name: str
    """Value of the `activation_type` coordinate."""
    needs_sae: bool
    """Whether it uses the SAE, so that a run without one refuses it at once."""

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The target of one base.

        Parameters
        ----------
        base
            The base activation A, its sample and its prompt.
        context
            Everything else that a target may depend on.
        generator
            What every random choice comes from.

        Returns
        -------
        Target
            The activation, shaped (d_model,), and the row of the prompt that it came from, if there is one.

        Raises
        ------
        UsageError
            Where no target can be made; `draw` adds the type and the sample to its message.
        """
        ...


@runtime_checkable
class ChoosesToken(Protocol):
    """A type that makes activations of a token which it chooses: the base's own where `TargetContext.own_token` is set.

    Where there is nothing to make an activation of that token from, it chooses as it does else.
    """

    def has_own_token(self, base: Base, context: TargetContext) -> bool:
        """Whether a target of the base's own token can be made.

        Parameters
        ----------
        base
            The base, whose code is not asked for.
        context
            Everything else that a target may depend on.

        Returns
        -------
        bool
            False where the type chooses another token whatever it is told.

        Raises
        ------
        UsageError
            When the base's token is not known.
        """
        ...


def own_token(base: Base) -> int:
    """The token of a base.

    Parameters
    ----------
    base
        The base.

    Returns
    -------
    int
        Its token id.

    Raises
    ------
    UsageError
        When it is not known.
    """
    if base.token is None:
        raise UsageError("needs the token of the base, and it is not known; leave out `own_token`")
    return base.token


@runtime_checkable
class Together(Protocol):
    """A type that ships and makes many targets more quickly than one by one: to the last bit the same ones."""

    def targets(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Target]:
        """The target of each base, as `ActivationType.target` makes it.

        Parameters
        ----------
        bases, generators
            As many of both, at least one.
        context
            Everything else that a target may depend on.

        Returns
        -------
        list of Target
            In the order of the bases.

        Raises
        ------
        UsageError
            Where no target can be made of one of them.
        """
        ...


class CodeType:
    """A type whose target is a code, decoded; which code is for it to say."""

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code of the target of one base.

        Parameters
        ----------
        base
            The base activation A, its sample and its prompt.
        context
            Everything else that a target may depend on.
        generator
            What every random choice comes from.

        Returns
        -------
        Code
            Latents in any order, in the base's frame.

        Raises
        ------
        UsageError
            Where no code can be made.
        """
        raise NotImplementedError

    def codes(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Code]:
        """The code of the target of each base: made one by one, where a type knows nothing quicker.

        Parameters
        ----------
        bases, generators
            As many of both.
        context
            Everything else that a target may depend on.

        Returns
        -------
        list of Code
            Those that `code` gives, in the order of the bases.

        Raises
        ------
        UsageError
            Where no code can be made of one of them.
        """
        return [self.code(base, context, generator) for base, generator in zip(bases, generators, strict=True)]

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The decoded code. See `ActivationType.target`."""
        return Target(context.sae.decode(self.code(base, context, generator)))

    def targets(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Target]:
        """Many at once. See `Together`."""
        return [Target(decoded) for decoded in context.sae.decode_each(self.codes(bases, context, generators))]


def mixes(kind: ActivationType) -> int:
    """Of how many prompts' activations every target of a type is made.

    Parameters
    ----------
    kind
        The type. It says so in its attribute `mixes`, where it does: a target that is the activation of one prompt has
        that one's row as its `source_row`.

    Returns
    -------
    int
        0 for a type without the attribute; of a variant, that of the type that it varies.
    """
    return int(getattr(made_by(kind), "mixes", 0))


def learns(kind: ActivationType) -> tuple[type[Learned], ...] | None:
    """What a type learns from real activations of prompts that are set aside for it.

    Parameters
    ----------
    kind
        The type. It says so in its attribute `learns`, where it is fitted to any.

    Returns
    -------
    tuple of type, or None
        Classes of `plateaulens.targets.fitting.Learned`; None for a type that is fitted to nothing.
    """
    own = kind if hasattr(kind, "learns") else made_by(kind)  # a function says so itself
    found: tuple[type[Learned], ...] | None = getattr(own, "learns", None)
    return found


def made_by(kind: ActivationType) -> Any:
    """The class or function that a type's targets are made by.

    Parameters
    ----------
    kind
        The type. One that stands for other code has it as its attribute `made_by`.

    Returns
    -------
    type or Callable
        Of a variant, that of the type that it varies.
    """
    return getattr(kind, "made_by", type(kind))


def ships(kind: ActivationType) -> bool:
    """Whether a type's code comes with PlateauLens.

    Parameters
    ----------
    kind
        The type.

    Returns
    -------
    bool
        False for a user's, and for that of another installed package.
    """
    return str(made_by(kind).__module__).startswith("plateaulens.")
