"""Comparison of activation types in a stored experiment: `compare_types` with names on its axes."""

import numpy as np
import xarray as xr

from plateaulens.compare.distributions import DECILES, compare_types
from plateaulens.compare.families import adjusted_p_values, verdicts
from plateaulens.compare.labels import Attributes, bounds, label, label_interval, strings
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.variables import INTERVAL_METHODS, VARIABLES, Described
from plateaulens.config import AnalysisConfig

REFERENCE = "real"
"""The activation type that every other one is compared with."""

_LEADING = ("convention", "statistic", "metric")

_MARGINS = {"ks_equivalence_p": "equivalence_margin", "mean_equivalence_p": "equivalence_steps"}


def compare_dataset(
    steps: xr.Dataset,
    resampling: Resampling,
    settings: AnalysisConfig,
    rng: np.random.Generator,
    *,
    last_step: float,
) -> xr.Dataset:
    """Compare the activation types of `step_dataset`'s result for every convention, statistic and metric.

    All of them share the resamples of `resampling`, whose samples are those of `steps`, and as many swaps, drawn from
    `rng`; `last_step` is the end of the stored window. Variables and their dimensions are those of
    `plateaulens.compare.variables.VARIABLES` behind (convention, statistic, metric), and the adjusted p-values and
    verdicts of `plateaulens.compare.families`; see `compare_types` for censoring and for NaN. Intervals carry
    `confidence`, `resamples` and `method` as attributes. `steps` must hold the activation type `real`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    dims = (*_LEADING, "activation_type", "sample")
    value, censored = (steps[name].transpose(*dims) for name in ("step_value", "censored"))
    shape = value.shape[: len(_LEADING)]
    swaps = Swaps.draw(rng, samples=value.shape[-1], swaps=settings.resamples, clusters=resampling.unit)
    results = [
        compare_types(
            value.to_numpy()[index],
            censored.to_numpy()[index],
            resampling,
            swaps,
            reference=types.index(REFERENCE),
            last_step=last_step,
            settings=settings,
            rng=rng,
        )
        for index in np.ndindex(shape)
    ]
    variables = {}
    for name, described in VARIABLES.items():
        stacked = np.stack([result[name] for result in results])
        attributes = _attributes(name, described, resampling, settings)
        variables[name] = ((*_LEADING, *described.dims), stacked.reshape(*shape, *stacked.shape[1:]), attributes)
    coordinates = {
        "bound": bounds(),
        "other_type": _names("other_type", types, "the other activation type"),
        "interval_method": _names("interval_method", INTERVAL_METHODS, "method of the interval"),
        "quantile": xr.Variable("quantile", DECILES, label("probability of the quantile", "1")),
    }
    comparison = xr.Dataset(variables, coords={**steps.coords, **coordinates})
    comparison = comparison.assign(adjusted_p_values(comparison).data_vars)
    return comparison.assign(verdicts(comparison, REFERENCE, settings).data_vars)


def _attributes(name: str, described: Described, resampling: Resampling, settings: AnalysisConfig) -> Attributes:
    if described.method:
        attributes = label_interval(described.long_name, described.units, resampling, settings.confidence)
        return attributes | {"method": described.method}
    attributes = label(described.long_name, described.units)
    if name == "ks_upper_bound":
        return attributes | {"confidence": settings.confidence}
    return attributes | ({"margin": getattr(settings, _MARGINS[name])} if name in _MARGINS else {})


def _names(dim: str, names: tuple[str, ...] | list[str], long_name: str) -> xr.Variable:
    return xr.Variable(dim, strings(names), label(long_name, "1"))
