"""Planted confounding: types whose targets lie elsewhere, and differ, or not, once that is allowed for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.outcomes import Outcome, covers, rejects
from plateaulens.compare.confounds import adjusted_difference, matched, matched_difference
from plateaulens.config import AnalysisConfig

LARGEST_GROUP = 6
"""Base prompts of a group that shares a target, where some do: 1 to so many."""


@dataclass(frozen=True)
class PlantedConfounding:
    """A covariate that is `shift` standard deviations larger for the type than for real."""

    shift: float
    difference: float
    """Steps by which the type comes later at an equal covariate."""
    slope: float = 4.0
    """Steps per standard deviation of the covariate; 0 for one that moves nothing."""
    shared: float = 0.0
    """The share of every variance that the base prompts of a group have in common."""


CONFOUNDING_DESIGNS = {
    "no difference": PlantedConfounding(0.5, 0.0),
    "difference": PlantedConfounding(0.5, 3.0),
    "irrelevant covariate": PlantedConfounding(0.5, 2.0, slope=0.0),
    "linked prompts": PlantedConfounding(0.5, 3.0, shared=0.6),
    "linked prompts, irrelevant covariate": PlantedConfounding(0.5, 2.0, slope=0.0, shared=0.6),
}


def replicate_confounds(
    design: PlantedConfounding, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Raw, adjusted and matched differences on one draw, and what the adjustment changes.

    Differences are held against the planted one at an equal covariate, changes against what the covariate's shift
    brings about; a change that is claimed of a covariate that moves nothing is an error. Steps are whole, and spread
    the more the further the two covariates lie apart. A method that declines to estimate, for want of matches or of
    overlap, has no outcome.

    Parameters
    ----------
    design
        One of `CONFOUNDING_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        Of no meaning: these intervals are not resampled.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds what was planted, and whether a change is claimed.
    """
    del resamples
    confidence = AnalysisConfig().confidence
    groups = np.arange(samples)
    if design.shared:
        groups = np.repeat(np.arange(samples), rng.integers(1, LARGEST_GROUP + 1, size=samples))[:samples]
    real = _normal(rng, groups, design.shared)
    other = 0.5 * real + np.sqrt(0.75) * _normal(rng, groups, design.shared) + design.shift
    spread = 6.0 + 2.0 * np.abs(other - real)
    noise = spread * _normal(rng, groups, design.shared)
    change = np.round(design.difference + design.slope * (other - real) + noise)
    covariate = (other - real)[:, np.newaxis]
    found = {
        "regression, CR3": adjusted_difference(change, covariate, confidence, groups),
        "matched": matched_difference(change, matched(other, real), confidence, groups).estimate,
    }
    raw = adjusted_difference(change, np.empty((samples, 0)), confidence, groups).difference
    for method, (difference, moved) in found.items():
        if np.isfinite(difference.value):
            truth = design.slope * design.shift
            yield covers("adjusted difference", method, "type", design.difference, difference.interval)
            yield covers("change by adjustment", method, "type", truth, moved.interval)
            claimed = moved.lower > 0 or moved.upper < 0
            yield rejects("change by adjustment", method, "type", truth, claimed, null=design.slope == 0)
    if design.slope:
        yield covers("adjusted difference", "none", "type", design.difference, raw.interval)
    if design.shared:
        alone = adjusted_difference(change, covariate, confidence).difference
        yield covers("adjusted difference", "regression, HC3", "type", design.difference, alone.interval)


def _normal(rng: np.random.Generator, groups: NDArray[np.int_], shared: float) -> NDArray[np.float64]:
    """Standard normal values, (samples,), of which the base prompts of a group share a part of the variance."""
    common = rng.standard_normal(int(groups.max()) + 1)[groups]
    values: NDArray[np.float64] = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(len(groups))
    return values
