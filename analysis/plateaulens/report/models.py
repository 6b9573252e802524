"""The section that sets a run beside one of another model, on what both have and on scales that both share."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr
from IPython.display import Markdown

from plateaulens import figures
from plateaulens.names import MAIN_METRICS, label, metric_label
from plateaulens.report.contents import REFERENCE, bounds, compared_types, confidence_of, config_of, experiment_of
from plateaulens.report.rows import KS_DIGITS, STEP_DIGITS, cell
from plateaulens.report.text import MISSING, escape, listing, markdown, number, span
from plateaulens.report.timing import timing_sentences
from plateaulens.store.location import locate
from plateaulens.store.reading import open_summary

EXPERIMENT = "sensitivity"
DIGITS = 1
_HEADING = "## Beside another model {#sec-models}"
_PICTURE = "models.svg"

Runs = Mapping[str, xr.Dataset]


def section(summary: xr.DataTree, other: str) -> Markdown:
    """The section, with its heading and a picture that is written to the working directory; nothing without `other`.

    `other` is the path or URL of the summary that this one is set beside, or empty. Where there is none, or where one
    of the two lacks relative steps, the section says so.
    """
    text = _text(summary, other) if other else ""
    return Markdown(text)  # type: ignore[no-untyped-call]


def _text(summary: xr.DataTree, other: str) -> str:
    place = locate(other)
    if not place.exists():
        name = escape(Path(other).stem)
        return (
            f"{_HEADING}\n\nThis run is meant to be read beside {name}, of which there is no summary here: collect and "
            f"analyse the preset of that name, and render this report again."
        )
    with open_summary(place) as second:
        own, others = str(summary.attrs["name"]), str(second.attrs["name"])
        trees = {own: summary, others if others != own else f"{others} (the other)": second.load()}
    runs = {name: group for name, tree in trees.items() if (group := experiment_of(tree, EXPERIMENT)) is not None}
    if len(runs) < 2 or not all("steepness_mean" in group for group in runs.values()):
        return f"{_HEADING}\n\nThis summary and {escape(other)} do not both hold relative steps and their steepness."
    types = shared_types(runs)
    figure = figures.beside(runs, types=[name for name in types if name != REFERENCE])
    figure.savefig(_PICTURE, metadata={"Date": None})  # the same bytes every time
    table = markdown(models_table(runs))
    return "\n\n".join(
        [
            _HEADING,
            setting_sentence(trees),
            *(steepness_sentence(runs, metric) for metric in MAIN_METRICS),
            *(f"**{escape(name)}.** {_timing(run.sel(activation_type=types))}" for name, run in runs.items()),
            f"::: {{#fig-models}}\n\n![]({_PICTURE}){{fig-alt='{_alternative(runs)}'}}\n\n{_caption(runs)}\n\n:::",
            f"::: {{#tbl-models}}\n\n{table}\n\n{_table_caption(runs)}\n\n:::",
        ]
    )


def shared_types(runs: Runs) -> list[str]:
    """The types that all runs have, in the first one's order."""
    first, *others = ([str(name) for name in run["activation_type"].to_numpy()] for run in runs.values())
    return [name for name in first if all(name in other for other in others)]


def setting_sentence(trees: Mapping[str, xr.DataTree]) -> str:
    """What the runs measured, and what cannot be compared between them."""
    items = []
    for name, tree in trees.items():
        config = config_of(tree)
        samples, sites = tree[EXPERIMENT].sizes["sample"], config.sites
        items.append(
            f"{escape(name)} ({escape(sites.write)} to {escape(sites.read)}, {number(samples, 0)} prompts of "
            f"{config.prompts.length} tokens, {escape(config.prompts.source)})"
        )
    return (
        f"Relative steps of {listing(items)}. Distances at the read site and plateau lengths are on each model's own "
        "scale and not compared; compared are when a curve blows up, as a part of the way, and how much steeper than a "
        "straight line it is there. @janiak2024 found stable regions, which end steeply, in the models of several "
        "families, and Gemma to be the exception."
    )


def steepness_sentence(runs: Runs, metric: str) -> str:
    """How steep the curves towards real targets are in each run, and in which one steeper, where intervals tell."""
    own = {name: run.sel(metric=metric, activation_type=REFERENCE) for name, run in runs.items()}
    ends = {name: bounds(values["steepness_mean_interval"]) for name, values in own.items()}
    items = [
        f"{number(float(own[name]['steepness_mean']), DIGITS)} times in {escape(name)} ({span(ends[name], DIGITS)})"
        for name in own
    ]
    (first, low), (second, high) = sorted(ends.items(), key=lambda item: float(item[1][0]))
    found = (
        f"they are steeper in {escape(second)}" if low[1] < high[0]
        else f"{escape(first)} and {escape(second)} are not told apart"
    )  # fmt: skip
    confidence = confidence_of(next(iter(own.values()))["steepness_mean_interval"])
    return (
        f"On {metric_label(metric)}, curves towards real targets are at their steepest {listing(items)} as steep as a "
        f"straight line (geometric means, {confidence} intervals): {found}."
    )


def models_table(runs: Runs) -> pd.DataFrame:
    """Steepness, mean difference to real and KS distance of the shared types in every run; metrics below each other."""
    rows: list[dict[str, str]] = []
    for metric in MAIN_METRICS:
        rows.append({"type": f"**{metric_label(metric)}**"})
        for kind in shared_types(runs):
            row = {"type": label(kind)}
            for quantity, title, digits in (
                ("steepness_mean", "steepness", DIGITS),
                ("mean_difference", "difference", STEP_DIGITS),
                ("ks", "KS", KS_DIGITS),
            ):
                for name, run in runs.items():
                    row[f"{title}, {escape(name)}"] = _cell(run, quantity, digits, metric, kind)
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _cell(run: xr.Dataset, quantity: str, digits: int, metric: str, kind: str) -> str:
    values = run.sel(metric=metric, activation_type=kind, convention="corrected", statistic="max_slope")
    trivial = kind == REFERENCE and quantity != "steepness_mean"
    return MISSING if trivial else cell(values, quantity, digits)


def _timing(run: xr.Dataset) -> str:
    if not compared_types(run):
        return timing_sentences(run, metric=MAIN_METRICS[0])
    return " ".join(timing_sentences(run, metric=metric) for metric in MAIN_METRICS)


def _caption(runs: Runs) -> str:
    first, second = (escape(name) for name in runs)
    confidence = confidence_of(next(iter(runs.values()))["mean_difference_interval"])
    return (
        "Above, mean curves divided by their last point (less steep than single ones, which jump at different steps); "
        f"below, mean paired difference to real of the max-slope step, with {confidence} intervals. Solid lines and "
        f"filled marks: {first}; dashed lines and open marks: {second}."
    )


def _table_caption(runs: Runs) -> str:
    confidence = confidence_of(next(iter(runs.values()))["steepness_mean_interval"])
    return (
        f"Relative steps in both models: steepness (geometric mean), mean paired difference to real of the max-slope "
        f"step, and KS distance to real, with {confidence} bootstrap intervals in brackets."
    )


def _alternative(runs: Runs) -> str:
    return (
        f"Two panels of rising curves, solid and dashed, for the {len(runs)} runs; below them rows of marks with bars, "
        "one row per activation type, around a line at zero."
    )
