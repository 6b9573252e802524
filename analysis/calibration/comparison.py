"""The comparison that a summary stores, on planted data."""

import numpy as np

from calibration.population import LAST_STEP, Draw
from plateaulens.compare.distributions import Comparison, compare_types
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, shared_targets
from plateaulens.config import AnalysisConfig
from plateaulens.names import EQUIVALENCE_MARGIN


def compare(data: Draw, settings: AnalysisConfig, rng: np.random.Generator) -> Comparison:
    """What `analyze` computes for one statistic and metric.

    Parameters
    ----------
    data
        Observed steps; the first type is the reference.
    settings
        How they are compared.
    rng
        Every random number.

    Returns
    -------
    Comparison
        As `plateaulens.compare.distributions.compare_types` gives it.
    """
    samples = data.value.shape[1]
    clusters = shared_targets(data.target) if settings.resample_targets else None
    resampling = Resampling.draw(rng, samples=samples, resamples=settings.resamples, clusters=clusters)
    swaps = Swaps.draw(rng, samples=samples, swaps=settings.resamples, clusters=clusters)
    return compare_types(
        data.value,
        data.censored,
        resampling,
        swaps,
        reference=0,
        last_step=LAST_STEP,
        margin=EQUIVALENCE_MARGIN,
        settings=settings,
        rng=rng,
    )
