"""The words that a summary stores, drawn again from numbers that a test has changed: by the analysis, as they were."""

import numpy as np
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.names import REFERENCE
from plateaulens.report.contents import controls_of
from plateaulens.summary import comparison, distinguish
from plateaulens.summary.confounds import _words
from plateaulens.summary.constants import tally
from plateaulens.summary.geometry import PATH_TOLERANCE
from plateaulens.summary.verdicts import length_relation, steepness_relation, word_array


def judged(experiment: xr.Dataset) -> xr.Dataset:
    """With `direction`, `paired_relation`, `conclusion`, `exceeds_chance` of its numbers; the other words stay."""
    found = comparison.verdicts(experiment, REFERENCE, AnalysisConfig())
    changed = experiment.assign(direction=found["direction"], exceeds_chance=found["exceeds_chance"])
    changed = changed.assign(paired_relation=comparison.paired_relation(experiment))
    return changed.assign(conclusion=comparison.conclusions(changed))


def pointing(experiment: xr.Dataset, side: int, *kinds: str) -> xr.Dataset:
    """With everything that has to agree with a mean difference later (1) or earlier (-1), of some types or of all."""
    copy = experiment.copy(deep=True)
    where = {"activation_type": list(kinds)} if kinds else {}
    for name in ("median_difference", "paired_delta", "paired_delta_interval", "restricted_mean_difference"):
        copy[name].loc[where] = side
    return copy


def related(group: xr.Dataset) -> xr.Dataset:
    """With the `path_relation` of a group `geometry`, or the `steepness_relation` of an experiment."""
    if "path_relation" not in group:
        relation = word_array(steepness_relation, group["steepness_ratio_interval"], group["steepness_n_pairs"])
        return group.assign(steepness_relation=relation.assign_attrs(group["steepness_relation"].attrs))
    relation = word_array(
        lambda ends, pairs: length_relation(ends, pairs, PATH_TOLERANCE),
        group["path_ratio_interval"],
        group["path_n_pairs"],
    )
    return group.assign(path_relation=relation.assign_attrs(group["path_relation"].attrs))


def fated(confounds: xr.Dataset) -> xr.Dataset:
    """With the fates and movements of its intervals."""
    raw = confounds.sel(adjustment="none", drop=True)
    for name in ("adjusted", "matched"):
        ends = confounds[f"{name}_change_interval"]
        excludes = (ends.sel(bound="lower", drop=True) > 0) | (ends.sel(bound="upper", drop=True) < 0)
        confounds = confounds.assign({f"{name}_change_p_holm": 0.5 - 0.49 * excludes})
    return confounds.assign(
        {key: word for name in ("adjusted", "matched") for key, word in _words(name, confounds, raw).items()}
    )


def told(group: xr.Dataset) -> xr.Dataset:
    """With the adjusted p-values of a group `distinguish`, and the verdicts on its targets."""
    tested = group.assign(distinguish._told(group, REFERENCE, controls_of(group), alpha=0.05).data_vars)
    return distinguish.with_detectors(tested)


def changed(constants: xr.Dataset) -> xr.Dataset:
    """With what changes in each case of its words."""
    keys = list(zip(*(constants[name].values for name in ("experiment", "statistic", "constant")), strict=True))
    used = {key: place for place, key in enumerate(keys) if constants["is_default"].values[place]}
    default = np.array([used[key] for key in keys])
    marked = constants.assign(
        {
            f"{name}_changed": (constants[name].dims, constants[name].values != constants[name].values[default])
            for name in ("conclusion", "nearness")
        }
    )
    return marked.assign(tally(marked).data_vars)
