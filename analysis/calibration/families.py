"""The questions of the calibration: what one replication does, and on which designs and numbers of base prompts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.activations import ACTIVATION_DESIGNS, replicate_distinction
from calibration.confounds import CONFOUNDING_DESIGNS, replicate_confounds
from calibration.coverage import replicate_intervals, replicate_shared
from calibration.designs import INTERVAL_DESIGNS, SAMPLES, SHARED_DESIGNS, SURVIVAL_DESIGNS, TEST_DESIGNS
from calibration.outcomes import Outcome
from calibration.rejections import replicate_tests
from calibration.survival import replicate_survival


@dataclass(frozen=True)
class Family:
    """A kind of question. `replicate` takes a design, the base prompts, the resamples and the random numbers."""

    replicate: Callable[[Any, int, int, np.random.Generator], Iterable[Outcome]]
    designs: Mapping[str, Any]
    samples: tuple[int, ...] = SAMPLES


FAMILIES = {
    "intervals": Family(replicate_intervals, INTERVAL_DESIGNS),
    "shared": Family(replicate_shared, SHARED_DESIGNS, samples=(200, 1000)),
    "tests": Family(replicate_tests, TEST_DESIGNS),
    "survival": Family(replicate_survival, SURVIVAL_DESIGNS),
    "activations": Family(replicate_distinction, ACTIVATION_DESIGNS, samples=(50, 200)),
    "confounds": Family(replicate_confounds, CONFOUNDING_DESIGNS),
}
