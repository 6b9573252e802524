"""The populations of the calibration: what steps look like in stored runs, and the corners where methods fail."""

from dataclasses import replace

from scipy.optimize import brentq

from calibration import truth
from calibration.population import PlantedType, Population
from plateaulens.names import EQUIVALENCE_MARGIN

SAMPLES = (50, 200, 1000)

_STEPS = PlantedType("real", 50, 12)
_TIES = PlantedType("real", 9, 2)
_SKEWED = PlantedType("real", 20, 10, never=0.02, shape="gamma")


def _named(kind: PlantedType, name: str, **changes: object) -> PlantedType:
    return replace(kind, name=name, **{"likeness": 0.4, **changes})  # type: ignore[arg-type]


INTERVAL_DESIGNS = {
    "steps": Population(
        (
            _STEPS,
            _named(_STEPS, "same"),
            _named(_STEPS, "twin", centre=51, likeness=0.97),
            _named(_STEPS, "later", centre=60, sd=14, never=0.05),
            _named(_STEPS, "wide", sd=18, shape="gamma"),
            _named(_STEPS, "censored", centre=60, sd=15, never=0.25),
        )
    ),
    "ties": Population(
        (
            _TIES,
            _named(_TIES, "same"),
            _named(_TIES, "twin", centre=9.3, likeness=0.97),
            _named(_TIES, "later", centre=10, sd=2.5),
            _named(_TIES, "wide", sd=3, shape="gamma"),
            _named(_TIES, "earlier", centre=6),
        )
    ),
    "skewed": Population(
        (
            _SKEWED,
            _named(_SKEWED, "same"),
            _named(_SKEWED, "twin", centre=21, likeness=0.97),
            _named(_SKEWED, "later", centre=26, sd=12, never=0.1),
            _named(_SKEWED, "narrow", sd=7),
            _named(_SKEWED, "censored", centre=26, never=0.3),
        )
    ),
}
"""Long windows, few distinct values, and long right tails; the last two types of a design are far from real."""

_SHARED = (_STEPS, _named(_STEPS, "same"), _named(_STEPS, "later", centre=60, sd=14, never=0.05))
_OFTEN_NEVER = (
    PlantedType("real", 50, 12, never=0.2),
    _named(PlantedType("real", 50, 12, never=0.2), "same"),
    _named(_STEPS, "later", centre=60, sd=14, never=0.4),
)

SHARED_DESIGNS = {
    "shared targets": Population(_SHARED, targets_per_prompt=16),
    "three prompts a target": Population(_OFTEN_NEVER, targets_per_prompt=1 / 3, sharing=1, target_share=0.6),
}
"""A target prompt may serve several base prompts, as in a run: here it does so more often, and counts for more."""


def _shifted(reference: PlantedType, name: str, ks: float, *, later: bool = True) -> PlantedType:
    """The reference's distribution moved until its Kolmogorov-Smirnov distance to the reference is `ks`."""

    def moved(size: float) -> PlantedType:
        return _named(reference, name, centre=reference.centre + (size if later else -size))

    return moved(float(brentq(lambda size: truth.ks(moved(size), reference) - ks, 0.0, 2 * reference.sd, xtol=1e-9)))


MARGIN = EQUIVALENCE_MARGIN

SAME = ("same", "same, unpaired", "same, closely paired")
"""Types of a test design that have the reference's distribution."""

AT_MARGIN = tuple(f"KS {MARGIN:g}{other}" for other in ("", ", another", ", earlier"))
"""Types that are as far from the reference as equivalence allows."""

FAR = "KS 0.3"


def _tests(reference: PlantedType) -> Population:
    """Types equal to the reference, more or less paired with it, and types at stated distances from it."""
    return Population(
        (
            reference,
            *(_named(reference, name, likeness=likeness) for name, likeness in zip(SAME, (0.4, 0.0, 0.9), strict=True)),
            _shifted(reference, AT_MARGIN[0], MARGIN),
            _shifted(reference, AT_MARGIN[1], MARGIN),
            _shifted(reference, AT_MARGIN[2], MARGIN, later=False),
            _shifted(reference, FAR, 0.3),
            _named(reference, "spread x 1.5", sd=1.5 * reference.sd),
        )
    )


TEST_DESIGNS = {"steps": _tests(_STEPS), "ties": _tests(_TIES), "skewed": _tests(_SKEWED)}


def _ladder(reference: PlantedType, **distances: float) -> Population:
    """Rungs by their names, at stated distances from the reference."""
    kinds = {ks: _shifted(reference, "", ks) if ks else _named(reference, "") for ks in distances.values()}
    return Population((reference, *(replace(kinds[ks], name=name) for name, ks in distances.items())))


LADDER_DESIGNS = {
    "no gain": _ladder(_STEPS, isotropic=0.3, random=0.3, token_mean=0.3),
    "no gain, ties": _ladder(_TIES, isotropic=0.3, random=0.3, token_mean=0.3),
    "no gain, at real": _ladder(_STEPS, isotropic=0.0, random=0.0, token_mean=0.0),
    "equal gains": _ladder(_STEPS, isotropic=0.45, random=0.3, token_mean=0.3),
    "equal gains, ties": _ladder(_TIES, isotropic=0.45, random=0.3, token_mean=0.3),
    "equal gains to real": _ladder(_STEPS, isotropic=0.3, random=0.15, factor_mixture=0.0),
    "one gain": _ladder(_STEPS, isotropic=0.45, random=0.1, token_mean=0.45),
    "unequal gains": _ladder(_SKEWED, isotropic=0.45, random=0.1, token_mean=0.35),
}
"""Rungs on one lower rung, or one on the other, that bring a type nearer to real by nothing, alike, or not alike."""

_PEAKS = PlantedType("real", 50, 20, shape="two peaks")
_HEAVY = PlantedType("real", 22, 20, shape="lognormal")
_LATE = _named(_STEPS, "", centre=70, sd=10)


def _copies(name: str, changed: float) -> PlantedType:
    """Steps that are those of the reference but for a share of them, which come later."""
    return replace(_LATE, name=name, copied=_STEPS, changed=changed)


CORNER_DESIGNS = {
    "zero inflation": Population(
        (
            _STEPS,
            _named(_STEPS, "same"),
            _named(_STEPS, "later", centre=58),
            _copies("3 % changed", 0.03),
        )
    ),
    "copies": Population(
        (
            _STEPS,
            *(_copies(f"{100 * share:g} % changed", share) for share in (0.0, 0.02, 0.05, 0.1)),
            _named(_STEPS, "same"),
        )
    ),
    "far": Population((_STEPS, _named(_STEPS, "far", centre=88, sd=4), _named(_STEPS, "farther", centre=94, sd=2))),
    "opposite sides": Population(
        (_STEPS, _shifted(_STEPS, "later", 0.3), _shifted(_STEPS, "earlier", 0.3, later=False))
    ),
    "one-sided censoring": Population(
        (
            PlantedType("real", 50, 20),
            _named(PlantedType("real", 60, 20), "10 % censored", never=0.1),
            _named(PlantedType("real", 60, 20), "half censored", never=0.5),
        )
    ),
    "lognormal": Population((_HEAVY, _named(_HEAVY, "same"), _named(_HEAVY, "later", centre=27, sd=24))),
    "two peaks": Population((_PEAKS, _named(_PEAKS, "same"), _named(_PEAKS, "one peak", shape="normal"))),
}
"""Where intervals and tests break down: differences in few prompts, in nearly all, long tails, and few prompts."""

CORNER_SAMPLES = (5, 10, 20, 40, 100, 300, 1000)

SURVIVAL_DESIGNS = {"ties": _tests(_TIES), "censored": _tests(PlantedType("real", 70, 20, never=0.2))}
"""Every event inside the window, and a quarter of them outside."""
