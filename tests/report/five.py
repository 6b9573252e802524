"""Five summaries that have little in common, made of one by changing the words and numbers that it stores."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from plateaulens.names import CONTROL, REFERENCE
from plateaulens.summary.constants import tally

_EXPERIMENTS = ("sensitivity", "sensitivity_absolute", "plateau")
_NONE = ("real", CONTROL, "random", "isotropic")


def _changed(summary: xr.DataTree, change: Callable[[str, xr.Dataset], xr.Dataset]) -> xr.DataTree:
    tree = xr.DataTree.from_dict({name: change(name, node.to_dataset()) for name, node in summary.children.items()})
    tree.attrs = dict(summary.attrs)
    return tree


def _said(group: xr.Dataset, **words: object) -> xr.Dataset:
    """The group in which all types but the reference have these values."""
    copy = group.copy(deep=True)
    others = [str(name) for name in group["activation_type"].values if name != REFERENCE]
    for name, value in words.items():
        where = {"activation_type": others} if "activation_type" in copy[name].dims else {}
        copy[name].loc[where] = value
    return copy


def all_equal(summary: xr.DataTree) -> xr.DataTree:
    """Every type within the margin, nothing told apart, nothing changed by geometry or constants."""

    def change(name: str, group: xr.Dataset) -> xr.Dataset:
        if name in _EXPERIMENTS:
            return _said(group, verdict="equivalent", conclusion="equivalent", direction="undecided",
                         nearness="undecided", exceeds_chance=False, censored_fraction=0.0,
                         steepness_relation="undecided")  # fmt: skip
        if name == "confounds":
            return _said(group, adjusted_fate="not shown to differ", matched_fate="not shown to differ",
                         adjusted_movement="undecided")  # fmt: skip
        if name == "constants":
            found = _said(group, conclusion_changed=False, nearness_changed=False)
            return found.assign(tally(found).data_vars)
        if name == "distinguish":
            return _said(group, told="not told apart", best_detector="none", floor_detected="not seen",
                         novelty_relation="undecided")  # fmt: skip
        return (
            _said(
                group,
                path_relation="undecided",
                token_relation="undecided",
                token_reason="not shown",
                token_share=0.6,
                token_share_interval=0.5,
            )
            if name == "geometry"
            else group
        )

    return _changed(summary, change)


def all_different(summary: xr.DataTree) -> xr.DataTree:
    """Every type later (its plateaus shorter), false alarms everywhere, longer paths, differences that turn."""

    def change(name: str, group: xr.Dataset) -> xr.Dataset:
        if name in _EXPERIMENTS:
            found = _said(group, verdict="different", conclusion="shorter" if name == "plateau" else "later",
                          direction="earlier" if name == "plateau" else "later", nearness="nearer", exceeds_chance=True,
                          steepness_relation="steeper")  # fmt: skip
            found["conclusion"].loc[{"activation_type": CONTROL}] = "false alarm"
            return found
        if name == "confounds":
            return _said(group, adjusted_fate="now earlier", matched_fate="still later", adjusted_movement="turns")
        if name == "constants":
            found = _said(group, conclusion_changed=True, nearness_changed=True)
            return found.assign(tally(found).data_vars)
        if name == "distinguish":
            return _said(group, told="told apart", best_detector="sae_error", floor_detected="false alarm",
                         novelty_relation="novel", copies=0.125)  # fmt: skip
        return (
            _said(group, path_relation="longer", token_relation="nearly all", token_share=0.6, token_share_interval=0.5)
            if name == "geometry"
            else group
        )

    return _changed(summary, change)


def censored(summary: xr.DataTree) -> xr.DataTree:
    """Many curves never blow up: directions withheld, some types without a step, mixed ones, few prompts."""
    directions = ("censored", "mixed", "too few", "uncorrected", "undefined", "censored", "mixed")
    verdicts = ("different", "mixed", "undecided", "different", "undefined", "equivalent, different", "mixed")

    def change(name: str, group: xr.Dataset) -> xr.Dataset:
        if name in _EXPERIMENTS:
            found = _said(group, censored_fraction=0.35, nearness="undefined", steepness_relation="undefined")
            types = [str(kind) for kind in group["activation_type"].values if kind not in {REFERENCE, CONTROL}]
            for kind, direction, verdict in zip(types, directions, verdicts, strict=True):
                found["direction"].loc[{"activation_type": kind}] = direction
                found["conclusion"].loc[{"activation_type": kind}] = verdict
                found["verdict"].loc[{"activation_type": kind}] = {"mixed": "different"}.get(
                    verdict, verdict.partition(",")[0]
                )
            found["verdict"].loc[{"activation_type": CONTROL}] = "undefined"
            return found
        if name == "confounds":
            return _said(group, adjusted_fate="undecided", matched_fate="not comparable", adjusted_movement="grows")
        if name == "distinguish":
            return _said(group, told="undefined", best_detector="undefined", floor_detected="undefined",
                         novelty_relation="undefined", copies=np.nan)  # fmt: skip
        return _said(group, path_relation="shorter", token_relation="undefined") if name == "geometry" else group

    return _changed(summary, change)


def _kept(summary: xr.DataTree, kept: tuple[str, ...]) -> xr.DataTree:
    def change(_: str, group: xr.Dataset) -> xr.Dataset:
        dims = [dim for dim in ("activation_type", "other_type") if dim in group.dims]
        return group.sel({dim: [kind for kind in kept if kind in group[dim].values] for dim in dims})

    return _changed(summary, change)


def three_types(summary: xr.DataTree) -> xr.DataTree:
    """Real, random and structured alone."""
    return _kept(summary, (REFERENCE, "random", "structured"))


def without_sae(summary: xr.DataTree) -> xr.DataTree:
    """No type that takes an SAE."""
    return _kept(summary, _NONE)


FIVE: dict[str, Callable[[xr.DataTree], xr.DataTree]] = {
    "all equal": all_equal,
    "all different": all_different,
    "censored": censored,
    "three types": three_types,
    "no SAE": without_sae,
}
"""By what they are."""

TYPES = np.array(
    [REFERENCE, CONTROL, "random", "isotropic", "reconstruction", "bag", "baseline", "structured", "single_latent"]
)
"""All types that they name."""
