"""Whether censored observations are treated as they should be: survival bands, restricted means, log-rank tests."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from calibration import truth
from calibration.outcomes import Key, Outcome, covers, rejects
from calibration.population import LAST_STEP, Draw, Population
from calibration.rejections import ALPHA
from plateaulens.compare.intervals import AT_LEAST_STUDENTS
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.summary.survival import survival_dataset


def replicate_survival(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Everything that a summary has of survival, on one draw from a population.

    Parameters
    ----------
    population
        One of `calibration.designs.SURVIVAL_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether a band or an interval holds the truth, or a test rejected.
    """
    found = _survival(population, population.draw(rng, samples), resamples, rng, None)
    yield from _bands(population, found)
    for kind in population.types[1:]:
        own, distance = found.sel(activation_type=kind.name), truth.ks(kind, population.reference)
        for method, variable in (("swaps within prompts", "paired_logrank_p"), ("textbook", "logrank_p")):
            rejected = float(own[variable]) <= ALPHA
            yield rejects("log-rank", method, kind.name, distance, rejected, null=distance == 0)


def replicate_bands(
    population: Population,
    data: Draw,
    resamples: int,
    rng: np.random.Generator,
    clusters: NDArray[np.int_] | None = None,
) -> Iterator[Outcome]:
    """Survival bands and restricted means on given data.

    Parameters
    ----------
    population
        Planted types.
    data
        A draw from it.
    resamples
        The number of resamples.
    rng
        Every random number.
    clusters
        The cluster of each base prompt, numbered from 0, (samples,); None when each is by itself.

    Yields
    ------
    Outcome
        Whether a band or an interval holds the truth.
    """
    yield from _bands(population, _survival(population, data, resamples, rng, clusters))


def _survival(
    population: Population,
    data: Draw,
    resamples: int,
    rng: np.random.Generator,
    clusters: NDArray[np.int_] | None,
) -> xr.Dataset:
    """What a summary has of survival, over (activation_type, ...)."""
    samples = data.value.shape[1]
    return survival_dataset(
        _steps(population, data),
        LAST_STEP,
        Resampling.draw(rng, samples=samples, resamples=resamples, clusters=clusters),
        Swaps.draw(rng, samples=samples, swaps=resamples, clusters=clusters),
        reference=population.reference.name,
        confidence=AnalysisConfig().confidence,
    ).isel(statistic=0, metric=0)


def _bands(population: Population, found: xr.Dataset) -> Iterator[Outcome]:
    """Whether bands and intervals hold the truth."""
    reference = population.reference
    for kind in population.types:
        own = found.sel(activation_type=kind.name)
        band, survival = own["survival_band"].to_numpy(), 1 - kind.cumulative
        # a curve censored at the last step was seen without the event up to there
        inside = ((band[:-1, 0] <= survival[:-1] + 1e-9) & (survival[:-1] <= band[:-1, 1] + 1e-9)).all()
        width, mean = float((band[:, 1] - band[:, 0]).mean()), truth.restricted_mean(kind)
        # of a curve, the truth in one number is the area below it
        yield Outcome(Key("coverage", "survival", "Hall-Wellner band", kind.name, mean), bool(inside), width)
        yield covers("restricted_mean", AT_LEAST_STUDENTS, kind.name, mean, own["restricted_mean_interval"])
        if kind is not reference:
            difference = mean - truth.restricted_mean(reference)
            interval = own["restricted_mean_difference_interval"]
            yield covers("restricted_mean_difference", AT_LEAST_STUDENTS, kind.name, difference, interval)


def _steps(population: Population, data: Draw) -> xr.Dataset:
    """The draw as `plateaulens.steps.dataset.step_dataset` gives steps."""
    dims = ("convention", "statistic", "metric", "activation_type", "sample")
    names = [kind.name for kind in population.types]
    coordinates = {"convention": ["corrected"], "statistic": ["step"], "metric": ["l2"], "activation_type": names}
    arrays = {"step_value": data.value, "censored": data.censored}
    return xr.Dataset({name: (dims, array[None, None, None]) for name, array in arrays.items()}, coords=coordinates)
