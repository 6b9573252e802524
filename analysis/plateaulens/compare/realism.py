"""How near a type's targets come to real activations, and whether they do so by copying.

- **Novelty**: the median distance of targets to the nearest real activation, over that of a real one to the nearest
  other; and the share of **copies**, targets within a hundredth of that distance.
- **Density and coverage** (Naeem, Oh, Uh, Choi and Yoo 2020, arXiv 2002.09797), with balls around real targets that
  reach to the `NEIGHBOURS`-th nearest other: how many balls a target lies in, 1 on average for exchangeable targets;
  and the share of balls with a target in them. Both are counts of distances, whose expectation under the hypothesis is
  known. Alpha-precision and authenticity (Alaa, van Breugel, Saveliev and van der Schaar 2022) ask the same of a
  learned embedding, whose training would be one more thing to choose; what authenticity asks, copies and novelty
  answer.
- **Fréchet distance** between normal distributions of the means and covariances, over that of real targets to real ones
  of other prompts. Of n points it is large by chance, more so the fewer they are, so both are between halves.

For density, coverage and Fréchet distances prompts of one group (that share an activation) are never compared with each
other. What is nearest is looked for among all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.stats import norm

from plateaulens.compare.detectors import cumulated
from plateaulens.compare.resampling import percentile_interval, ratio

COPY = 0.01
"""A target is a copy when it is this much nearer to a real activation than real ones usually are to each other."""
NEIGHBOURS = 5
"""As Naeem et al. recommend."""
HALVINGS = 5
"""Ways to cut the prompts in two that a Fréchet distance is the mean of."""
DIMENSIONS = 64
"""Principal components that Fréchet distances are in: with more of them than points, chance is most of a distance."""


def squared_distances(
    points: NDArray[np.floating], others: NDArray[np.floating], *, origin: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Squared Euclidean distances by one matrix product, in single precision.

    Parameters
    ----------
    points, others
        (points, d_model) and (others, d_model).
    origin
        A point in their midst, (d_model,), from which numbers are smaller and so less rounded.

    Returns
    -------
    NDArray[np.float32]
        (points, others), none below 0.
    """
    one, other = ((each - origin).astype(np.float32) for each in (points, others))
    found = one @ other.T
    found *= -2
    found += (one**2).sum(axis=1)[:, np.newaxis]
    found += (other**2).sum(axis=1)
    np.maximum(found, 0, out=found)
    return np.asarray(found)


def nearest(
    points: NDArray[np.floating],
    others: NDArray[np.floating],
    squared: NDArray[np.float32],
    *,
    skip_itself: bool,
) -> NDArray[np.float64]:
    """The distance of each point to the nearest of some others, in double precision.

    Parameters
    ----------
    points, others
        (points, d_model) and (others, d_model).
    squared
        Their `squared_distances`; infinite for others that a point is not compared with. It is changed in place.
    skip_itself
        Whether an activation that equals the point in every bit is no other one, but the point itself.

    Returns
    -------
    NDArray[np.float64]
        (points,); infinite for a point without any other.
    """
    found = np.full(len(points), np.inf)
    left = np.arange(len(points))
    while left.size and len(others):
        place = squared[left].argmin(axis=1)
        known = np.isfinite(squared[left, place])
        left, place = left[known], place[known]
        apart = points[left].astype(np.float64) - others[place]
        found[left] = np.sqrt((apart**2).sum(axis=1))
        squared[left, place] = np.inf
        left = left[(found[left] == 0) & skip_itself]
        found[left] = np.inf
    return found


class Novelty(NamedTuple):
    """Whether targets are new."""

    novelty: float
    """The ratio of the medians."""
    interval: NDArray[np.float64]
    """Its percentile interval, (2,), over prompts, of the given real activations."""
    copies: int
    """How many targets are copies."""


def novelty(
    distance: NDArray[np.float64], real: NDArray[np.float64], counts: NDArray[np.float32], confidence: float
) -> Novelty:
    """How much farther targets lie from the nearest real activation than a real one from the nearest other.

    Parameters
    ----------
    distance
        Of each target to the nearest real activation, (n,).
    real
        Of the real target of the same prompt to the nearest other real activation, (n,).
    counts
        How often each prompt comes up in each resample, that of the sample itself in front, (n, 1 + resamples).
    confidence
        The nominal coverage of the interval.

    Returns
    -------
    Novelty
        NaN without prompts, and where real activations usually have a copy among the others.
    """
    if not len(distance):
        return Novelty(np.nan, np.full(2, np.nan), 0)
    usual = _medians(real, counts)
    draws = ratio(_medians(distance, counts), usual)
    return Novelty(
        float(draws[0]), percentile_interval(draws[1:], confidence), int((distance <= COPY * usual[0]).sum())
    )


def _medians(values: NDArray[np.float64], counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """The lower median in each resample, (resamples,)."""
    order = np.argsort(values)
    reached = cumulated(counts[order])[1:]
    place = (2 * reached < reached[-1]).sum(axis=0)
    return np.asarray(values[order][np.minimum(place, len(values) - 1)])


class Fidelity(NamedTuple):
    """Density and coverage of Naeem et al. 2020, a value for each prompt, of which both are the means."""

    density: NDArray[np.float64]
    """Of each target: balls that it lies in, over `NEIGHBOURS`, (n,)."""
    coverage: NDArray[np.float64]
    """Of each real target: 1 where a target lies in its ball, (n,)."""


def fidelity(among_real: NDArray[np.float32], to_real: NDArray[np.float32], group: NDArray[np.int_]) -> Fidelity:
    """Density and coverage of targets, with balls around the real targets of other groups of prompts.

    Parameters
    ----------
    among_real
        `squared_distances` of real targets to each other, (n, n).
    to_real
        Those of a type's targets to real ones, (n, n).
    group
        Prompts of equal number share an activation, (n,).

    Returns
    -------
    Fidelity
        NaN with too few prompts of other groups.
    """
    n = len(group)
    apart = group[:, np.newaxis] != group
    if not n or apart.sum(axis=1).min() < NEIGHBOURS:
        return Fidelity(np.full(n, np.nan), np.full(n, np.nan))
    others = np.where(apart, among_real, np.inf)
    radius = np.partition(others, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
    inside = (to_real <= radius) & apart
    return Fidelity(inside.sum(axis=1) / NEIGHBOURS, inside.any(axis=0).astype(np.float64))


def expected_coverage(prompts: int) -> float:
    """The coverage of exchangeable targets, each ball seeing the targets of all prompts but its own.

    Of the 2 (n - 1) points that a ball's centre is compared with, any are equally likely to be the nearest ones: it is
    the probability that the first `NEIGHBOURS` real ones are not the nearest of all.

    Parameters
    ----------
    prompts
        How many there are, more than `NEIGHBOURS`.

    Returns
    -------
    float
        The expectation (Naeem et al. 2020, eq. 6).

    Examples
    --------
    >>> round(expected_coverage(1000), 3)
    0.969
    """
    nearer = np.arange(NEIGHBOURS)
    return float(1 - np.prod((prompts - 1 - nearer) / (2 * (prompts - 1) - nearer)))


class Ratio(NamedTuple):
    """Fréchet distances of types to real targets, over that of real targets to real ones."""

    ratio: NDArray[np.float64]
    """(type,)."""
    interval: NDArray[np.float64]
    """(type, 2)."""
    floor: float
    """The distance of real targets to real ones of other prompts, with half of the prompts on each side."""


def frechet(
    real: NDArray[np.floating],
    others: Sequence[NDArray[np.floating]],
    group: NDArray[np.int_],
    rng: np.random.Generator,
    confidence: float,
) -> Ratio:
    """The Fréchet distance of each type over its floor, both means over `HALVINGS` random halvings of the prompts.

    Between the targets of one half and the real targets of the other: the same for types and for real itself, so that
    exchangeable targets have a ratio of about 1. Intervals are normal ones for the logarithm of the ratio, with the
    infinitesimal jackknife over groups of prompts: the derivative of the distance by a prompt's weight is known in
    closed form, that of the trace of (C1 C2)^(1/2) being half the optimal transport map.

    Parameters
    ----------
    real
        (n, dimensions), more prompts than dimensions.
    others
        Targets of each type, (n, dimensions) each.
    group
        Prompts of equal number share an activation, of `real` or of `others`, (n,): one group is never in both
        halves, so that no activation is compared with itself.
    rng
        Random numbers of the halvings.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    Ratio
        NaN with fewer than four groups, and where one has more than half of the prompts.
    """
    groups = int(group.max(initial=-1)) + 1
    if groups < 4 or 2 * np.bincount(group).max() > len(group):
        return Ratio(np.full(len(others), np.nan), np.full((len(others), 2), np.nan), np.nan)
    size = np.zeros(1 + len(others))
    influence = np.zeros((1 + len(others), len(group)))
    for _ in range(HALVINGS):
        first = (rng.permutation(groups) < groups // 2)[group]
        for place, other in enumerate((real, *others)):
            value, of_other, of_real = _frechet(other[~first], real[first])
            size[place] += value
            influence[place, ~first] += of_other
            influence[place, first] += of_real
    relative = influence / size[:, np.newaxis]
    by_group = np.array([np.bincount(group, weights=own - relative[0]) for own in relative[1:]]).reshape(-1, groups)
    error = np.sqrt((by_group**2).sum(axis=1) * groups / (groups - 1))
    found = size[1:] / size[0]
    reach = norm.ppf((1 + confidence) / 2) * error
    return Ratio(found, found[:, np.newaxis] * np.exp(np.stack([-reach, reach], axis=1)), float(size[0] / HALVINGS))


def _frechet(
    one: NDArray[np.floating], other: NDArray[np.floating]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The squared Fréchet distance of two samples, and its derivatives by the weight of each point."""
    means = one.mean(axis=0), other.mean(axis=0)
    points = one - means[0], other - means[1]
    covariances = [each.T @ each / len(each) for each in points]
    shift = means[0] - means[1]
    root = [_root(each) for each in covariances]
    middle = _root(root[0] @ covariances[1] @ root[0])
    distance = shift @ shift + sum(np.trace(each) for each in covariances) - 2 * np.trace(middle)
    inverse = np.linalg.pinv(root[0], rcond=1e-6, hermitian=True)
    there = inverse @ middle @ inverse  # from the first to the second
    back = np.linalg.pinv(there, rcond=1e-6, hermitian=True)
    derivatives = []
    for own, sign, transport in zip(points, (1, -1), (there, back), strict=True):
        each = 2 * sign * own @ shift + (own**2).sum(axis=1) - ((own @ transport) * own).sum(axis=1)
        derivatives.append((each - each.mean()) / len(own))
    return float(distance), derivatives[0], derivatives[1]


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square root of a symmetric matrix, eigenvalues below 0 being rounding."""
    value, vector = eigh(matrix)
    root: NDArray[np.float64] = (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T
    return root
