"""Which activation types there are: those that ship, those a user registers, and those of installed packages."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from plateaulens.errors import UsageError
from plateaulens.targets.bag import Bag
from plateaulens.targets.base import ActivationType
from plateaulens.targets.baseline import Baseline
from plateaulens.targets.isotropic import Isotropic
from plateaulens.targets.random import Random
from plateaulens.targets.real import Real
from plateaulens.targets.real_control import RealControl
from plateaulens.targets.reconstruction import Reconstruction
from plateaulens.targets.single_latent import SingleLatent
from plateaulens.targets.structured import Structured

ENTRY_POINT_GROUP = "plateaulens.activation_types"

_SHIPPED: tuple[type[ActivationType], ...] = (
    Real,
    RealControl,
    Random,
    Isotropic,
    Reconstruction,
    Bag,
    Baseline,
    Structured,
    SingleLatent,
)
KindT = TypeVar("KindT", bound=type[ActivationType])

_types: dict[str, type[ActivationType]] = {kind.name: kind for kind in _SHIPPED}


def register(kind: KindT) -> KindT:
    """Class decorator that makes an activation type known by its `name`; the class is built without arguments.

    Defining the same class again, as a notebook does, replaces it. Raises `UsageError` when another class has the name.
    """
    known = _types.setdefault(kind.name, kind)
    if _path(known) != _path(kind):
        raise UsageError(f"activation type {kind.name!r} is taken by {_path(known)}; choose another name")
    _types[kind.name] = kind
    return kind


def names() -> tuple[str, ...]:
    """Every name that `create` knows: shipped and registered types first, then those of installed packages."""
    return tuple(dict.fromkeys([*_types, *sorted(_plugins())]))


def create(wanted: Sequence[str], *, has_sae: bool) -> tuple[ActivationType, ...]:
    """The activation types of these names, in this order.

    A package offers a type as an entry point of the group `plateaulens.activation_types`, named like the type; it is
    imported only when asked for. Raises `UsageError` for a name that is not known, for an entry point that cannot be
    used, and for types that need an SAE when there is none.
    """
    kinds = tuple(_find(name)() for name in wanted)
    without = [kind.name for kind in kinds if kind.needs_sae and not has_sae]
    if without:
        raise UsageError(
            f"activation types {', '.join(without)} need an SAE, and the run has none; "
            f"add an [sae] section to the preset, or take them out of targets.types"
        )
    return kinds


def _path(kind: type[object]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _find(name: str) -> type[ActivationType]:
    if name in _types:
        return _types[name]
    plugins = _plugins()
    if name in plugins:
        return _load(plugins[name])
    raise UsageError(f"unknown activation type {name!r} in targets.types; known are {', '.join(names())}")


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load(point: EntryPoint) -> type[ActivationType]:
    try:
        kind: type[ActivationType] = point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"activation type {point.name!r}: its entry point {point.value} cannot be imported ({error}); "
            f"reinstall or remove the package that offers it"
        ) from None
    if getattr(kind, "name", None) != point.name:
        raise UsageError(
            f"activation type {point.name!r}: its entry point {point.value} is not a type of that name; "
            f"tell the author of the package that offers it"
        )
    return kind
