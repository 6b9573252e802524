"""Planted runs: one that is planned from a pilot, one that is looked at while it grows, and a sweep that is pooled."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from calibration import truth
from calibration.comparison import compare
from calibration.designs import AT_MARGIN, MARGIN, SAME
from calibration.outcomes import Outcome, covers, reaches, rejects
from calibration.population import LAST_STEP, Draw, PlantedType, Population
from calibration.rejections import ALPHA, mean_differences
from plateaulens.compare.distances import distribution_functions, ks_equivalence_p
from plateaulens.compare.permutation import Swaps, ks_swap_test
from plateaulens.compare.pooling import pooled
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.planning import Goal, Quantity, plans
from plateaulens.summary.looks import level_left

LOOKS = 10
"""At as many equal parts of a run."""
POWER = 0.8
"""What is planned for."""
WIDTH = 0.2
"""The width of the interval of a KS distance that is planned for."""
TOLERANCE = 1.1
"""A width that is planned for is an expected one: an interval may be wider by a tenth."""


@dataclass(frozen=True)
class PlantedSites:
    """Paired differences to real at some sites of a sweep, with the same base prompts at each; see `pooling`."""

    sites: int
    between: float
    """The standard deviation of the sites' true mean differences, in steps."""
    shared: float
    """That of what a base prompt adds at all sites alike; it adds 5 at each of its own."""
    mean: float = 2.0
    """Over the population of sites."""


POOLING_DESIGNS = {
    "3 sites": PlantedSites(3, between=3.0, shared=3.0),
    "5 sites, all alike": PlantedSites(5, between=0.0, shared=8.0),
    "5 sites": PlantedSites(5, between=1.0, shared=8.0),
    "17 sites, all alike": PlantedSites(17, between=0.0, shared=0.0),
    "17 sites": PlantedSites(17, between=3.0, shared=3.0),
}


def replicate_pooling(
    design: PlantedSites, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """The mean over sites and the place of a new one, from one sweep.

    Parameters
    ----------
    design
        One of `POOLING_DESIGNS`.
    samples
        The number of base prompts.
    resamples
        Of no meaning: these intervals are not resampled.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether an interval holds what it is an interval for.
    """
    del resamples
    site = design.mean + design.between * rng.standard_normal((design.sites + 1, 1))
    prompt = design.shared * rng.standard_normal(samples)
    own = 5.0 * rng.standard_normal((design.sites, samples))
    found = pooled(np.round(site[:-1] + prompt + own), 1 - ALPHA)
    yield covers("pooled_difference", "sites and prompts crossed", "type", design.mean, found.interval)
    new = covers("pooled_prediction", "sites and prompts crossed", "type", float(site[-1, 0]), found.prediction)
    yield new._replace(key=new.key._replace(truth=design.mean))


def replicate_looks(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Ten looks at a run that grows, of which any may find a type different, or equivalent.

    Parameters
    ----------
    population
        One of `calibration.designs.TEST_DESIGNS`.
    samples
        The number of base prompts that the run is to have.
    resamples
        The number of resamples, or of swaps.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether one look or more was wrong: with the whole level at each, and with the level shared.
    """
    kinds = [kind for kind in population.types if kind.name in (SAME[0], AT_MARGIN[0])]
    data = Population((population.reference, *kinds)).draw(rng, samples)
    codes = np.where(data.censored, LAST_STEP + 1, np.nan_to_num(data.value)).astype(np.int_)
    p = np.array([_at(codes[:, : samples * (look + 1) // LOOKS], resamples, rng) for look in range(LOOKS)])
    shared: list[float] = []
    for look in range(LOOKS):
        shared.append(level_left(ALPHA, (look + 1) / LOOKS, shared))
    for method, level in {"ten looks": np.full(LOOKS, ALPHA), "ten looks, guarded": np.array(shared)}.items():
        found = p <= level[:, np.newaxis]
        yield rejects("KS", method, SAME[0], 0.0, found[:, 0].any(), null=True)
        yield rejects("equivalence, KS", method, AT_MARGIN[0], MARGIN, found[:, 1].any(), null=True)


def _at(codes: NDArray[np.int_], resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """The p-values of one look: that the second type equals the first, and that the third is as far as the margin."""
    samples, bins = codes.shape[1], LAST_STEP + 2
    swaps = Swaps.draw(rng, samples=samples, swaps=resamples)
    different = ks_swap_test(codes[:2], bins, swaps, reference=0, confidence=1 - ALPHA).p[1]
    resampled = Resampling.draw(rng, samples=samples, resamples=resamples).histograms(codes[[0, 2]].T, bins)
    functions = distribution_functions(resampled)
    equivalent = ks_equivalence_p(functions[:, 1] - functions[:, 0], np.array(samples), MARGIN)
    return float(different), float(equivalent)


def replicate_planning(
    population: Population, samples: int, resamples: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Runs of the size that a pilot asks for: how often they find what was planned for.

    The pilot is of a type at the margin. From its pairs stated effects are planned: that distance, none at all for
    `equivalent`, and the type's true mean difference; and a width of the distance's interval.

    Parameters
    ----------
    population
        One of `calibration.designs.TEST_DESIGNS`.
    samples
        The number of base prompts of the pilot.
    resamples
        The number of resamples, or of swaps, of every analysis.
    rng
        Every random number.

    Yields
    ------
    Outcome
        Whether a run of that size reaches its goal; nothing of a goal that no run is said to reach.
    """
    settings = AnalysisConfig(resamples=resamples)
    names = [kind.name for kind in population.types]
    equal, apart = (population.types[names.index(name)] for name in (SAME[0], AT_MARGIN[0]))
    shift = mean_differences(population)[names.index(AT_MARGIN[0])]
    pilot = _pilot(Population((population.reference, apart)).draw(rng, samples), apart.name)

    def asked(goal: Goal, quantity: Quantity) -> tuple[int | None, int | None]:
        (plan,) = plans(
            pilot, goal, statistic="max_slope", metric="l2", quantity=quantity, settings=settings, margin=MARGIN
        )
        return plan.prompts, plan.equivalent

    def fresh(kind: PlantedType, prompts: int) -> dict[str, NDArray[np.float64]]:
        found = compare(Population((population.reference, kind)).draw(rng, prompts), settings, rng)
        return {name: np.asarray(values)[1] for name, values in found.items() if np.ndim(values)}

    different, equivalent = asked(Goal(power=POWER, effect=MARGIN), "ks")
    later, _ = asked(Goal(power=POWER, effect=shift), "mean_difference")
    tests = (
        ("KS", apart, MARGIN, different, "ks_p"),
        ("equivalence, KS", equal, 0.0, equivalent, "ks_equivalence_p"),
        ("mean difference", apart, shift, later, "mean_difference_p"),
    )
    for quantity, kind, effect, prompts, variable in tests:
        if prompts is not None:
            yield reaches(
                quantity, f"power {POWER:g}", kind.name, effect, bool(fresh(kind, prompts)[variable] <= ALPHA)
            )
    prompts, _ = asked(Goal(width=WIDTH), "ks")
    if prompts is not None:
        own, distance = float(np.ptp(fresh(apart, prompts)["ks_interval"])), truth.ks(apart, population.reference)
        yield reaches("ks", f"width {WIDTH:g}", apart.name, distance, own <= TOLERANCE * WIDTH, width=own)


def _pilot(data: Draw, name: str) -> xr.Dataset:
    """The steps of a reference and one type as a summary has them, with a test of the type."""
    dims = ("convention", "statistic", "metric", "activation_type")
    lead = (np.newaxis,) * 3
    return xr.Dataset(
        {
            "step_value": ((*dims, "sample"), data.value[lead]),
            "censored": ((*dims, "sample"), data.censored[lead]),
            "ks_p": (dims, np.array([np.nan, 1.0])[lead]),
        },
        coords={
            "convention": ["corrected"],
            "statistic": ["max_slope"],
            "metric": ["l2"],
            "activation_type": ["real", name],
            "is_control": ("activation_type", [False, False]),
            "step": np.arange(LAST_STEP + 1),
        },
    )
