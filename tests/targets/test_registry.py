import re
import sys
from functools import partial
from hashlib import sha256
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plateaulens.config import TargetConfig, VariantConfig
from plateaulens.errors import UsageError
from plateaulens.names import RUNG_KINDS, RUNGS
from plateaulens.targets import registry
from plateaulens.targets.base import Base, Target, TargetContext

SHIPPED = ["real", "real_control", "real_mixture", "random", "covariance_mixture", "isotropic", "reconstruction", "bag"]
SHIPPED += ["baseline", "structured", "single_latent"]
SHIPPED += ["token_mean", "token_gaussian", "token_elliptical", "interpolation", "factor_mixture"]
SHIPPED += ["code_size", "code_frequency", "code_strengths", "code_top", "code_copula"]
SHIPPED += ["code_gram", "code_pairs", "code_network"]
SHIPPED += ["latents_kept", "latents_swapped", "strengths_kept", "strengths_redrawn"]


class Itself:
    """A user's type: the base."""

    name = "itself"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        del context, generator
        return Target(base.activation)


@pytest.fixture(autouse=True)
def only_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_types", registry.shipped())
    offer(monkeypatch)


def offer(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let installed packages offer these entry points (name -> module:attribute)."""

    def entry_points(*, group: str) -> EntryPoints:
        assert group == "plateaulens.activation_types"
        return EntryPoints(EntryPoint(name, value, group) for name, value in points.items())

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_every_shipped_type_is_known_by_its_name() -> None:
    assert sorted(registry.names()) == sorted(SHIPPED)
    assert [kind.name for kind in registry.create(SHIPPED, has_sae=True)] == SHIPPED


def test_rungs_of_the_ladder_are_types_that_ship() -> None:
    """Every rung is a type, every lower rung is a rung below it, and every kind has a title."""
    shipped, seen = registry.shipped(), set()
    for name, rung in RUNGS.items():
        assert name in shipped
        assert rung.above is None or rung.above in seen
        assert rung.kind in RUNG_KINDS
        seen.add(name)


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
    with pytest.raises(UsageError, match=r"'real' is taken by plateaulens\.targets\.types\.real\.Real"):
        registry.register(other)
    assert type(registry.create(["real"], has_sae=False)[0]).__name__ == "Real"


def test_a_registered_function_is_a_type_of_its_name() -> None:
    def opposite(base: Any, context: Any, rng: Any) -> Any:
        return -base.activation

    def halved(base: Any, context: Any, rng: Any) -> Any:
        return context.sae.decode(base.code)

    assert registry.register(opposite) is opposite
    assert registry.register(needs_sae=True)(halved) is halved
    (kind,) = registry.create(["opposite"], has_sae=False)
    result = kind.target(Base(torch.ones(2), 0, 0), None, None)  # type: ignore[arg-type]
    assert result.activation.tolist() == [-1, -1]
    assert result.source_row == -1
    with pytest.raises(UsageError, match="activation types halved need an SAE"):
        registry.create(["opposite", "halved"], has_sae=False)


def test_a_function_may_return_a_target_with_its_row() -> None:
    @registry.register
    def first(base: Any, context: Any, rng: Any) -> Any:
        return Target(base.activation, 12)

    (kind,) = registry.create(["first"], has_sae=False)
    assert kind.target(Base(torch.ones(2), 0, 0), None, None).source_row == 12  # type: ignore[arg-type]


def test_a_function_of_a_taken_name() -> None:
    def real(base: Any, context: Any, rng: Any) -> Any:
        return base.activation

    with pytest.raises(UsageError, match=r"'real' is taken by plateaulens\.targets\.types\.real\.Real"):
        registry.register(real)


def test_identity_tells_types_that_do_not_ship(tmp_path: Path) -> None:
    source = b"from plateaulens.targets.registry import register\n@register\ndef mine(base, context, rng): return 0\n"
    (tmp_path / "types.py").write_bytes(source)
    variants = {"low": VariantConfig(type="structured"), "again": VariantConfig(type="mine")}
    targets = TargetConfig(types=("real", "mine"), variants=variants, modules=(str(tmp_path / "types.py"),))
    kinds = registry.create_all(targets, has_sae=True)
    told = {"module": "types.py", "sha256": sha256(source).hexdigest()}
    assert registry.identity(kinds) == {"mine": told, "again": told}
    registry.register(Itself)
    own = registry.identity(registry.create(["itself"], has_sae=False))["itself"]
    assert own["sha256"] == sha256(Path(__file__).read_bytes()).hexdigest()


@pytest.mark.parametrize(("module", "reason"), [("none.py", "No such file"), ("no.such", "No module named 'no'")])
def test_a_module_that_is_not_there(module: str, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"targets\.modules: {module} cannot be loaded \(.*{reason}.*\.py file"):
        registry.create_all(TargetConfig(types=("real",), modules=(module,)), has_sae=True)


def test_a_module_that_is_not_python(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("def f(:\n")
    with pytest.raises(UsageError, match=r"wrong\.py cannot be loaded"):
        registry.create_all(TargetConfig(types=("real",), modules=(str(tmp_path / "wrong.py"),)), has_sae=True)


@pytest.mark.parametrize("module", ["", ".", "..", ".py", "a/b", "\0"])
def test_what_names_no_module(module: str) -> None:
    with pytest.raises(UsageError, match=r"targets\.modules: .* cannot be loaded .*; give the path of a \.py file"):
        registry.create_all(TargetConfig(types=("real",), modules=(module,)), has_sae=True)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit(0)\n", r"SystemExit: 0 \({file}, line 2\)$"),
        ("def f():\n    1 / 0\n\nf()\n", r"ZeroDivisionError: division by zero \({file}, line 2\)$"),
        ("import no_such_module_at_all\n", r"ModuleNotFoundError: No module named 'no_such.*' \({file}, line 1\)$"),
        ("open('/no/such/file')\n", r"FileNotFoundError: .* \({file}, line 1\)$"),
        (
            "class Mute(Exception):\n    def __str__(self):\n        raise SystemExit(0)\n\nraise Mute\n",
            r"Mute \({file}, line 5\)$",
        ),
        ("raise ValueError('\\x1b[1m' + 'x' * 9999)\n", r"ValueError: .{4}\[1mx+ \.\.\. \({file}, line 1\)$"),
        ("from plateaulens.targets.registry import register\nregister(3)\n", r"register takes .* line 2\)$"),
    ],
)
@pytest.mark.parametrize("imported", [False, True])
def test_what_a_module_s_own_code_raises(
    code: str, message: str, imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own_module_that_fails.py"
    file.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    name = file.stem if imported else str(file)
    wanted = message.replace("{file}", re.escape(str(file)))
    with pytest.raises(UsageError, match=rf"^targets\.modules: {re.escape(name)}: {wanted}"):
        registry.create_all(TargetConfig(types=("real",), modules=(name,)), has_sae=True)
    assert name not in sys.modules


def test_an_interruption_of_a_module_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.create_all(TargetConfig(types=("real",), modules=(str(tmp_path / "types.py"),)), has_sae=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (3, "register takes a function or a class, not 3 of type int"),
        ("real", "register takes a function or a class, not 'real' of type str"),
        (partial(print), "register takes a function or a class, not functools.partial"),
        (Itself(), "register takes a function or a class, not .*Itself object"),
        (lambda *_: None, "activation type .*<lambda> of test_registry: '<lambda>' cannot be the name"),
        (type("NoName", (), {"target": print}), 'NoName of test_registry has no name; give the class one: name = "'),
        (type("Odd", (Itself,), {"name": 3}), "Odd of test_registry has no name"),
        (type("Empty", (Itself,), {"name": ""}), "'' cannot be the name .*: use ASCII letters, digits"),
        (type("Bar", (Itself,), {"name": "a|b"}), r"'a\|b' cannot be the name .*: use ASCII letters, digits"),
        (type("Lines", (Itself,), {"name": "a\n"}), "cannot be the name .*: use ASCII letters, digits"),
        (
            type("Bare", (), {"name": "bare", "needs_sae": False}),
            "Bare of test_registry makes no target; give the class",
        ),
    ],
)
def test_what_cannot_be_registered(kind: Any, message: str) -> None:
    known = registry.names()
    with pytest.raises(
        UsageError, match=message.replace("of test_registry", r"of tests\.targets\.test_registry")
    ) as error:
        registry.register(kind)
    assert "\n" not in str(error.value)
    assert registry.names() == known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"__init__": lambda _: sys.exit(0)},
            rf"cannot be built: SystemExit: 0 \({re.escape(__file__)}, line \d+\)$",
        ),
        ({"__init__": lambda _, __: None}, "cannot be built: TypeError: .*missing 1 required"),
        (
            {"needs_sae": "no"},
            "says that it is 'odd' and that needs_sae is 'no'; they are to be 'odd', and True or False",
        ),
        ({"__init__": lambda self: setattr(self, "name", "even")}, "says that it is 'even'"),
    ],
)
def test_a_class_that_cannot_be_built(changes: dict[str, Any], message: str) -> None:
    registry.register(type("Odd", (Itself,), {"name": "odd", **changes}))
    with pytest.raises(UsageError, match=rf"^activation type 'odd' \(in tests\.targets\.test_registry\) {message}"):
        registry.create(["odd"], has_sae=True)


def test_a_definition_that_names_no_constant() -> None:
    registry.register(type("Odd", (Itself,), {"name": "odd", "definition": "cosine {anchor_cosin}"}))
    (kind,) = registry.create(["odd"], has_sae=True)
    with pytest.raises(UsageError, match=r"'odd' .*its definition 'cosine {anchor_cosin}' cannot be filled in"):
        registry.definition(kind, TargetConfig(types=("real",)))


def test_a_definition_that_has_no_text_to_give() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("mute")

    registry.register(type("Odd", (Itself,), {"name": "odd", "definition": Mute()}))
    (kind,) = registry.create(["odd"], has_sae=True)
    with pytest.raises(UsageError, match=r"its definition '' cannot be filled in \(RuntimeError: mute\)"):
        registry.definition(kind, TargetConfig(types=("real",)))


def test_an_entry_point_whose_package_exits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "package_that_exits.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    offer(monkeypatch, offered="package_that_exits:Type")
    with pytest.raises(UsageError, match=r"'offered': its entry point .* cannot be imported \(SystemExit: 0\)"):
        registry.create(["offered"], has_sae=False)


def test_an_installed_package_offers_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a broken package beside it does no harm, because only what is asked for is imported."""
    offer(monkeypatch, itself=f"{Itself.__module__}:Itself", broken="no.such.module:Type")
    assert isinstance(registry.create(["itself"], has_sae=False)[0], Itself)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no.such.module:Type", "cannot be imported .*no"),
        ("plateaulens.targets.types.real:Reel", "cannot be imported .*Reel"),
        ("plateaulens.targets.types.real:Real", "is not a type of that name"),
        ("plateaulens.targets.types.real:CLOSEST", "is not a type of that name"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    offer(monkeypatch, offered=value)
    with pytest.raises(UsageError, match=f"activation type 'offered': its entry point {value} {message}"):
        registry.create(["offered"], has_sae=False)
