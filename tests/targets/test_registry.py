from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import Base, Target, TargetContext

SHIPPED = ["real", "real_control", "random", "isotropic", "reconstruction", "bag", "baseline", "structured"]
SHIPPED += ["single_latent"]


class Itself:
    """A user's type: the base."""

    name = "itself"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        del context, generator
        return Target(base.activation)


@pytest.fixture(autouse=True)
def only_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = {kind.name: kind for kind in registry._SHIPPED}
    monkeypatch.setattr(registry, "_types", shipped)
    offer(monkeypatch)


def offer(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let installed packages offer these entry points (name -> module:attribute)."""

    def entry_points(*, group: str) -> EntryPoints:
        assert group == "plateaulens.activation_types"
        return EntryPoints(EntryPoint(name, value, group) for name, value in points.items())

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_every_shipped_type_is_known_by_its_name() -> None:
    assert list(registry.names()) == SHIPPED
    assert [kind.name for kind in registry.create(SHIPPED, has_sae=True)] == SHIPPED


def test_create_keeps_the_order_asked_for() -> None:
    assert [kind.name for kind in registry.create(["bag", "real"], has_sae=True)] == ["bag", "real"]


def test_unknown_names_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, offered="no.such.module:Type")
    with pytest.raises(UsageError, match=r"unknown activation type 'reel' .*real, real_control, .*, offered"):
        registry.create(["real", "reel"], has_sae=True)


def test_types_that_need_an_sae_are_refused_without_one() -> None:
    assert len(registry.create(["real", "real_control", "random", "isotropic"], has_sae=False)) == 4
    with pytest.raises(UsageError, match="activation types bag, structured need an SAE"):
        registry.create(["real", "bag", "structured"], has_sae=False)


def test_a_registered_type_is_known() -> None:
    assert registry.register(Itself) is Itself
    assert registry.names()[-1] == "itself"
    assert isinstance(registry.create(["itself"], has_sae=False)[0], Itself)


def test_a_class_defined_again_replaces_itself_but_no_other_class() -> None:
    registry.register(Itself)
    again = type("Itself", (Itself,), {"__module__": Itself.__module__, "__qualname__": Itself.__qualname__})
    registry.register(again)
    assert type(registry.create(["itself"], has_sae=False)[0]) is again
    other = type("Other", (Itself,), {"name": "real"})
    with pytest.raises(UsageError, match=r"'real' is taken by plateaulens\.targets\.real\.Real"):
        registry.register(other)
    assert type(registry.create(["real"], has_sae=False)[0]).__name__ == "Real"


def test_an_installed_package_offers_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a broken package beside it does no harm, because only what is asked for is imported."""
    offer(monkeypatch, itself=f"{Itself.__module__}:Itself", broken="no.such.module:Type")
    assert isinstance(registry.create(["itself"], has_sae=False)[0], Itself)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no.such.module:Type", "cannot be imported .*no"),
        ("plateaulens.targets.real:Reel", "cannot be imported .*Reel"),
        ("plateaulens.targets.real:Real", "is not a type of that name"),
        ("plateaulens.targets.real:CLOSEST", "is not a type of that name"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    offer(monkeypatch, offered=value)
    with pytest.raises(UsageError, match=f"activation type 'offered': its entry point {value} {message}"):
        registry.create(["offered"], has_sae=False)
