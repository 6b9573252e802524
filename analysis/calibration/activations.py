"""Planted activations, for the tests of whether two samples of them can be told apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.outcomes import Outcome, rejects
from calibration.rejections import ALPHA
from plateaulens.compare.distinguish import CLASSIFIERS, distinguish

D_MODEL = 24


@dataclass(frozen=True)
class PlantedActivations:
    """Two targets per base prompt in `D_MODEL` dimensions that share a third of their variance.

    `real` is normal; `other` is drawn from the same distribution, from one whose mean is moved by `effect` standard
    deviations along a diagonal, or whose deviations from what the two share are `effect` times as large.
    """

    change: Literal["none", "mean", "spread"] = "none"
    effect: float = 0.0

    def draw(self, rng: np.random.Generator, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both targets of some base prompts.

        Parameters
        ----------
        rng
            Every random number.
        samples
            The number of base prompts.

        Returns
        -------
        tuple of two arrays
            (samples, D_MODEL) each, row by row of the same base prompts.
        """
        common = rng.standard_normal((samples, D_MODEL)) / np.sqrt(3)
        own = rng.standard_normal((2, samples, D_MODEL)) * np.sqrt(2 / 3)
        scale = self.effect if self.change == "spread" else 1.0
        shift = self.effect / np.sqrt(D_MODEL) if self.change == "mean" else 0.0
        return common + own[0], common + scale * own[1] + shift


ACTIVATION_DESIGNS = {
    "same": PlantedActivations(),
    "mean + 0.5 sd": PlantedActivations("mean", 0.5),
    "spread x 1.25": PlantedActivations("spread", 1.25),
}


def replicate_distinction(
    design: PlantedActivations, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """The classifier tests and the maximum mean discrepancy on one draw.

    Parameters
    ----------
    design
        One of `ACTIVATION_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of permutations.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether a test rejected.
    """
    (name,) = (name for name, known in ACTIVATION_DESIGNS.items() if known == design)
    real, other = design.draw(rng, samples)
    found = distinguish(real, other, np.arange(samples), rng, permutations=resamples, resamples=1, confidence=1 - ALPHA)
    p = {("C2ST", name): value for name, value in zip(CLASSIFIERS, found.classifier_p, strict=True)}
    p["MMD", "gaussian"] = found.mmd_p
    for (quantity, method), value in p.items():
        null = design.change == "none"
        yield rejects(quantity, method, name, design.effect, value <= ALPHA, null=null)
