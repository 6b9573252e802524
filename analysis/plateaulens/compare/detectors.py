"""What gives a single activation away: how well its features, and classifiers of them, tell a type's targets from real.

A detector gives every activation a score, and is judged by the area under its ROC curve. Some scores are features that
stand by themselves (its norm, its distance to the nearest real activation, what an SAE makes of it); two are those of
classifiers, of all features together and of the whole activation.

Both classifiers are least-squares discriminants with an intercept and a ridge, of columns and their squares (of few
columns also their products), cross-fitted: what scores a prompt has not seen it. Least squares are linear in the
labels, so that one factorisation for each fold refits them for every swap of labels, and p-values are as exact as those
of a single feature. Logistic regression and boosted trees would have to be fitted a thousand times for each type; and
to swap labels under scores that stay as they are is not valid: what scores one fold has learned from the labels of the
others, so that the scores of all folds together are not exchangeable under the hypothesis.

What comes before the labels (ranks, standard deviations) is computed from all draws together, or (principal components)
from real activations that are none of the draws, and is the same whichever of them is called real.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.special import ndtri
from scipy.stats import rankdata

from plateaulens.compare.distinguish import FOLDS, deal_folds, standardised
from plateaulens.compare.permutation import ROUNDING
from plateaulens.compare.resampling import Resampling, count_clusters, percentile_interval, ratio

COMPONENTS = 32
"""Principal components whose values and squares the classifier of whole activations sees."""
NEGLIGIBLE = 1e-6
"""Components with less than this share of the largest variance are rounding."""
LEAST = 1e-12
"""Squared lengths below this are none."""
FEATURE_RIDGE, ACTIVATION_RIDGE = 1.0, 50.0
"""Added to the sums of squares of standardised columns, in observations: the second has more columns to hold back."""


class Detection(NamedTuple):
    """How well each detector tells other draws from the first: a row per feature, then the two classifiers.

    NaN where a feature is not known of every activation.
    """

    auc: NDArray[np.float64]
    """(detector,): the share of (other, real) pairs in which `other` has the higher score, ties half. Chance is 0.5; a
    feature that is lower in `other` lies below it."""
    auc_interval: NDArray[np.float64]
    """(detector, 2): percentile intervals over groups, of features. NaN for classifiers, which other prompts would
    have taught otherwise: an interval of the given scores leaves that out."""
    p: NDArray[np.float64]
    """(detector,): p-values, two-sided for features and one-sided for classifiers."""


def detect(
    features: NDArray[np.floating],
    columns: NDArray[np.floating],
    group: NDArray[np.int_],
    rng: np.random.Generator,
    *,
    permutations: int,
    resamples: int,
    confidence: float,
) -> Detection:
    """Tell the first of two or more draws from the others, by every detector.

    The hypothesis is that the draws of a base prompt are exchangeable. In every reassignment one draw of each group of
    prompts, at random, is called real. The statistic is how far the mean rank of what is called real lies from that of
    all; for the classifiers, which are fitted again, the difference of mean scores over their standard deviation.
    p = (1 + hits) / (1 + permutations).

    Parameters
    ----------
    features
        Features of every activation, (draw, feature, n), those of real first. One with a NaN is left out.
    columns
        What is seen of whole activations, (draw, n, columns); see `Frame.columns`.
    group
        Prompts of equal number share an activation, (n,), numbered from 0.
    rng
        Random numbers of the reassignments, the folds and the resamples, in that order.
    permutations
        The number of random reassignments.
    resamples
        The number of resamples behind intervals.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    Detection
        NaN throughout with fewer groups than `plateaulens.compare.distinguish.FOLDS`.
    """
    draws, number, n = features.shape
    found = Detection(np.full(number + 2, np.nan), np.full((number + 2, 2), np.nan), np.full(number + 2, np.nan))
    groups = count_clusters(group)
    if groups < FOLDS:
        return found
    called = np.zeros((1 + permutations, groups), dtype=np.int_)  # the reassignment as it is stands in front
    called[1:] = rng.integers(draws, size=(permutations, groups))
    is_real = (called[:, np.newaxis, group] == np.arange(draws)[:, np.newaxis]).reshape(len(called), -1)
    fold = np.tile(deal_folds(group, rng), draws)
    counts = Resampling.draw(rng, samples=n, resamples=resamples, clusters=group).of_prompts.T.astype(np.float32)
    pooled = np.moveaxis(features, 1, 0).reshape(number, -1).astype(np.float64)
    for place, scores, statistic in _scored(pooled, columns.reshape(draws * n, -1), is_real, fold, draws):
        area = resampled_areas(scores[:n], scores[n:].reshape(draws - 1, n), counts)
        found.auc[place] = area[0]
        if place < number:
            found.auc_interval[place] = percentile_interval(area[1:], confidence)
        hits = (statistic[1:] >= statistic[0] - ROUNDING * abs(statistic[0])).sum()
        found.p[place] = (1 + hits) / (1 + permutations)
    return found


def _scored(
    features: NDArray[np.float64],
    columns: NDArray[np.floating],
    is_real: NDArray[np.bool_],
    fold: NDArray[np.int_],
    draws: int,
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """The place of each detector, its scores of all activations, and its statistic in every reassignment."""
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    ranks = rankdata(features[known], axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    for own, statistic in zip(known.tolist(), np.abs(centred @ is_real.T.astype(np.float64)), strict=True):
        yield own, features[own], statistic
    labels = np.where(is_real, -1.0, 1 / (draws - 1)).astype(np.float32)
    for place, points, ridge in (
        (len(features), expanded(ndtri((ranks.T - 0.5) / ranks.shape[1])), FEATURE_RIDGE),
        (len(features) + 1, standardised(columns.astype(np.float64)), ACTIVATION_RIDGE),
    ):
        if points.any():
            scores = cross_fitted(points, labels, fold, ridge)
            yield place, scores[0].astype(np.float64), _apart(scores, labels)


def _apart(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far the scores of both labels lie apart, in standard deviations of the scores, in every reassignment."""
    total, squares, product = (
        np.einsum("rp,rp->r", one, other, dtype=np.float64)
        for one, other in ((scores, np.ones_like(scores)), (scores, scores), (scores, labels))
    )
    n = scores.shape[1]
    spread = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0.0))
    return np.nan_to_num(ratio(product / n - total / n * labels.mean(axis=1, dtype=np.float64), spread))


def cross_fitted(
    points: NDArray[np.float64], labels: NDArray[np.float32], fold: NDArray[np.int_], ridge: float
) -> NDArray[np.float32]:
    """Scores of least-squares classifiers of which each has not seen the fold that it scores.

    Parameters
    ----------
    points
        Columns of every point, (points, columns).
    labels
        Labels of the points in every reassignment, (reassignments, points).
    fold
        The fold of each point, (points,).
    ridge
        Added to the sums of squares of the columns.

    Returns
    -------
    NDArray[np.float32]
        Scores, (reassignments, points), above 0 towards the larger label.
    """
    scores = np.empty(labels.shape, dtype=np.float32)
    for own in np.unique(fold):
        test, train = fold == own, fold != own
        mean = points[train].mean(axis=0)
        seen = points[train] - mean
        factor = cho_factor(seen.T @ seen + ridge * np.eye(points.shape[1]))
        weights = cho_solve(factor, seen.T).astype(np.float32)
        scores[:, test] = (labels[:, train] @ weights.T) @ (points[test] - mean).T.astype(np.float32)
    return scores


def expanded(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns, their squares and their products, standardised: what a quadratic discriminant sees.

    Parameters
    ----------
    columns
        (points, columns).

    Returns
    -------
    NDArray[np.float64]
        (points, columns + columns (columns + 1) / 2).

    Examples
    --------
    >>> expanded(np.array([[0.0, 1.0], [2.0, 3.0]])).tolist()
    [[-1.0, -1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    first, second = np.triu_indices(columns.shape[1])
    return standardised(np.concatenate([columns, columns[:, first] * columns[:, second]], axis=1))


class Frame(NamedTuple):
    """The principal components of some real activations, in which others are described; see `Frame.fit`."""

    mean: NDArray[np.float64]
    """(d_model,)."""
    scale: NDArray[np.float64]
    """Standard deviations, infinite where a dimension is constant, (d_model,)."""
    direction: NDArray[np.float64]
    """Of components in falling order of their variance, (d_model, components)."""
    size: NDArray[np.float64]
    """The standard deviation of each component, (components,)."""
    usual: NDArray[np.float64]
    """The median of each of `lengths`, (3,)."""

    @classmethod
    def fit(cls, real: NDArray[np.floating]) -> Self:
        """The frame of real activations that take no part in a comparison.

        Parameters
        ----------
        real
            (n, d_model), one at least.

        Returns
        -------
        Frame
            Of standardised dimensions, without components that are rounding.
        """
        points = real.astype(np.float64)
        mean, spread = points.mean(axis=0), points.std(axis=0)
        scale = np.where(spread > 1e-9 * np.abs(points).max(axis=0), spread, np.inf)
        standard = (points - mean) / scale
        value, vector = eigh(standard.T @ standard / len(points))
        kept = np.flatnonzero(value > NEGLIGIBLE * value.max())[::-1]
        frame = cls(mean, scale, vector[:, kept], np.sqrt(value[kept]), np.zeros(3))
        return frame._replace(usual=np.median(frame.lengths(points), axis=0))

    def components(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """The components of activations, in units of the frame's own standard deviations.

        Parameters
        ----------
        activations
            (..., d_model).

        Returns
        -------
        NDArray[np.float64]
            (..., components).
        """
        found: NDArray[np.float64] = ((activations - self.mean) / self.scale) @ self.direction / self.size
        return found

    def lengths(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far out activations lie, as logarithms of squared lengths.

        Parameters
        ----------
        activations
            (..., d_model).

        Returns
        -------
        NDArray[np.float64]
            In the first `COMPONENTS`, beside them, and in all components, (..., 3). Components are counted in units of
            their standard deviations, what lies beside the first ones in those of dimensions.
        """
        component = self.components(activations)
        inside = component[..., :COMPONENTS]
        beside = (((activations - self.mean) / self.scale) ** 2).sum(axis=-1)
        beside -= ((inside * self.size[:COMPONENTS]) ** 2).sum(axis=-1)
        squares = [(inside**2).sum(axis=-1), beside, (component**2).sum(axis=-1)]
        return np.asarray(np.log(np.maximum(np.stack(squares, axis=-1), LEAST)))

    def columns(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """What the classifier of whole activations sees: components, and how far out a point lies.

        The first `COMPONENTS` components and `lengths`, and the squares of both. Squares see another spread, and
        lengths heavier tails: a Gaussian with the mean and the covariance of such activations lies on a thinner shell
        than they do. Neither sees that real activations form separate clouds.

        Parameters
        ----------
        activations
            (..., d_model).

        Returns
        -------
        NDArray[np.float64]
            (..., columns).
        """
        first = self.components(activations)[..., :COMPONENTS]
        out = self.lengths(activations) - self.usual
        return np.concatenate([first, first**2, out, out**2], axis=-1)


def resampled_areas(
    real: NDArray[np.float64], other: NDArray[np.float64], counts: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The area under the ROC curve in each resample, by the Mann-Whitney statistic: ties count half.

    Parameters
    ----------
    real
        Scores of real activations, (n,).
    other
        Those of the other draws, (draw, n).
    counts
        How often each prompt comes up in each resample, (n, resamples).

    Returns
    -------
    NDArray[np.float64]
        Areas, (resamples,); NaN where no prompt comes up.

    Examples
    --------
    >>> resampled_areas(np.array([1.0, 2.0]), np.array([[2.0, 3.0]]), np.array([[1, 2], [1, 0]], dtype=np.float32))
    array([0.875, 1.   ])
    """
    order = np.argsort(real)
    below = cumulated(counts[order])
    ahead = np.zeros(counts.shape[1])
    for draw in other:
        for side in ("left", "right"):
            place = np.searchsorted(real[order], draw, side=side)
            ahead += np.einsum("nr,nr->r", below[place], counts, dtype=np.float64) / 2
    return ratio(ahead, len(other) * counts.sum(axis=0, dtype=np.float64) ** 2)


def cumulated(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of the rows before each row, and of all; row by row, which `numpy.cumsum` is slow at.

    Parameters
    ----------
    counts
        Whole numbers, (n, resamples).

    Returns
    -------
    NDArray[np.float32]
        (n + 1, resamples), exact up to 2^24.

    Examples
    --------
    >>> cumulated(np.array([[1.0], [2.0]], dtype=np.float32)).ravel().tolist()
    [0.0, 1.0, 3.0]
    """
    found = np.zeros((len(counts) + 1, *counts.shape[1:]), dtype=np.float32)
    for place, row in enumerate(counts):
        np.add(found[place], row, out=found[place + 1])
    return found
