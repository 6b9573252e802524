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

from plateaulens.config import TargetConfig, VariantConfig
from plateaulens.errors import UsageError
from plateaulens.names import CONTROL, REFERENCE, label
from plateaulens.targets.base import ActivationType, Base, Target, TargetContext
from plateaulens.targets.modules import load_module, source_of

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
        When another one has the name.
    """
    if kind is None:
        return partial(register, needs_sae=needs_sae)
    name: str = kind.__name__ if inspect.isfunction(kind) else kind.name
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
    return _checked([_find(name)() for name in wanted], has_sae=has_sae)


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
        In the order of `targets.names`: variants behind the others.

    Raises
    ------
    UsageError
        As `create` does, and for a module that cannot be loaded.
    """
    for module in targets.modules:
        load_module(module)
    types = create(targets.types, has_sae=has_sae)
    variants = [Variant(name, _find(each.type)(), each) for name, each in targets.variants.items()]
    return types + _checked(variants, has_sae=has_sae)


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
        `plateaulens.targets.modules.source_of` gives them. A variant has those of the type that it varies.
    """
    recipes = {kind.name: kind.kind if isinstance(kind, Variant) else kind for kind in kinds}
    defined = {name: kind.recipe if isinstance(kind, FunctionType) else type(kind) for name, kind in recipes.items()}
    return {name: source_of(each) for name, each in defined.items() if not each.__module__.startswith(f"{SHIPPED}.")}


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
    """
    if isinstance(kind, Variant):
        return kind.definition
    own = getattr(kind, "definition", None)
    if own is not None:
        return str(own).format(**config.model_dump())
    described = inspect.getdoc(kind.recipe if isinstance(kind, FunctionType) else type(kind))
    return described.splitlines()[0].strip() if described else "registered by the user"


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

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """What the function returns. See `plateaulens.targets.base.ActivationType.target`."""
        made = self.recipe(base, context, generator)
        return made if isinstance(made, Target) else Target(made)


class Variant:
    """An activation type's recipe followed with a variant's settings.

    Its draws are keyed by its own name, so a variant without settings is its type with another seed. The base's code is
    always that of the run's SAE; a random or shuffled dictionary has other directions for the same latents, which the
    recipe compares and decodes along. With `add_error` the target is T + (A - SAE(A)), SAE being the run's.

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
        self.needs_sae = kind.needs_sae or settings.add_error or settings.dictionary != "trained"

    @property
    def definition(self) -> str:
        """What is changed, and of which type."""
        settings = self.settings
        changes = [f"{name.replace('_', ' ')} {value:g}" for name, value in settings.constants.items()]
        if settings.dictionary != "trained":
            changes.append(f"{settings.dictionary} decoder directions")
        if settings.add_error:
            changes.append("the SAE error of A added")
        return f"as {label(settings.type)}, {' and '.join(changes) or 'drawn again'}"

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The type's target in the changed context. See `plateaulens.targets.base.ActivationType.target`."""
        target = self.kind.target(base, context.varied(self.settings), generator)
        if not self.settings.add_error:
            return target
        error = base.activation - context.sae.decode(base.code)
        return target._replace(activation=target.activation + error)


def _checked(kinds: Sequence[ActivationType], *, has_sae: bool) -> tuple[ActivationType, ...]:
    without = [kind.name for kind in kinds if kind.needs_sae and not has_sae]
    if without:
        raise UsageError(
            f"activation types {', '.join(without)} need an SAE, and the run has none; "
            f"add an [sae] section to the preset, or take them out of targets.types"
        )
    return tuple(kinds)


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
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"activation type {point.name!r}: its entry point {point.value} cannot be imported ({error}); "
            f"reinstall or remove the package that offers it"
        ) from None
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
