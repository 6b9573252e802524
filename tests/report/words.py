"""The words that a summary stores, drawn again from numbers that a test has changed: by the analysis, as they were."""

import numpy as np
import xarray as xr

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.names import REFERENCE
from plateaulens.summary import comparison, distinguish
from plateaulens.summary.geometry import PATH_TOLERANCE
from plateaulens.summary.verdicts import conclusion, fate, length_relation, steepness_relation, word_array


def judged(experiment: xr.Dataset) -> xr.Dataset:
    """With the `direction`, the `conclusion` and `exceeds_chance` of its numbers; `verdict` and `nearness` stay."""
    found = comparison.verdicts(experiment, REFERENCE, AnalysisConfig())
    known = [names.statistic(str(name)) for name in experiment["statistic"].to_numpy()]
    before = xr.DataArray([each.before for each in known], dims="statistic")
    after = xr.DataArray([each.after for each in known], dims="statistic")
    concluded = word_array(conclusion, experiment["verdict"], found["direction"], before, after)
    return experiment.assign(
        direction=found["direction"],
        exceeds_chance=found["exceeds_chance"],
        conclusion=concluded.transpose(*experiment["conclusion"].dims),
    )


def related(group: xr.Dataset) -> xr.Dataset:
    """With the `path_relation` of a group `geometry`, or the `steepness_relation` of an experiment."""
    if "path_relation" not in group:
        relation = word_array(steepness_relation, group["steepness_ratio_interval"])
        return group.assign(steepness_relation=relation.assign_attrs(group["steepness_relation"].attrs))
    ends = group["path_length_interval"]
    relation = word_array(
        lambda own, other: length_relation(own, other, PATH_TOLERANCE),
        ends,
        ends.sel(activation_type=REFERENCE, drop=True),
    )
    return group.assign(path_relation=relation.assign_attrs(group["path_relation"].attrs))


def fated(confounds: xr.Dataset) -> xr.Dataset:
    """With the fates of its intervals."""
    raw = confounds["adjusted_difference_interval"].sel(adjustment="none", drop=True)
    return confounds.assign(
        {
            f"{name}_fate": word_array(fate, raw, confounds[f"{name}_difference_interval"]).transpose(
                *confounds[f"{name}_difference"].dims
            )
            for name in ("adjusted", "matched")
        }
    )


def told(group: xr.Dataset) -> xr.Dataset:
    """With the adjusted p-values of a group `distinguish`, and the verdicts on its targets."""
    return group.assign(distinguish._told(group, REFERENCE, alpha=0.05).data_vars)


def changed(constants: xr.Dataset) -> xr.Dataset:
    """With what changes in each case of its words."""
    keys = list(zip(*(constants[name].values for name in ("experiment", "statistic", "constant")), strict=True))
    used = {key: place for place, key in enumerate(keys) if constants["is_default"].values[place]}
    default = np.array([used[key] for key in keys])
    return constants.assign(
        {
            f"{name}_changed": (constants[name].dims, constants[name].values != constants[name].values[default])
            for name in ("timing", "nearness")
        }
    )
