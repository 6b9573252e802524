"""Whether real activations and a type's targets can be told apart at all, before any question about their curves.

Two tests of "these targets are drawn as real ones are", neither of which needs the model:

- the classifier two-sample test (Lopez-Paz and Oquab 2017): a classifier learns to tell the two apart on some base
  prompts and is judged on others, by the area under its ROC curve;
- the maximum mean discrepancy (MMD, Gretton et al. 2012): the distance of the two means in a kernel's feature space.

Both get their p-value by random swaps of the two targets within base prompts (`plateaulens.compare.permutation`), which
the hypothesis makes harmless. The classifier is kernel ridge regression on labels of +1 and -1, whose predictions are
linear in the labels: its cross-validation for all permutations is one matrix product, and nothing of it, neither the
folds nor the strength of the ridge, is chosen by looking at the labels. A linear kernel finds differences of means, a
Gaussian one also those of spread and shape.

Prompts that share an activation (two may have drawn the same real target) form one group: they are in the same fold,
swapped together and resampled together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, count_clusters, percentile_interval, quantile, ratio

CLASSIFIERS = ("linear", "gaussian")
"""The kernels of the two classifiers, in order."""
FOLDS = 5
"""Of the cross-validation."""
RIDGE = 1.0
"""Added to the diagonal of kernels whose diagonal is about 1: of the order of one observation's noise."""


class Distinction(NamedTuple):
    """How well two samples of activations can be told apart; a row per classifier where there are two."""

    auc: NDArray[np.float64]
    """(2,): the share of (other, real) pairs in which the classifier, trained on other prompts, puts `other` higher,
    ties half. Chance is 0.5."""
    auc_interval: NDArray[np.float64]
    """(2, 2): percentile intervals over groups of the given predictions. They leave out that other training data would
    give other classifiers."""
    accuracy: NDArray[np.float64]
    """(2,): the share of right signs, a score of 0 half right. Chance is 0.5."""
    accuracy_interval: NDArray[np.float64]
    """(2, 2): as `auc_interval`."""
    classifier_p: NDArray[np.float64]
    """(2,): the p-value of the auc, one-sided."""
    auc_null_upper: NDArray[np.float64]
    """(2,): the quantile of the auc over the swaps, at the confidence of intervals."""
    mmd: float
    """The unbiased estimate of the squared discrepancy, negative values included."""
    mmd_p: float
    """Its p-value."""


def distinguish(
    real: NDArray[np.floating],
    other: NDArray[np.floating],
    group: NDArray[np.int_],
    rng: np.random.Generator,
    *,
    permutations: int,
    resamples: int,
    confidence: float,
) -> Distinction:
    """Tell apart the targets `real` and `other` of the same base prompts.

    Activations are standardised by the mean and standard deviation of all of them together, so that a few dimensions of
    large activations do not decide; that looks at no labels.

    Parameters
    ----------
    real, other
        Targets, (n, d_model); row i of both belongs to base prompt i.
    group
        Prompts of equal number share an activation, (n,), numbered from 0; see
        `plateaulens.compare.resampling.linked_prompts`.
    rng
        Random numbers of the swaps, the folds and the resamples, in that order.
    permutations
        The number of random swaps.
    resamples
        The number of resamples behind intervals.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    Distinction
        With fewer groups than `FOLDS`, or with `other` equal to `real`, nothing can be told apart: auc and accuracy are
        0.5 with intervals of no width, the discrepancy is 0, and the p-values are 1.
    """
    if count_clusters(group) < FOLDS or np.array_equal(real, other):
        half, ends, one = np.full(2, 0.5), np.full((2, 2), 0.5), np.ones(2)
        return Distinction(half, ends, half, ends, one, half, 0.0, 1.0)
    points = standardised(np.concatenate([real, other]).astype(np.float64))
    kernels = (points @ points.T / max(1, points.any(axis=0).sum()), gaussian_kernel(points))
    swaps = Swaps.draw(rng, samples=len(group), swaps=permutations, clusters=group)
    # The labelling as it is stands in front of the permuted ones.
    signs = np.vstack([np.ones((1, len(group))), swaps.of_prompts.astype(np.float64)])
    labels = np.hstack([-signs, signs])
    fold = np.tile(deal_folds(group, rng), 2)
    counts = Resampling.draw(rng, samples=len(group), resamples=resamples, clusters=group).of_prompts.astype(np.float64)

    found = []
    for kernel in kernels:
        scores = labels @ out_of_fold(kernel, fold).T
        area = areas(scores, labels > 0)
        resampled = _resampled_auc(scores[0], counts), _accuracy(scores[0], counts)
        intervals = [percentile_interval(draws[1:], confidence) for draws in resampled]
        chance = swaps.p_value(area[1:], area[0]), quantile(area[1:], confidence)
        found.append((resampled[0][0], intervals[0], resampled[1][0], intervals[1], *chance))
    discrepancy = mmd(kernels[1], signs, group)
    auc, auc_interval, accuracy, accuracy_interval, p, upper = (np.array(values) for values in zip(*found, strict=True))
    return Distinction(
        auc,
        auc_interval,
        accuracy,
        accuracy_interval,
        classifier_p=p,
        auc_null_upper=upper,
        mmd=float(discrepancy[0]),
        mmd_p=float(swaps.p_value(discrepancy[1:], discrepancy[0])),
    )


def standardised(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns with mean 0 and standard deviation 1.

    Parameters
    ----------
    points
        Activations, (n, d_model).

    Returns
    -------
    NDArray[np.float64]
        Standardised ones, (n, d_model); columns that are constant, to rounding, are 0.
    """
    centred = points - points.mean(axis=0)
    spread = centred.std(axis=0)
    constant = spread <= 1e-9 * np.abs(points).max(axis=0, initial=0.0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))


def gaussian_kernel(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel exp(-|x - y|**2 / (2 m**2)), m the median distance of two different rows.

    Parameters
    ----------
    points
        Activations, (n, d_model).

    Returns
    -------
    NDArray[np.float64]
        The kernel between every two rows, (n, n); 1 throughout when all are equal.

    Examples
    --------
    >>> gaussian_kernel(np.array([[0.0], [2.0]])).round(4)
    array([[1.    , 0.6065],
           [0.6065, 1.    ]])
    """
    distance = pdist(points)
    apart = distance[distance > 0]
    if not apart.size:
        return np.ones((len(points), len(points)))
    return np.asarray(np.exp(-0.5 * squareform(distance / np.median(apart)) ** 2))


def mmd(kernel: NDArray[np.float64], signs: NDArray[np.float64], group: NDArray[np.int_]) -> NDArray[np.float64]:
    """Squared maximum mean discrepancy of n paired points, unbiased, under every reassignment of the two samples.

    The mean of h[i, j] = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(y_i, x_j) over pairs of prompts from different
    groups (Gretton et al. 2012, eq. 4): dependent prompts are never compared. Where a sign is -1, x_i and y_i have
    changed places, which turns h[i, j] into s_i s_j h[i, j].

    Parameters
    ----------
    kernel
        The kernel between all points, (2n, 2n), the first sample's in front.
    signs
        1, or -1 where the two points of a prompt have changed places, (permutations, n).
    group
        The group of each prompt, (n,).

    Returns
    -------
    NDArray[np.float64]
        Discrepancies, (permutations,); 0 when all prompts are of one group.
    """
    n = len(kernel) // 2
    h = kernel[:n, :n] + kernel[n:, n:] - kernel[:n, n:] - kernel[n:, :n]
    apart = group[:, np.newaxis] != group
    total = ((signs @ np.where(apart, h, 0.0)) * signs).sum(axis=1)
    return np.asarray(total / max(1, apart.sum()))


def out_of_fold(kernel: NDArray[np.float64], fold: NDArray[np.int_]) -> NDArray[np.float64]:
    """The matrix that takes labels to cross-validated predictions of kernel ridge regression.

    Row i predicts point i from the points of the other folds, k(i, train) (K + ridge)^-1, and is 0 in the columns of
    its own fold, so that no label there can reach the prediction. With C the inverse of the whole kernel plus ridge,
    the block of rows F is -C[F, F]^-1 C[F, train]: one inverse serves all folds.

    Parameters
    ----------
    kernel
        The kernel between all points, (points, points).
    fold
        The fold of each point, (points,).

    Returns
    -------
    NDArray[np.float64]
        The matrix, (points, points).
    """
    inverse = cho_solve(cho_factor(kernel + RIDGE * np.eye(len(kernel))), np.eye(len(kernel)))
    matrix = np.zeros_like(kernel)
    for own in np.unique(fold):
        test, train = np.flatnonzero(fold == own), np.flatnonzero(fold != own)
        matrix[np.ix_(test, train)] = -np.linalg.solve(inverse[np.ix_(test, test)], inverse[np.ix_(test, train)])
    return matrix


def areas(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Areas under ROC curves by the Mann-Whitney statistic: ties count half.

    Parameters
    ----------
    scores
        Scores, (..., n).
    positive
        Which of them should be the higher ones, (..., n).

    Returns
    -------
    NDArray[np.float64]
        Areas, (...).

    Examples
    --------
    >>> areas(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True]))
    array(0.875)
    """
    ranks = np.where(positive, rankdata(scores, axis=-1), 0.0).sum(axis=-1)
    ones = positive.sum(axis=-1)
    return np.asarray((ranks - ones * (ones + 1) / 2) / (ones * (positive.shape[-1] - ones)))


def deal_folds(group: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """The fold of each prompt: groups dealt out in random order, whole.

    Parameters
    ----------
    group
        The group of each prompt, numbered from 0, (n,).
    rng
        Random numbers.

    Returns
    -------
    NDArray[np.int_]
        Numbers below `FOLDS`, (n,).
    """
    groups = count_clusters(group)
    fold = np.empty(groups, dtype=np.int_)
    fold[rng.permutation(groups)] = np.arange(groups) % FOLDS
    return fold[group]


def _resampled_auc(scores: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area in each resample, (1 + resamples,), whose prompts come up `counts` (1 + resamples, n) times."""
    real, other = np.split(scores, 2)
    ahead = (other[:, np.newaxis] > real) + 0.5 * (other[:, np.newaxis] == real)
    return ratio(((counts @ ahead) * counts).sum(axis=1), counts.sum(axis=1) ** 2)


def _accuracy(scores: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of right signs in each resample, (1 + resamples,); a score of 0 is half right."""
    real, other = np.split(np.sign(scores), 2)
    return ratio(counts @ (0.5 + (other - real) / 4), counts.sum(axis=1))
