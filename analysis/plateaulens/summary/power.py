"""How often the verdicts on an experiment could have been reached: its power at its own number of base prompts.

"Undecided" says little without it: a difference may be there that so few base prompts would hardly have shown.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.compare.power import Pairs, draw, power_different, power_equivalent, with_distance
from plateaulens.config import AnalysisConfig
from plateaulens.names import REFERENCE
from plateaulens.summary.attributes import attrs

DRAWS = 400
"""Samples whose verdicts are counted: a power is known to within 2.5 points."""
EQUAL_DRAWS = 2000
"""Samples of equal distributions, which critical values are read off."""


def levels_of(cell: xr.Dataset, alpha: float) -> dict[str, float]:
    """What the raw p-value of each type may not exceed to be at most `alpha` after Holm's adjustment, in any case.

    Parameters
    ----------
    cell
        One convention, statistic and metric of an experiment's summary.
    alpha
        The level of the verdicts.

    Returns
    -------
    dict of str to float
        By type: `alpha` divided by the number of tests in its family. Types without a test are not counted.
    """
    tested = np.isfinite(cell["ks_p"].to_numpy())
    control = cell["is_control"].to_numpy()
    size = np.where(control, (tested & control).sum(), (tested & ~control).sum())
    types = [str(name) for name in cell["activation_type"].to_numpy()]
    return dict(zip(types, (alpha / np.maximum(size, 1)).tolist(), strict=True))


def power_dataset(
    comparison: xr.Dataset, name: str, settings: AnalysisConfig, unit: NDArray[np.int_] | None = None
) -> xr.Dataset:
    """The power of an experiment's verdicts, for the statistic that it is judged by and the corrected convention.

    Parameters
    ----------
    comparison
        The steps of the experiment and what `plateaulens.summary.comparison.compare_dataset` finds.
    name
        The experiment's name, which its random numbers depend on, and its margin.
    settings
        How it is analysed.
    unit
        The unit that each base prompt was resampled and swapped with, (sample,); None when each is by itself.

    Returns
    -------
    xarray.Dataset
        (metric, activation_type), in [0, 1], of base prompts with this type's ties, pairing and censoring:
        `power_different`, how often equal distributions would be rejected if the type's KS distance were the margin,
        NaN where its pairs cannot be that far apart; `power_equivalent`, how often the type would be found equivalent
        if its distribution were that of real: 0 where its curves have too few events for that. Both after the first
        step of Holm's method. NaN for real itself, and with fewer than two pairs.
    """
    statistic, margin = names.experiment(name).statistic, settings.margin(name)
    cell = comparison.sel(convention="corrected", statistic=statistic)
    metrics, types = ([str(each) for each in cell[dim].to_numpy()] for dim in ("metric", "activation_type"))
    found = np.full((2, len(metrics), len(types)), np.nan)
    for m, metric in enumerate(metrics):
        measured = cell.sel(metric=metric)
        levels = levels_of(measured, 1 - settings.confidence)
        value, censored = (
            measured[each].transpose("activation_type", "sample").to_numpy() for each in ("step_value", "censored")
        )
        for t, kind in enumerate(types):
            both = [t, types.index(REFERENCE)]
            there = ~np.isnan(np.where(censored[both], np.inf, value[both])).any(axis=0)
            pairs = Pairs.measured(value[both], censored[both], unit)
            if kind != REFERENCE and pairs is not None and there.sum() > 1:
                rng = np.random.default_rng([settings.seed, *f"{name} {metric} {kind} power".encode()])
                found[:, m, t] = _powers(pairs, margin, levels[kind], settings.resamples, rng)
    words = {
        "power_different": f"probability that equal distributions are rejected at a distance of {margin:g}",
        "power_equivalent": "probability of the verdict equivalent if the type had the distribution of real",
    }
    own = {"statistic": statistic, "convention": "corrected", "margin": margin, "draws": DRAWS}
    return xr.Dataset(
        {
            variable: (("metric", "activation_type"), values, attrs(long_name, "1") | own)
            for (variable, long_name), values in zip(words.items(), found, strict=True)
        },
        coords={dim: comparison[dim] for dim in ("metric", "activation_type")},
    )


def _powers(pairs: Pairs, margin: float, level: float, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Of `different` at the margin, and of `equivalent` at 0."""
    equal, apart = with_distance(pairs, 0.0), with_distance(pairs, margin)
    assert equal is not None  # 0 is a distance that any pairs can have
    null = draw(equal, pairs.number, rng, EQUAL_DRAWS)
    equivalent = power_equivalent(null, margin=margin, level=level)
    if apart is None:
        return float("nan"), equivalent
    different = draw(apart, pairs.number, rng, DRAWS)
    return power_different(different, null, level=level, resamples=resamples), equivalent
