"""How far the conclusions hang on constants that nobody has justified: `plateaulens.compare.constants`, case by case.

The two conclusions are drawn again in every case: which types come earlier or later than real (the interval of the mean
paired difference), and whether `structured` is nearer to real than `baseline` (that of the difference of their
distances). A conclusion that changes with a constant is one about the constant.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.blocks import sample_blocks
from plateaulens.compare.constants import Case, events
from plateaulens.compare.kolmogorov import distances, distribution_functions, ks_difference
from plateaulens.compare.ks_differences import ks_difference_interval
from plateaulens.compare.labels import bounds, label, label_interval, strings
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.compare.survival import restricted
from plateaulens.compare.verdicts import nearness, timing
from plateaulens.steps.curves import StepValues

CLAIM = ("structured", "baseline")
"""The paper's claim: the first of these is nearer to real than the second."""


class Conclusions(NamedTuple):
    """The two conclusions for one case and metric: per activation type the first, and the second."""

    mean_difference: NDArray[np.float64]
    mean_difference_interval: NDArray[np.float64]
    timing: list[str]
    ks_difference: float
    ks_difference_interval: NDArray[np.float64]
    nearness: str


def conclude(
    event: StepValues,
    last: int,
    resampling: Resampling,
    *,
    reference: int,
    claim: tuple[int, int] | None,
    confidence: float,
) -> Conclusions:
    """Draw the conclusions from steps (activation_type, sample), of which `last` is the last that there is.

    Differences to type number `reference` are of min(step, last), `last` where censored. `claim` are the numbers of the
    two types whose distances are compared, censored steps at infinity; None for NaN and "undefined". Intervals are over
    base prompts: percentiles for differences of steps, `ks_difference_interval` for that of distances.
    """
    time = restricted(*event, last)
    change = time - time[reference]
    there = np.isfinite(change)
    draws = ratio(resampling.sums(np.where(there, change, 0.0).T), resampling.sums(there.T))
    interval = percentile_interval(draws[1:], confidence)
    when = [timing(ends, int(pairs)) for ends, pairs in zip(interval, there.sum(axis=1), strict=True)]
    difference, ends = np.nan, np.full(2, np.nan)
    if claim is not None:
        functions = _differences(event, claim, reference, resampling)
        difference = float(ks_difference(distances(functions[0]))[0, 1])
        ends = ks_difference_interval(functions, confidence)[0, 1]
    return Conclusions(draws[0], interval, list(when), difference, ends, nearness(ends))


def constants_dataset(
    experiments: Mapping[str, xr.Dataset],
    chosen: Sequence[Case],
    resamplings: Mapping[str, Resampling],
    *,
    types: Sequence[str],
    reference: str,
    confidence: float,
) -> xr.Dataset:
    """Both conclusions in every one of the `chosen` cases, as a group of the summary.

    `experiments` are a run's groups, `types` the activation types to compare: those of the run but its variants, each
    of which stands in the place of the type whose recipe it is, in its own case.

    - `mean_difference(case, metric, activation_type)`, its interval and its verdict `timing`;
    - `ks_difference(case, metric)`, structured minus baseline, its interval and its verdict `nearness`.

    The coordinates `constant`, `value`, `experiment`, `statistic` and `is_default` say what a case is; `value` is a
    factor for `minimum_slope` and `plateau_threshold`, a number of stored steps for `step_size`, which redrawing it was
    for a seed, and else the constant's own value.
    """
    first = next(iter(experiments.values()))
    metrics = [str(metric) for metric in first["metric"].to_numpy()]
    claim = (types.index(CLAIM[0]), types.index(CLAIM[1])) if set(CLAIM) <= set(types) else None
    found: list[Conclusions] = []
    ordered = sorted(chosen, key=lambda case: list(experiments).index(case.experiment))
    for name, group in experiments.items():
        mine = [case for case in ordered if case.experiment == name]
        for case, steps in zip(mine, _steps(group, mine, types, metrics), strict=True):
            last = (group.sizes["step"] - 1) // case.stride * case.stride
            found += [
                conclude(
                    StepValues(steps.value[m], steps.censored[m]),
                    last,
                    resamplings[name],
                    reference=types.index(reference),
                    claim=claim,
                    confidence=confidence,
                )
                for m in range(len(metrics))
            ]
    resampling = next(iter(resamplings.values()))
    mean, ks = "mean paired difference to real of the step", "KS distance to real, structured minus baseline"
    described = {
        "mean_difference": label(mean, "step"),
        "mean_difference_interval": label_interval(mean, "step", resampling, confidence),
        "timing": label("whether the type comes earlier or later than real", "1"),
        "ks_difference": label(ks, "1"),
        "ks_difference_interval": label_interval(ks, "1", resampling, confidence),
        "nearness": label("whether structured is nearer to real than baseline", "1"),
    }
    dims = ("case", "metric")
    variables = {}
    for name, columns in zip(Conclusions._fields, zip(*found, strict=True), strict=True):
        values = strings(columns) if name in {"timing", "nearness"} else np.array(columns)
        own = (*(("activation_type",) if not name.startswith(("ks", "near")) else ()),
               *(("bound",) if name.endswith("interval") else ()))  # fmt: skip
        variables[name] = (
            (*dims, *own),
            values.reshape(len(ordered), len(metrics), *values.shape[1:]),
            described[name],
        )
    return xr.Dataset(
        variables,
        coords={
            "constant": (
                "case",
                strings([case.constant for case in ordered]),
                label("the constant that is moved", "1"),
            ),
            "value": ("case", np.array([case.value for case in ordered]), label("where it is moved to", "1")),
            "experiment": ("case", strings([case.experiment for case in ordered]), label("experiment", "1")),
            "statistic": ("case", strings([case.statistic for case in ordered]), label("step statistic", "1")),
            "is_default": (
                "case",
                np.array([case.is_default for case in ordered]),
                label("whether nothing moved", "1"),
            ),
            "metric": first["metric"].variable,
            "activation_type": ("activation_type", strings(types), first["activation_type"].attrs),
            "bound": bounds(),
        },
    )


def _steps(
    experiment: xr.Dataset, chosen: Sequence[Case], types: Sequence[str], metrics: Sequence[str]
) -> list[StepValues]:
    """The steps (metric, activation_type, sample) in each case, from curves that are read in blocks of base prompts."""
    shape = (len(metrics), len(types), experiment.sizes["sample"])
    found = [StepValues(np.empty(shape), np.empty(shape, dtype=np.bool_)) for _ in chosen]
    for block in sample_blocks(shape[-1]):
        curve = experiment["curve"].isel(sample=block).load()
        curve = curve.transpose("metric", "activation_type", "sample", "step")
        for case, steps in zip(chosen, found, strict=True):
            rows = curve.sel(activation_type=[case.substitutes.get(name, name) for name in types]).to_numpy()
            for m, metric in enumerate(metrics):
                steps.value[m, :, block], steps.censored[m, :, block] = events(rows[m], metric, case)
    return found


def _differences(
    event: StepValues, names: tuple[int, int], reference: int, resampling: Resampling
) -> NDArray[np.float64]:
    """Distribution functions of two types minus the reference's, (1 + resamples, type, bins); row 0 is the sample."""
    compared = [*names, reference]
    placed = np.where(event.censored[compared], np.inf, event.value[compared])
    support = np.unique(placed[~np.isnan(placed)])
    codes = np.where(np.isnan(placed), -1, np.searchsorted(support, placed))
    functions = distribution_functions(resampling.histograms(codes.T, max(1, len(support))))
    return functions[:, :2] - functions[:, 2:]
