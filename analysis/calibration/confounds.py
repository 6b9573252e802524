"""Planted confounding: types whose targets lie elsewhere, and differ, or not, once that is allowed for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibration.outcomes import Outcome, covers
from plateaulens.compare.confounds import adjusted_difference, matched, matched_difference
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig

SLOPE = 4.0
"""Steps per standard deviation of the covariate."""


@dataclass(frozen=True)
class PlantedConfounding:
    """A covariate that is `shift` standard deviations larger for the type than for real, and moves its steps."""

    shift: float
    difference: float
    """Steps by which the type comes later at an equal covariate."""


CONFOUNDING_DESIGNS = {
    "no difference": PlantedConfounding(0.5, 0.0),
    "difference": PlantedConfounding(0.5, 3.0),
}


def replicate_confounds(
    design: PlantedConfounding, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Raw, adjusted and matched differences on one draw; all are held against the difference at an equal covariate.

    Steps are whole, and spread the more the further the two covariates lie apart. A method that declines to estimate,
    for want of matches or of overlap, has no outcome.

    Parameters
    ----------
    design
        One of `CONFOUNDING_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds the planted difference.
    """
    confidence = AnalysisConfig().confidence
    real = rng.standard_normal(samples)
    other = 0.5 * real + np.sqrt(0.75) * rng.standard_normal(samples) + design.shift
    spread = 6.0 + 2.0 * np.abs(other - real)
    change = np.round(design.difference + SLOPE * (other - real) + spread * rng.standard_normal(samples))
    resampling = Resampling.draw(rng, samples=samples, resamples=resamples)
    adjusted = adjusted_difference(change, (other - real)[:, np.newaxis], confidence)
    near, _ = matched_difference(change, matched(other, real), resampling, confidence)
    raw, _ = matched_difference(change, np.ones(samples, dtype=np.bool_), resampling, confidence)
    for method, estimate in {"regression, HC3": adjusted, "matched": near, "none": raw}.items():
        if np.isfinite(estimate.value):
            interval = (estimate.lower, estimate.upper)
            yield covers("adjusted difference", method, "type", design.difference, interval)
