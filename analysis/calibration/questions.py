"""The questions of the calibration: what one replication does, and on which designs and numbers of base prompts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.activations import ACTIVATION_DESIGNS, replicate_distinction
from calibration.confounds import CONFOUNDING_DESIGNS, replicate_confounds
from calibration.coverage import replicate_corners, replicate_intervals, replicate_shared
from calibration.designs import (
    CORNER_DESIGNS,
    CORNER_SAMPLES,
    INTERVAL_DESIGNS,
    LADDER_DESIGNS,
    SAMPLES,
    SHARED_DESIGNS,
    SURVIVAL_DESIGNS,
    TEST_DESIGNS,
)
from calibration.ladder import NOVELTY_DESIGNS, replicate_gains, replicate_novelty
from calibration.outcomes import Outcome
from calibration.realism import REALISM_DESIGNS, replicate_realism
from calibration.rejections import replicate_tests
from calibration.runs import POOLING_DESIGNS, replicate_looks, replicate_planning, replicate_pooling
from calibration.survival import replicate_survival


@dataclass(frozen=True)
class Question:
    """What is asked of the methods, and on which data."""

    replicate: Callable[[Any, int, int, np.random.Generator], Iterable[Outcome]]
    """One replication: of a design, the number of base prompts, the number of resamples and the random numbers."""
    designs: Mapping[str, Any]
    samples: tuple[int, ...] = SAMPLES
    """The numbers of base prompts."""


QUESTIONS = {
    "intervals": Question(replicate_intervals, INTERVAL_DESIGNS),
    "corners": Question(replicate_corners, CORNER_DESIGNS, samples=CORNER_SAMPLES),
    "shared": Question(replicate_shared, SHARED_DESIGNS, samples=(200, 1000)),
    "tests": Question(replicate_tests, TEST_DESIGNS),
    "survival": Question(replicate_survival, SURVIVAL_DESIGNS),
    "activations": Question(replicate_distinction, ACTIVATION_DESIGNS, samples=(50, 200)),
    "realism": Question(replicate_realism, REALISM_DESIGNS, samples=(50, 200)),
    "novelty": Question(replicate_novelty, NOVELTY_DESIGNS),
    "gains": Question(replicate_gains, LADDER_DESIGNS),
    "confounds": Question(replicate_confounds, CONFOUNDING_DESIGNS),
    "planning": Question(replicate_planning, TEST_DESIGNS, samples=(200,)),
    "looks": Question(replicate_looks, TEST_DESIGNS, samples=(200,)),
    "pooling": Question(replicate_pooling, POOLING_DESIGNS, samples=(50, 200)),
}
