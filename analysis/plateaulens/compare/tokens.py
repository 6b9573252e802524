"""How much of what real activations differ in is which token they belong to: shares of variance, between and within."""

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling, ratio

RESAMPLES_AT_ONCE = 256
"""So that what is held of resamples stays small."""


def token_share(
    activations: NDArray[np.floating], token: NDArray[np.integer], resampling: Resampling
) -> NDArray[np.float64]:
    """The share of the variance of activations that lies between their tokens, in the sample and in each resample.

    One minus the mean square within tokens over the mean square of all (the epsilon squared of Kelley 1935, an adjusted
    R squared), sums of squares being over all dimensions:

        1 - (SSW / (n - tokens)) / (SST / (n - 1)).

    Both mean squares are unbiased where activations vary equally within every token. A token that occurs once has no
    deviation from its mean and no degree of freedom: it adds nothing to either part of the mean square within, so that
    rare tokens do not pass for clouds of no width, which is what R squared takes them for. How far that assumption has
    to carry is the share of prompts whose token occurs once.

    In a resample a prompt that was drawn w times is one observation of weight w. The degrees of freedom are then
    sums of W - (sum of w^2) / W, W being the weight of a token, or of all: a prompt drawn twice does not lie at no
    distance from itself.

    Parameters
    ----------
    activations
        (n, d_model).
    token
        The token of each, (n,).
    resampling
        Resamples of the same prompts, the sample itself in front.

    Returns
    -------
    NDArray[np.float64]
        (1 + resamples,), at most 1; below 0 by chance where tokens say nothing. NaN where no token occurs twice, or
        nothing varies.

    Examples
    --------
    >>> once = Resampling.draw(np.random.default_rng(0), samples=4, resamples=0)
    >>> token_share(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([5, 5, 7, 7]), once).round(3)
    array([0.942])
    """
    n = len(token)
    points = (activations - activations.mean(axis=0)).astype(np.float64) if n else np.asarray(activations, np.float64)
    length = (points**2).sum(axis=1)
    order = np.argsort(token, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(token[order]) != 0]) if n else np.array([], dtype=np.int_)
    members = np.split(order, starts[1:])
    repeated = [own for own in members if len(own) > 1]
    products = [points[own] @ points[own].T for own in repeated]
    found = []
    for first in range(0, len(resampling.rows), RESAMPLES_AT_ONCE):
        weight = resampling.rows[first : first + RESAMPLES_AT_ONCE][:, resampling.unit].astype(np.float64)
        within, freedom = np.zeros(len(weight)), np.zeros(len(weight))
        for own, product in zip(repeated, products, strict=True):
            w = weight[:, own]
            total = w.sum(axis=1)
            held = np.maximum(total, 1.0)
            within += w @ length[own] - ((w @ product) * w).sum(axis=1) / held
            freedom += total - (w**2).sum(axis=1) / held
        total = weight.sum(axis=1)
        held = np.maximum(total, 1.0)
        whole = weight @ length - ((weight @ points) ** 2).sum(axis=1) / held
        all_freedom = total - (weight**2).sum(axis=1) / held
        found.append(1 - ratio(ratio(within, np.where(freedom > FEW, freedom, 0.0)), ratio(whole, all_freedom)))
    return np.concatenate(found)


FEW = 1e-9
"""Degrees of freedom that are none, but for rounding."""
