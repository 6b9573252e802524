"""Planted activations, for the detectors of `plateaulens.compare.detectors`, Fréchet distances, novelty and tokens."""

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.activations import D_MODEL, PlantedActivations
from calibration.outcomes import Outcome, covers, rejects
from calibration.rejections import ALPHA
from plateaulens.compare.detectors import Frame, detect
from plateaulens.compare.realism import frechet, nearest, novelty, squared_distances
from plateaulens.compare.resampling import Resampling, percentile_interval
from plateaulens.compare.tokens import token_share

FEATURES = ("norm", "neighbour distance")
"""Those that need no SAE."""
CLUSTERS, WITHIN = 8, 0.2
"""Real activations of the design without normal ones: so many clouds, each with this variance."""
TOKENS, BETWEEN = 200, 1.0
"""Planted tokens, the k-th with a probability in proportion to 1 / (k + 4), whose means have this variance."""


class Planted(NamedTuple):
    """What the other draw is beside the real one."""

    change: Literal["none", "mean", "spread", "clouds"]
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
        """Base, real and other activations of some base prompts.

        Parameters
        ----------
        rng
            Every random number.
        samples
            The number of base prompts.

        Returns
        -------
        NDArray[np.float64]
            (3, samples, D_MODEL). Real and other ones of a prompt share a third of their variance; the other ones of
            clouds are normal, with the clouds' mean and covariance.
        """
        if self.change != "clouds":
            base, _ = PlantedActivations().draw(rng, samples)
            return np.stack([base, *PlantedActivations(self.change, self.effect).draw(rng, samples)])
        centre = rng.standard_normal((CLUSTERS, D_MODEL))
        clouds = centre[rng.integers(CLUSTERS, size=(2, samples))]
        clouds += np.sqrt(WITHIN) * rng.standard_normal(clouds.shape)
        covariance = np.cov(centre.T, ddof=0) + WITHIN * np.eye(D_MODEL)
        return np.stack([*clouds, rng.multivariate_normal(centre.mean(axis=0), covariance, samples)])


REALISM_DESIGNS = {
    "same": Planted("none"),
    "mean + 0.5 sd": Planted("mean", 0.5),
    "spread x 1.25": Planted("spread", 1.25),
    "normal, not clouds": Planted("clouds"),
}


def replicate_realism(design: Planted, samples: int, resamples: int, rng: np.random.Generator) -> Iterator[Outcome]:
    """Every detector on one draw; where both draws are the same also intervals whose truth is known.

    Parameters
    ----------
    design
        One of `REALISM_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of swaps, and of resamples.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether a test rejected, or an interval holds the truth.
    """
    (name,) = (name for name, known in REALISM_DESIGNS.items() if known == design)
    base, real, other = design.draw(rng, samples)
    frame, group = Frame.fit(base), np.arange(samples)
    distance = [_nearest(points, base) for points in (real, other)]
    features = np.stack([[np.linalg.norm(p, axis=1), near] for p, near in zip((real, other), distance, strict=True)])
    columns = np.stack([frame.columns(points) for points in (real, other)])
    effort = {"permutations": resamples, "resamples": resamples, "confidence": 1 - ALPHA}
    found = detect(features, columns, group, rng, **effort)  # type: ignore[arg-type]
    is_same = design.change == "none"
    for place, method in enumerate((*FEATURES, "classifier of features", "classifier of activations")):
        yield rejects("detector", method, name, design.effect, found.p[place] <= ALPHA, null=is_same)
        if is_same and method in FEATURES:  # classifiers have no interval
            yield covers("detector's AUC", method, name, 0.5, found.auc_interval[place])
    if is_same:
        apart = frechet(real[:, : _few(samples)], [other[:, : _few(samples)]], group, rng, 1 - ALPHA)
        yield covers("Fréchet over floor", "infinitesimal jackknife", name, 1.0, apart.interval[0])
        counts = Resampling.draw(rng, samples=samples, resamples=resamples)
        new = novelty(distance[1], distance[0], counts.of_prompts.T.astype(np.float32), 1 - ALPHA)
        yield covers("novelty", "percentile", name, 1.0, new.interval)
        yield _tokens(rng, counts, samples)


def _few(samples: int) -> int:
    return min(D_MODEL, samples // 8)


def _nearest(points: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = squared_distances(points, base, origin=base.mean(axis=0))
    np.fill_diagonal(squared, np.inf)
    return nearest(points, base, squared, skip_itself=True)


@cache
def _vocabulary() -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The probability of each token, its mean, and the share of variance between tokens; within, it is 1."""
    probability = 1 / (np.arange(TOKENS) + 5)
    probability /= probability.sum()
    mean = np.sqrt(BETWEEN) * np.random.default_rng(0).standard_normal((TOKENS, D_MODEL))
    between = probability @ ((mean - probability @ mean) ** 2).sum(axis=1)
    return probability, mean, float(between / (between + D_MODEL))


def _tokens(rng: np.random.Generator, resampling: Resampling, samples: int) -> Outcome:
    probability, mean, share = _vocabulary()
    token = rng.choice(TOKENS, samples, p=probability)
    found = token_share(mean[token] + rng.standard_normal((samples, D_MODEL)), token, resampling)
    return covers("share between tokens", "percentile", "same", share, percentile_interval(found[1:], 1 - ALPHA))
