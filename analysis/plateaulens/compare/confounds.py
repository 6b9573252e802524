"""Whether types differ because of what they are, or only because their targets lie elsewhere.

Targets of different types differ in length, distance from the base, angle and distance from the average base, and each
of these moves a curve by itself. Two estimates, both paired within base prompts, so that everything the types of a
prompt share (the base, its norm, its number of active latents) cannot confound, and a check of what they rest on:

- `adjusted_difference` regresses a prompt's difference in steps (type minus real) on its differences in the covariates.
  The intercept is the difference expected of a prompt whose two targets agree in them. One row per base prompt makes
  clusters of one, so heteroscedasticity-robust (HC3) standard errors are cluster-robust here, and no distribution of
  prompt effects is assumed, as a mixed model would.
- `matched_difference` keeps the base prompts whose two targets happen to agree in a covariate to within `CALIPER`
  standard deviations (Austin 2011), and averages their differences without a model.
- `overlap` says when the first cannot be had: where hardly a prompt has the type's target on one side of the real one,
  or where equality in all covariates lies outside the data's ellipsoid, the intercept would be an extrapolation, and
  there is no estimate.

Neither answer is causal: norm and distance are also part of what a type is.
"""

from typing import NamedTuple

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray

from plateaulens.compare.intervals import MINIMUM
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio

CALIPER = 0.2
"""How near two targets must be to count as matched, in pooled standard deviations of the covariate."""
RARER_SIDE = 0.025
"""The share of base prompts whose type's target must lie at or below the real one, and at or above it, for overlap."""
PRECISION = 1e-9
"""Relative spread below which a covariate counts as constant: rounding of double precision."""


class Estimate(NamedTuple):
    """A mean difference in steps with the bounds of its interval; all NaN without overlap, or with too few matches."""

    value: float
    lower: float
    upper: float


NO_OVERLAP = Estimate(np.nan, np.nan, np.nan)


def adjusted_difference(
    change: NDArray[np.float64], covariate_change: NDArray[np.float64], confidence: float
) -> Estimate:
    """The mean difference at equal covariates: the intercept of its regression on the differences of the covariates.

    Ordinary least squares with HC3 standard errors and Student's t (statsmodels); without covariates the mean and its
    robust interval. Rows with a NaN are left out, and covariates that never differ.

    Parameters
    ----------
    change
        Differences in steps, type minus real, (n,).
    covariate_change
        Differences of the covariates, (n, covariates).
    confidence
        The nominal coverage.

    Returns
    -------
    Estimate
        In steps. `NO_OVERLAP` when fewer than `MINIMUM` rows per parameter remain or `overlap` denies it. Constant
        changes give that value exactly.
    """
    known = np.isfinite(change) & np.isfinite(covariate_change).all(axis=1)
    change, covariates = change[known], _varying(covariate_change[known])
    if len(change) < MINIMUM * (1 + covariates.shape[1]) or not overlap(covariates):
        return NO_OVERLAP
    if np.ptp(change) == 0:
        return Estimate(*[float(change[0])] * 3)
    design = sm.add_constant(covariates, prepend=True, has_constant="add")
    fit = sm.OLS(change, design).fit(cov_type="HC3", use_t=True)
    lower, upper = fit.conf_int(alpha=1 - confidence)[0]
    return Estimate(float(fit.params[0]), float(lower), float(upper))


def overlap(covariate_change: NDArray[np.float64]) -> bool:
    """Whether equality (0) in all covariates lies within the differences that the data hold.

    Each covariate must have at least `RARER_SIDE` of the prompts at or below 0 and as many at or above; and together
    the leverage of the point 0 must not exceed that of every observed one, the usual rule against hidden extrapolation
    (Montgomery, Peck and Vining, Introduction to Linear Regression Analysis).

    Parameters
    ----------
    covariate_change
        Differences of the covariates, type minus real, (n, covariates), without NaN.

    Returns
    -------
    bool
        True without covariates, False without prompts.

    Examples
    --------
    >>> changes = np.arange(-10.0, 11.0)[:, np.newaxis]
    >>> overlap(changes), overlap(changes + 10.5)
    (True, False)
    """
    n = len(covariate_change)
    if n == 0:
        return False
    if not all(min((column <= 0).sum(), (column >= 0).sum()) >= RARER_SIDE * n for column in covariate_change.T):
        return False
    design = sm.add_constant(covariate_change, prepend=True, has_constant="add")
    inverse = np.linalg.pinv(design.T @ design)
    leverage = ((design @ inverse) * design).sum(axis=1)
    return bool(inverse[0, 0] <= leverage.max())


def _varying(covariates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariates but those that are 0 throughout, to rounding: they agree everywhere and adjust nothing."""
    if not len(covariates):
        return covariates
    largest = np.abs(covariates).max(axis=0)
    return covariates[:, largest > PRECISION * max(1.0, float(largest.max(initial=0.0)))]


def matched_difference(
    change: NDArray[np.float64], kept: NDArray[np.bool_], resampling: Resampling, confidence: float
) -> tuple[Estimate, int]:
    """The mean difference over the base prompts that are kept, with its percentile interval.

    Base prompts are resampled, matched or not, so that the number of matches varies as it would.

    Parameters
    ----------
    change
        Differences in steps, type minus real, (n,); those that are NaN are not kept.
    kept
        Which base prompts to keep, (n,).
    resampling
        Resamples of the n base prompts.
    confidence
        The nominal coverage.

    Returns
    -------
    estimate : Estimate
        In steps; `NO_OVERLAP` when fewer than `MINIMUM` prompts are kept.
    number : int
        How many are kept.
    """
    kept = kept & np.isfinite(change)
    number = int(kept.sum())
    if number < MINIMUM:
        return NO_OVERLAP, number
    means = ratio(resampling.sums(np.where(kept, change, 0.0)), resampling.sums(kept))
    lower, upper = percentile_interval(means[1:], confidence)
    return Estimate(float(means[0]), float(lower), float(upper)), number


def matched(covariate: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which base prompts have a covariate within `CALIPER` pooled standard deviations of the reference's.

    Parameters
    ----------
    covariate, reference
        The covariate of the type's targets and of the reference's, (n,).

    Returns
    -------
    NDArray[np.bool_]
        The matches, (n,). NaN matches nothing, and what has no spread matches when equal.

    Examples
    --------
    >>> matched(np.array([0.0, 10.0, 20.0]), np.array([1.0, 5.0, 20.0]))
    array([ True, False,  True])
    """
    return np.asarray(np.abs(covariate - reference) <= CALIPER * pooled_sd(covariate, reference))


def pooled_sd(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The root of the mean of two samples' variances.

    Parameters
    ----------
    first, second
        The samples, (n,); pairs with a NaN are left out.

    Returns
    -------
    float
        The pooled standard deviation; 0 when no pair is left.
    """
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return 0.0
    return float(np.sqrt((first[known].var() + second[known].var()) / 2))
