"""The populations of the calibration: what steps look like in stored runs, and the corners where methods fail."""

from dataclasses import replace

from scipy.optimize import brentq

from calibration import truth
from calibration.population import PlantedType, Population
from plateaulens.config import AnalysisConfig

SAMPLES = (50, 200, 1000)

_STEPS = PlantedType("real", 50, 12)
_TIES = PlantedType("real", 9, 2)
_SKEWED = PlantedType("real", 20, 10, never=0.02, skewed=True)


def _named(kind: PlantedType, name: str, **changes: float | bool) -> PlantedType:
    return replace(kind, name=name, **{"likeness": 0.4, **changes})  # type: ignore[arg-type]


INTERVAL_DESIGNS = {
    "steps": Population(
        (
            _STEPS,
            _named(_STEPS, "same"),
            _named(_STEPS, "twin", centre=51, likeness=0.97),
            _named(_STEPS, "later", centre=60, sd=14, never=0.05),
            _named(_STEPS, "wide", sd=18, skewed=True),
            _named(_STEPS, "censored", centre=60, sd=15, never=0.25),
        )
    ),
    "ties": Population(
        (
            _TIES,
            _named(_TIES, "same"),
            _named(_TIES, "twin", centre=9.3, likeness=0.97),
            _named(_TIES, "later", centre=10, sd=2.5),
            _named(_TIES, "wide", sd=3, skewed=True),
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

SHARED_DESIGNS = {
    "shared targets": Population(
        (_STEPS, _named(_STEPS, "same"), _named(_STEPS, "later", centre=60, sd=14, never=0.05)), targets_per_prompt=16
    )
}
"""A target prompt may serve several base prompts, as in a run: here it does so more often."""


def _shifted(reference: PlantedType, name: str, ks: float, *, later: bool = True) -> PlantedType:
    """The reference's distribution moved until its Kolmogorov-Smirnov distance to the reference is `ks`."""

    def moved(size: float) -> PlantedType:
        return _named(reference, name, centre=reference.centre + (size if later else -size))

    return moved(float(brentq(lambda size: truth.ks(moved(size), reference) - ks, 0.0, 2 * reference.sd, xtol=1e-9)))


MARGIN = AnalysisConfig().equivalence_margin

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

SURVIVAL_DESIGNS = {"ties": _tests(_TIES), "censored": _tests(PlantedType("real", 70, 20, never=0.2))}
"""Every event inside the window, and a quarter of them outside."""
