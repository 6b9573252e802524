"""Which activation types there are: those that ship, those a user registers, and those of installed packages.

A type that ships is a class in a file of `plateaulens.targets.types`. Beside such classes a type may be a plain
function (`FunctionType`), or another type with something changed (`Variant`).
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, overload

import numpy as np
from jaxtyping import Float
from torch import Tensor

from plateaulens.config import TargetConfig, VariantConfig, type_name
from plateaulens.errors import UsageError, shown, text_of
from plateaulens.names import CONTROL, REFERENCE, label
from plateaulens.targets.base import (
    ActivationType,
    Base,
    ChoosesToken,
    Target,
    TargetContext,
    learns,
    made_by,
    mixes,
    ships,
)
from plateaulens.targets.files import FileType
from plateaulens.targets.fitting import Codes, Learned, SaeError
from plateaulens.targets.matching import matched
from plateaulens.targets.modules import file_of, load_module, module_of, source_of, told

ENTRY_POINT_GROUP = "plateaulens.activation_types"
"""The group of entry points under which installed packages offer types."""

SHIPPED = "plateaulens.targets.types"
"""The package whose files are the types that ship."""

Maker = Callable[[], ActivationType]
KindT = TypeVar("KindT", bound=type[ActivationType] | Callable[..., Any])

_types: dict[str, Maker] = {}
"""What has been registered, by name."""


@overload
def register(kind: KindT, *, needs_sae: bool = False) -> KindT: ...
@overload
def register(kind: None = None, *, needs_sae: bool = False) -> Callable[[KindT], KindT]: ...
def register(kind: Any = None, *, needs_sae: bool = False) -> Any:
    """Decorator that makes a function or a class known as an activation type.

    A function `(base, context, rng) -> activation` becomes the type of its own name. A class is an `ActivationType`
    that is built without arguments, and says its name and whether it needs an SAE itself. Defining the same one again,
    as a notebook does, replaces it.

    Parameters
    ----------
    kind
        The function or class; None where the decorator is given options, as in `@register(needs_sae=True)`.
    needs_sae
        Whether a function uses `context.sae` or `base.code`, so that a run without an SAE refuses it at once.

    Returns
    -------
    Callable
        `kind` itself, or the decorator where it is None.

    Raises
    ------
    UsageError
        When it is neither, when it has no name or one that no type may have, and when another one has the name.
    """
    if kind is None:
        return partial(register, needs_sae=needs_sae)
    name = _name(kind)
    maker: Maker = partial(FunctionType, name, needs_sae, kind) if inspect.isfunction(kind) else kind
    if not kind.__module__.startswith(f"{SHIPPED}."):
        _load_shipped()  # so that their names are taken
    known = _types.get(name, maker)
    if _path(known) != _path(maker):
        raise UsageError(f"activation type {name!r} is taken by {_path(known)}; choose another name")
    _types[name] = maker
    return kind


def names() -> tuple[str, ...]:
    """Every name that `create` knows.

    Returns
    -------
    tuple of str
        The reference and its control, the other types that ship or are registered, and those of installed packages.
    """
    _load_shipped()
    return tuple(dict.fromkeys([REFERENCE, CONTROL, *_types, *sorted(_plugins())]))


def shipped() -> dict[str, Maker]:
    """The types that ship, by name.

    Returns
    -------
    dict
        From names to classes.
    """
    _load_shipped()
    return {name: maker for name, maker in _types.items() if _path(maker).startswith(f"{SHIPPED}.")}


def create(wanted: Sequence[str], *, has_sae: bool) -> tuple[ActivationType, ...]:
    """The activation types of some names.

    A package offers a type as an entry point of the group `plateaulens.activation_types`, named like the type: a
    function or a class, registered or not. It is imported only when asked for.

    Parameters
    ----------
    wanted
        Names of types.
    has_sae
        Whether the run has an SAE.

    Returns
    -------
    tuple of ActivationType
        In the order of `wanted`.

    Raises
    ------
    UsageError
        For a name that is not known, for an entry point that cannot be used, and for types that need an SAE when there
        is none.
    """
    return _checked([_make(name) for name in wanted], has_sae=has_sae)


def create_all(targets: TargetConfig, *, has_sae: bool) -> tuple[ActivationType, ...]:
    """The activation types of a run, after its modules have been loaded.

    Parameters
    ----------
    targets
        The run's `[targets]`.
    has_sae
        Whether the run has an SAE.

    Returns
    -------
    tuple of ActivationType
        In the order of `targets.names`: variants behind the others, then those from files.

    Raises
    ------
    UsageError
        As `create` does, and for a module or a file that cannot be loaded.
    """
    for module in targets.modules:
        load_module(module)
    types = create(targets.types, has_sae=has_sae)
    variants = [Variant(name, _make(each.type), each) for name, each in targets.variants.items()]
    for each in variants:
        if each.settings.own_token and not isinstance(each.kind, ChoosesToken):
            choosing = [name for name, maker in shipped().items() if hasattr(maker, "has_own_token")]
            raise UsageError(
                f"targets.variants.{each.name}.own_token: activation type {each.kind.name!r} chooses no token; those "
                f"that do are {', '.join(choosing)}"
            )
    for name in targets.files:
        if name in names():
            raise UsageError(f"targets.files.{name} has the name of an activation type that there is; choose another")
    files = [FileType.read(name, file) for name, file in targets.files.items()]
    return (*types, *_checked(variants, has_sae=has_sae), *files)


def identity(kinds: Sequence[ActivationType]) -> dict[str, dict[str, str]]:
    """What identifies the code of the types that do not ship with PlateauLens.

    Parameters
    ----------
    kinds
        Any types, those that ship among them.

    Returns
    -------
    dict
        By the name of each type that does not ship, its module and the SHA-256 of its source, as
        `plateaulens.targets.modules.source_of` gives them. A variant has those of the type that it varies; a type from
        a file has the file's name and the SHA-256 of its activations.
    """
    return {
        kind.name: kind.identity if isinstance(kind, FileType) else source_of(made_by(kind))
        for kind in kinds
        if isinstance(kind, FileType) or not ships(kind)
    }


def definition(kind: ActivationType, config: TargetConfig) -> str:
    """How a type makes the target T from the base A, in a few words that a run carries along.

    A type says so in its attribute `definition`, where `{constant}` stands for a constant of `[targets]`; else it is
    the first line of its docstring.

    Parameters
    ----------
    kind
        The type.
    config
        The run's `[targets]`.

    Returns
    -------
    str
        Of a variant, the type and what is changed of it; "registered by the user" for a type that says nothing.

    Raises
    ------
    UsageError
        When the attribute names something that is no constant.
    """
    if isinstance(kind, Variant | FileType):
        return kind.definition
    own = getattr(kind, "definition", None)
    if own is None:
        described = inspect.getdoc(made_by(kind)) or ""
        return (described.strip().splitlines() or ["registered by the user"])[0]
    try:
        return str(own).format(**config.model_dump())
    except Exception as error:
        raise UsageError(
            f"activation type {kind.name!r} (in {module_of(made_by(kind))}): its definition {text_of(own)!r} cannot be "
            f"filled in ({told(error, '')}); write {{name}} for a constant of [targets], {{{{ for a brace"
        ) from error


@dataclass(eq=False)
class FunctionType:
    """The activation type whose recipe is a function of the base, the context and a random generator.

    The function returns the target activation, or a `Target` where it is that of a prompt. What it multiplies and adds
    up may be in float64: `draw` stores targets in the precision of the bases.
    """

    name: str
    needs_sae: bool
    recipe: Callable[..., Any]
    """Called with base, context and generator."""

    @property
    def made_by(self) -> Callable[..., Any]:
        """The function. See `plateaulens.targets.base.made_by`."""
        return self.recipe

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """What the function returns. See `plateaulens.targets.base.ActivationType.target`."""
        made = self.recipe(base, context, generator)
        return made if isinstance(made, Target) else Target(made)


_ERRORS = {
    "drawn": "an SAE error added, drawn like real ones",
    "predicted": "an SAE error added, predicted from it",
    "real": "the SAE error of the real target added",
}


class Variant:
    """An activation type's recipe followed with a variant's settings.

    Its draws are keyed by its own name, so a variant without settings is its type with another seed. The base's code is
    always that of the run's SAE; a random or shuffled dictionary has other directions for the same latents, which the
    recipe compares and decodes along. With `add_error` the target is T + (A - SAE(A)), with `sae_error` another error
    is added, see `plateaulens.config.VariantConfig`; errors are those of the run's SAE. With `matched` the target is
    moved by `plateaulens.targets.matching.matched` in the end.

    Parameters
    ----------
    name
        The variant's own name.
    kind
        The type whose recipe is followed.
    settings
        What is changed.
    """

    def __init__(self, name: str, kind: ActivationType, settings: VariantConfig) -> None:
        self.name, self.kind, self.settings = name, kind, settings
        corrected = settings.add_error or settings.sae_error != "none"
        self.needs_sae = kind.needs_sae or corrected or settings.dictionary != "trained"

    @property
    def learns(self) -> tuple[type[Learned], ...] | None:
        """What the type that is varied learns, and what the error does. See `plateaulens.targets.base.learns`."""
        own = learns(self.kind)
        return own if self.settings.sae_error in {"none", "real"} else (*(own or ()), Codes, SaeError)

    @property
    def made_by(self) -> Any:
        """What makes the targets of the type that is varied. See `plateaulens.targets.base.made_by`."""
        return made_by(self.kind)

    @property
    def definition(self) -> str:
        """What is changed, and of which type."""
        settings = self.settings
        changes = [f"{name.replace('_', ' ')} {value:g}" for name, value in settings.constants.items()]
        if settings.dictionary != "trained":
            changes.append(f"{settings.dictionary} decoder directions")
        if settings.add_error:
            changes.append("the SAE error of A added")
        if settings.sae_error != "none":
            changes.append(_ERRORS[settings.sae_error])
        if settings.own_token:
            changes.append("of the base's own token")
        if settings.matched:
            changes.append("norm and distances matched to real's")
        return f"as {label(settings.type)}, {' and '.join(changes) or 'drawn again'}"

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The type's target in the changed context. See `plateaulens.targets.base.ActivationType.target`."""
        settings, varied = self.settings, context.varied(self.settings)
        made = self.kind.target(base, varied, generator)
        if not (settings.add_error or settings.matched) and settings.sae_error == "none":
            return made
        target = Target.of(made, len(base.activation), mixes(self))
        found = target.activation
        if settings.add_error:
            found = found + (base.activation - context.sae.decode(base.code))
        if settings.sae_error == "real":
            real = self._real(base, context)
            found = found + (real - context.sae.decode(context.sae.encode_each(real[None], [base.sample])[0]))
        elif settings.sae_error != "none":
            rng = context.generator(base.sample, f"SAE error of {self.name}")
            found = context.learned(SaeError).added(found, rng, predicted=settings.sae_error == "predicted")
        if settings.matched:
            found = matched(found, self._real(base, context), base.activation, context.gaussian.mean)
        return target._replace(activation=found.to(base.activation.dtype))

    def has_own_token(self, base: Base, context: TargetContext) -> bool:
        """Whether the target of a base is of the base's own token, as `own_token` asks for.

        Parameters
        ----------
        base
            The base, whose code is not asked for.
        context
            That of the run.

        Returns
        -------
        bool
            False where another token is chosen for want of anything to make one of that token from.
        """
        assert isinstance(self.kind, ChoosesToken)
        return self.settings.own_token and self.kind.has_own_token(base, context.varied(self.settings))

    def _real(self, base: Base, context: TargetContext) -> Float[Tensor, " d_model"]:
        """The activation of the `real` target of the same sample."""
        return _make(REFERENCE).target(base, context, context.generator(base.sample, REFERENCE)).activation


def _checked(kinds: Sequence[ActivationType], *, has_sae: bool) -> tuple[ActivationType, ...]:
    without = [kind.name for kind in kinds if kind.needs_sae and not has_sae]
    if without:
        raise UsageError(
            f"activation types {', '.join(without)} need an SAE, and the run has none; "
            f"add an [sae] section to the preset, or take them out of targets.types"
        )
    return tuple(kinds)


def _name(kind: Any) -> str:
    """The name that a function or class is registered by."""
    if not (inspect.isfunction(kind) or inspect.isclass(kind)):
        raise UsageError(f"register takes a function or a class, not {shown(kind)} of type {type(kind).__name__}")
    name = kind.__name__ if inspect.isfunction(kind) else getattr(kind, "name", None)
    where = f"activation type {kind.__qualname__} of {module_of(kind)}"
    if not isinstance(name, str):
        raise UsageError(f'{where} has no name; give the class one: name = "..."')
    if inspect.isclass(kind) and not callable(getattr(kind, "target", None)):
        raise UsageError(f"{where} makes no target; give the class a method target(self, base, context, generator)")
    try:
        return type_name(name)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _make(name: str) -> ActivationType:
    """The type of a name; whatever a user's class raises when it is built is one line."""
    maker = _find(name)
    defined = maker.args[-1] if isinstance(maker, partial) else maker
    where = f"activation type {name!r} (in {module_of(defined)})"
    try:
        kind = maker()
        # a class may only set them when it is built
        named, needs_sae = kind.name, kind.needs_sae
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if str(defined.__module__).startswith(f"{SHIPPED}."):
            raise
        raise UsageError(f"{where} cannot be built: {told(error, file_of(defined))}") from error
    if named != name or not isinstance(needs_sae, bool):
        raise UsageError(
            f"{where} says that it is {named!r} and that needs_sae is {needs_sae!r}; they are to be {name!r}, and True "
            "or False"
        )
    return kind


def _find(name: str) -> Maker:
    _load_shipped()
    if name in _types:
        return _types[name]
    plugins = _plugins()
    if name in plugins:
        return _load(plugins[name])
    raise UsageError(f"unknown activation type {name!r} in targets.types; known are {', '.join(names())}")


def _path(maker: Any) -> str:
    defined = maker.args[-1] if isinstance(maker, partial) else maker
    return f"{defined.__module__}.{defined.__qualname__}"


@cache
def _load_shipped() -> None:
    """Import every file of `SHIPPED`, once: each registers its type."""
    package = importlib.import_module(SHIPPED)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{SHIPPED}.{module.name}")


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load(point: EntryPoint) -> Maker:
    try:
        offered: Any = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(
            f"activation type {point.name!r}: its entry point {point.value} cannot be imported ({told(error, '')}); "
            f"reinstall or remove the package that offers it"
        ) from error
    if point.name in _types:  # registered while it was imported
        return _types[point.name]
    if isinstance(offered, type) and getattr(offered, "name", None) == point.name:
        return offered
    if callable(offered) and not isinstance(offered, type):
        return partial(FunctionType, point.name, False, offered)
    raise UsageError(
        f"activation type {point.name!r}: its entry point {point.value} is not a type of that name; "
        f"tell the author of the package that offers it"
    )
