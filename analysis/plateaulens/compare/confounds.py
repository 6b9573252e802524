"""Whether types differ because of what they are, or only because their targets lie elsewhere.

Targets of different types differ in length, distance from the base, angle and distance from the average base, and each
of these moves a curve by itself. Two estimates, both paired within base prompts, so that everything the types of a
prompt share (the base, its norm, its number of active latents) cannot confound, and a check of what they rest on:

- `adjusted_difference` regresses a prompt's difference in steps (type minus real) on its differences in the covariates.
  The intercept is the difference expected of a prompt whose two targets agree in them.
- `matched_difference` keeps the base prompts whose two targets happen to agree in a covariate to within `CALIPER`
  standard deviations (Austin 2011), and averages their differences without a model.
- `overlap` says when the first cannot be had: where hardly a prompt has the type's target on one side of the real one,
  or where equality in all covariates lies outside the data's ellipsoid, the intercept would be an extrapolation, and
  there is no estimate.

What an adjustment does to a difference is a question of its own. That an adjusted interval holds 0 where the raw one
did not says little: an adjusted estimate is less precise, of a covariate without any influence too. So each method also
gives the change, the raw difference minus the adjusted one, of the same base prompts and with an interval of its own.

Intervals are those of the jackknife that leaves out one group of base prompts at a time, estimate +- t sqrt(sum_g
(estimate without g - estimate)^2). Of a regression that is the cluster-robust CR3 (Bell and McCaffrey 2002, Survey
Methodology 28:169; MacKinnon, Nielsen and Webb 2023, Journal of Applied Econometrics 38:671), and HC3 where every base
prompt is a group of its own; statsmodels has the latter, and of the former only CR1, which is too narrow for groups of
unequal size. Raw and adjusted estimates share the groups that are left out, so that the change has its interval from
the same formula. No distribution of prompt effects is assumed, as a mixed model would.

Neither answer is causal: norm and distance are also part of what a type is.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from statsmodels.tools.tools import add_constant

from plateaulens.compare.intervals import MINIMUM
from plateaulens.compare.resampling import ratio

CALIPER = 0.2
"""How near two targets must be to count as matched, in pooled standard deviations of the covariate."""
RARER_SIDE = 0.025
"""The share of base prompts whose type's target must lie at or below the real one, and at or above it, for overlap."""
PRECISION = 1e-9
"""Relative spread below which a covariate counts as constant: rounding of double precision."""


class Estimate(NamedTuple):
    """A number of steps with the bounds of its interval; all NaN without overlap, or with too few matches."""

    value: float
    lower: float
    upper: float
    p: float
    """Of 0, by the same Student's t: below 1 - `confidence` exactly where the interval excludes 0."""

    @property
    def interval(self) -> NDArray[np.float64]:
        """Both bounds, (2,)."""
        return np.array([self.lower, self.upper])


NO_OVERLAP = Estimate(np.nan, np.nan, np.nan, np.nan)


class Adjusted(NamedTuple):
    """A mean difference at equal geometry, and by how much the raw one of the same base prompts exceeds it."""

    difference: Estimate
    change: Estimate
    """The raw difference minus the adjusted one: of the sign of the raw one where that shrinks towards 0."""


NOT_ADJUSTED = Adjusted(NO_OVERLAP, NO_OVERLAP)


class Matched(NamedTuple):
    """What the matched base prompts say, and how many they are."""

    estimate: Adjusted
    prompts: int


def adjusted_difference(
    change: NDArray[np.float64],
    covariate_change: NDArray[np.float64],
    confidence: float,
    groups: NDArray[np.int_] | None = None,
) -> Adjusted:
    """The mean difference at equal covariates: the intercept of its regression on the differences of the covariates.

    Ordinary least squares with CR3 standard errors (HC3 without groups; see the module's docstring) and Student's t of
    as many degrees of freedom as there are more groups than parameters. The raw difference is the mean of the same
    rows, so without covariates nothing changes. The change is a product, of coefficients and of the covariates' mean
    differences, and skewed for few groups: its t has one degree of freedom less than there are groups per parameter.
    Rows with a NaN are left out, and covariates that never differ.

    Parameters
    ----------
    change
        Differences in steps, type minus real, (n,).
    covariate_change
        Differences of the covariates, (n, covariates).
    confidence
        The nominal coverage.
    groups
        The group of each base prompt, (n,): those of one group are not independent. None stands for groups of one.

    Returns
    -------
    Adjusted
        In steps. `NOT_ADJUSTED` when fewer than `MINIMUM` groups per parameter remain, when `overlap` denies it, or
        when a single group decides what a covariate does. Constant differences give that value exactly, and a change of
        0.
    """
    known = np.isfinite(change) & np.isfinite(covariate_change).all(axis=1)
    change, covariates = change[known], _varying(covariate_change[known])
    group = _numbered(np.arange(len(known)) if groups is None else groups, known)
    count = int(group.max(initial=-1)) + 1
    if count < MINIMUM * (1 + covariates.shape[1]) or not overlap(covariates):
        return NOT_ADJUSTED
    if np.ptp(change) == 0:
        same = float(change[0])
        return Adjusted(Estimate(same, same, same, float(same == 0)), Estimate(0.0, 0.0, 0.0, 1.0))
    design = add_constant(covariates, prepend=True, has_constant="add")
    intercepts = _intercepts(change, design, group, count)
    if intercepts is None:
        return NOT_ADJUSTED
    means = _means(change, np.ones(len(change)), group, count)
    parameters = design.shape[1]
    return Adjusted(
        _jackknifed(intercepts, confidence, count - parameters),
        _jackknifed(means - intercepts, confidence, count // parameters - 1),
    )


def _numbered(groups: NDArray[np.int_], kept: NDArray[np.bool_]) -> NDArray[np.int_]:
    """The groups of the base prompts that are kept, numbered from 0 without a gap."""
    return np.unique(groups[kept], return_inverse=True)[1].astype(np.int_)


def _intercepts(
    values: NDArray[np.float64], design: NDArray[np.float64], group: NDArray[np.int_], count: int
) -> NDArray[np.float64] | None:
    """The least-squares intercept of all rows (element 0), and of the rows without each group, (1 + groups,).

    None when the rows without some group do not determine it.
    """
    basis, triangle = np.linalg.qr(design)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(count))
    products = np.add.reduceat((basis[:, :, np.newaxis] * basis[:, np.newaxis, :])[order], starts, axis=0)
    moments = np.add.reduceat((basis * values[:, np.newaxis])[order], starts, axis=0)
    # In the orthonormal basis all rows together have the identity as their products.
    remaining = np.eye(basis.shape[1]) - products
    if (np.linalg.det(remaining) < PRECISION).any():
        return None
    whole = moments.sum(axis=0)
    without = np.linalg.solve(remaining, (whole - moments)[:, :, np.newaxis])[:, :, 0]
    found: NDArray[np.float64] = np.linalg.solve(triangle, np.vstack([whole, without]).T)[0]
    return found


def _means(
    values: NDArray[np.float64], weights: NDArray[np.float64], group: NDArray[np.int_], count: int
) -> NDArray[np.float64]:
    """The weighted mean of all rows (element 0), and of the rows without each group, (1 + groups,)."""
    totals, sizes = (np.bincount(group, each, minlength=count) for each in (values * weights, weights))
    return ratio(np.append(totals.sum(), totals.sum() - totals), np.append(sizes.sum(), sizes.sum() - sizes))


def _jackknifed(estimates: NDArray[np.float64], confidence: float, freedom: int) -> Estimate:
    """An estimate (element 0) with the interval that those without each group (the other elements) give it."""
    value = float(estimates[0])
    error = float(np.sqrt(((estimates[1:] - value) ** 2).sum()))
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * error
    p = 2 * float(student.sf(abs(value) / error, freedom)) if error else float(value == 0)
    return Estimate(value, value - reach, value + reach, p)


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
    design = add_constant(covariate_change, prepend=True, has_constant="add")
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
    change: NDArray[np.float64],
    kept: NDArray[np.bool_],
    confidence: float,
    groups: NDArray[np.int_] | None = None,
) -> Matched:
    """The mean difference over the base prompts that are kept.

    Student's t has as many degrees of freedom as there are groups with a match, less one: the raw mean rests on more
    base prompts, so that the change's interval is rather too wide. (A percentile interval of bootstrap draws, whatever
    the number of matches, is too narrow with a dozen of them.)

    Parameters
    ----------
    change
        Differences in steps, type minus real, (n,); those that are NaN are not kept, nor part of the raw mean.
    kept
        Which base prompts to keep, (n,).
    confidence
        The nominal coverage.
    groups
        The group of each base prompt, (n,), as `adjusted_difference` has them.

    Returns
    -------
    Matched
        In steps; `NOT_ADJUSTED` when base prompts of fewer than `MINIMUM` groups are kept.
    """
    known = np.isfinite(change)
    kept = kept[known]
    group = _numbered(np.arange(len(known)) if groups is None else groups, known)
    count, with_match = int(group.max(initial=-1)) + 1, len(np.unique(group[kept]))
    if with_match < MINIMUM:
        return Matched(NOT_ADJUSTED, int(kept.sum()))
    every, near = (
        _means(change[known], weight.astype(np.float64), group, count) for weight in (np.ones(len(group)), kept)
    )
    freedom = with_match - 1
    estimate = Adjusted(_jackknifed(near, confidence, freedom), _jackknifed(every - near, confidence, freedom))
    return Matched(estimate, int(kept.sum()))


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
