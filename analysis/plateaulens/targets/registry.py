"""Which activation types there are: those that ship, those a user registers, and those of installed packages."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, overload

from plateaulens.config import TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets.bag import Bag
from plateaulens.targets.base import ActivationType
from plateaulens.targets.baseline import Baseline
from plateaulens.targets.covariance_mixture import CovarianceMixture
from plateaulens.targets.function import FunctionType
from plateaulens.targets.isotropic import Isotropic
from plateaulens.targets.modules import load_module, source_of
from plateaulens.targets.random import Random
from plateaulens.targets.real import Real
from plateaulens.targets.real_control import RealControl
from plateaulens.targets.real_mixture import RealMixture
from plateaulens.targets.reconstruction import Reconstruction
from plateaulens.targets.single_latent import SingleLatent
from plateaulens.targets.structured import Structured
from plateaulens.targets.variant import Variant

ENTRY_POINT_GROUP = "plateaulens.activation_types"

_SHIPPED: tuple[type[ActivationType], ...] = (
    Real,
    RealControl,
    RealMixture,
    Random,
    CovarianceMixture,
    Isotropic,
    Reconstruction,
    Bag,
    Baseline,
    Structured,
    SingleLatent,
)
Maker = Callable[[], ActivationType]
KindT = TypeVar("KindT", bound=type[ActivationType] | Callable[..., Any])

_types: dict[str, Maker] = {kind.name: kind for kind in _SHIPPED}


@overload
def register(kind: KindT, *, needs_sae: bool = False) -> KindT: ...
@overload
def register(kind: None = None, *, needs_sae: bool = False) -> Callable[[KindT], KindT]: ...
def register(kind: Any = None, *, needs_sae: bool = False) -> Any:
    """Decorator that makes a function or a class known as an activation type.

    A function `(base, context, rng) -> activation` becomes the type of its own name; `@register(needs_sae=True)` says
    that it uses `context.sae` or `base.code`, so that a run without an SAE refuses it at once. A class is an
    `ActivationType` that is built without arguments and says both itself.

    Defining the same one again, as a notebook does, replaces it. Raises `UsageError` when another one has the name.
    """
    if kind is None:
        return partial(register, needs_sae=needs_sae)
    name: str = kind.__name__ if inspect.isfunction(kind) else kind.name
    maker: Maker = partial(FunctionType, name, needs_sae, kind) if inspect.isfunction(kind) else kind
    known = _types.get(name, maker)
    if _path(known) != _path(maker):
        raise UsageError(f"activation type {name!r} is taken by {_path(known)}; choose another name")
    _types[name] = maker
    return kind


def names() -> tuple[str, ...]:
    """Every name that `create` knows: shipped and registered types first, then those of installed packages."""
    return tuple(dict.fromkeys([*_types, *sorted(_plugins())]))


def create(wanted: Sequence[str], *, has_sae: bool) -> tuple[ActivationType, ...]:
    """The activation types of these names, in this order.

    A package offers a type as an entry point of the group `plateaulens.activation_types`, named like the type: a
    function or a class, registered or not. It is imported only when asked for. Raises `UsageError` for a name that is
    not known, for an entry point that cannot be used, and for types that need an SAE when there is none.
    """
    return _checked([_find(name)() for name in wanted], has_sae=has_sae)


def create_all(targets: TargetConfig, *, has_sae: bool) -> tuple[ActivationType, ...]:
    """The activation types of a run, variants behind the others, after its modules have been loaded.

    Raises `UsageError` as `create` does, and for a module that cannot be loaded.
    """
    for module in targets.modules:
        load_module(module)
    types = create(targets.types, has_sae=has_sae)
    variants = [Variant(name, _find(each.type)(), each) for name, each in targets.variants.items()]
    return types + _checked(variants, has_sae=has_sae)


def identity(kinds: Sequence[ActivationType]) -> dict[str, dict[str, str]]:
    """By name, the module and the SHA-256 of the source of every type that does not ship with PlateauLens."""
    recipes = {kind.name: kind.kind if isinstance(kind, Variant) else kind for kind in kinds}
    definitions = {
        name: kind.recipe if isinstance(kind, FunctionType) else type(kind) for name, kind in recipes.items()
    }
    return {name: source_of(each) for name, each in definitions.items() if each not in _SHIPPED}


def _checked(kinds: Sequence[ActivationType], *, has_sae: bool) -> tuple[ActivationType, ...]:
    without = [kind.name for kind in kinds if kind.needs_sae and not has_sae]
    if without:
        raise UsageError(
            f"activation types {', '.join(without)} need an SAE, and the run has none; "
            f"add an [sae] section to the preset, or take them out of targets.types"
        )
    return tuple(kinds)


def _path(maker: Any) -> str:
    defined = maker.args[-1] if isinstance(maker, partial) else maker
    return f"{defined.__module__}.{defined.__qualname__}"


def _find(name: str) -> Maker:
    if name in _types:
        return _types[name]
    plugins = _plugins()
    if name in plugins:
        return _load(plugins[name])
    raise UsageError(f"unknown activation type {name!r} in targets.types; known are {', '.join(names())}")


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
