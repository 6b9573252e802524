"""What a summary holds: its experiments, types, settings and intervals."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError

from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import UsageError, explain

REFERENCE = "real"
CONTROL = "real_control"
NOTHING_TO_COMPARE = "The run has no type to compare with real targets."

EXPERIMENT_TITLES = {
    "sensitivity": "relative steps",
    "sensitivity_absolute": "absolute steps",
    "plateau": "plateaus",
    "sensitivity_reconstructed": "relative steps from the reconstruction",
}
ABSENT = {name: f"This run has no experiment with {title}." for name, title in EXPERIMENT_TITLES.items()} | {
    "confounds": "This summary has no comparison at equal geometry.",
    "distinguish": "This summary has no test of the targets themselves.",
    "constants": "This summary has no conclusions under other constants.",
}
"""What stands in the place of a group that the summary does not have."""
NO_THRESHOLD = "The analysis has no plateau threshold, so no curve has a plateau length."


def experiment_of(summary: xr.DataTree, name: str) -> xr.Dataset | None:
    """One experiment's group, None when the run did not collect it."""
    return summary.children[name].to_dataset() if name in summary.children else None


def types_of(group: xr.Dataset) -> list[str]:
    """The activation types of a group, in the run's order."""
    return [str(name) for name in group["activation_type"].values]


def compared_types(group: xr.Dataset) -> list[str]:
    """The types that are compared with real: all others."""
    return [name for name in types_of(group) if name != REFERENCE]


def synthetic_types(group: xr.Dataset) -> list[str]:
    """The types that a verdict is about: all but real and its second draw."""
    return [name for name in compared_types(group) if name != CONTROL]


def plateau_metric(settings: AnalysisConfig) -> str | None:
    """The metric whose plateau lengths are shown: L2 where it has a threshold, else the first that has one."""
    return "l2" if "l2" in settings.plateau_threshold else next(iter(settings.plateau_threshold), None)


def config_of(summary: xr.DataTree) -> RunConfig:
    """The configuration the run was collected with. Raises `UsageError` when this version cannot read it."""
    try:
        return RunConfig.model_validate_json(summary.attrs["config"])
    except ValidationError as error:
        raise UsageError(
            f"run {summary.attrs['name']} is of another version of plateaulens: {explain(error)}"
        ) from None


def settings_of(summary: xr.DataTree) -> AnalysisConfig:
    """The settings the run was analysed with."""
    return AnalysisConfig.model_validate_json(summary.attrs["analysis"])


def step_length(experiment: xr.Dataset) -> float | None:
    """The distance between two points of a path in activation units, None for relative steps."""
    return float(experiment["length"].diff("step")[0]) if "length" in experiment.coords else None


def bounds(interval: xr.DataArray) -> NDArray[np.float64]:
    """Lower and upper bound of one interval."""
    return np.asarray(interval.sel(bound=["lower", "upper"]).values, dtype=np.float64)


def level(values: xr.Dataset) -> str:
    """The confidence of a comparison's intervals, as it is written in a sentence."""
    return confidence_of(values["ks_interval"])


def confidence_of(interval: xr.DataArray) -> str:
    """The confidence of one interval, as it is written in a sentence."""
    return f"{100 * interval.attrs['confidence']:g}\u00a0%"


def alpha_of(values: xr.Dataset) -> float:
    """The level of the verdicts' tests."""
    return float(values["verdict"].attrs["alpha"])


def margin_of(values: xr.Dataset) -> str:
    """The KS distance within which a type counts as indistinguishable from real."""
    return f"{values['verdict'].attrs['margin']:g}"
