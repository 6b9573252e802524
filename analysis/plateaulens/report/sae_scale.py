"""What the page of a sweep over SAEs says and tabulates: the scale of the sweep's summary, and its order."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import SCALED, label, metric_label
from plateaulens.report.contents import config_of, group_of, values_of
from plateaulens.report.phrases import capital, confidence_of
from plateaulens.report.setting import held_sentence
from plateaulens.report.sweep import completed, models
from plateaulens.report.table import Column, Row, Table, estimated, measured
from plateaulens.report.text import MISSING, escape, estimate, listing, number, prose
from plateaulens.store.manifest import SITE
from plateaulens.summary.sae_scale import GROUP, UNADJUSTED

_DIGITS = 2
_MOST_NAMED = 6
"""SAEs in a sentence; of more their number is said, and the table has them."""
_NO_SCALE = "This sweep has no SAEs with random and real targets, so there is no scale to place them on."


def scale_of(summary: xr.DataTree) -> xr.Dataset | None:
    """The scale of a sweep's SAEs.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    xarray.Dataset or None
        None where the sweep has none.
    """
    return group_of(summary, GROUP)


def sites(scale: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """The scales, one for each model, write site, read site and seed that has SAEs.

    Parameters
    ----------
    scale
        Of a sweep.

    Yields
    ------
    tuple
        A title, empty where there is one scale alone, and the scale with those SAEs only that it places.
    """
    varied = [axis for axis in SITE if scale.sizes[axis] > 1]
    for place in np.ndindex(*(scale.sizes[axis] for axis in SITE)):
        one = scale.isel(dict(zip(SITE, place, strict=True)))
        there = [bool(np.any(one["standing"].sel(sae=name) != "")) for name in values_of(one, "sae")]
        if any(there):
            own = [axis for axis in varied if axis in one.coords]
            yield listing([f"{axis} {one[axis].item()}" for axis in own]) if own else "", one.isel(sae=there)


def first_site(summary: xr.DataTree) -> tuple[str, xr.Dataset]:
    """The scale that is drawn.

    Parameters
    ----------
    summary
        A sweep's, which has one.

    Returns
    -------
    tuple
        The first of `sites`.
    """
    scale = scale_of(summary)
    assert scale is not None
    return next(sites(scale))


def figure_caption(summary: xr.DataTree) -> str:
    """Which of the sweep's scales is drawn.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    scale = scale_of(summary)
    titles = [] if scale is None else [title for title, _ in sites(scale)]
    if len(titles) > 1:
        return f"Shown is {escape(titles[0])}, the first of {len(titles)}. The tables have all."
    return "Metrics on which random is not shown to differ from real have no panel."


def varied_sentences(summary: xr.DataTree) -> str:
    """How many SAEs, on how many base prompts.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    config, scale = config_of(summary), scale_of(summary)
    if scale is None:
        return _NO_SCALE
    experiment = scale.attrs["experiment"]
    settings = config.experiment(experiment)
    cells = json.loads(summary.attrs["cells"])
    done = sum(cell["state"] == "complete" for cell in cells)
    held = held_sentence(config)
    return (
        f"The sweep {escape(config.name)} has {scale.sizes['sae']} {'SAE' if scale.sizes['sae'] == 1 else 'SAEs'}. "
        f"{capital(completed(done, len(cells)))} "
        f"All SAEs of a site share {number(settings.samples, 0)} base prompts of {config.prompts.length} tokens, real "
        f"targets and random ones. Paths have {settings.steps} points ({names.experiment(experiment).title}). "
        f"{models(scale)}{f' {held}' if held else ''}"
    )


def steps_phrase(summary: xr.DataTree) -> str:
    """What the scale compares the distributions of.

    Parameters
    ----------
    summary
        A sweep's, which has a scale.

    Returns
    -------
    str
        Markdown, a phrase.
    """
    scale = scale_of(summary)
    assert scale is not None
    experiment = names.experiment(scale.attrs["experiment"])
    return prose(f"{names.statistic(scale.attrs['statistic']).label} ({experiment.title})")


def length_table(summary: xr.DataTree) -> Table:
    """The length of each scale, and where a second draw of real targets stands on it.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row for each scale and metric.
    """
    columns = {
        "site": Column("site", "text"),
        "metric": Column("metric", "metric"),
        **estimated("KS of random to real", "scale_length", _DIGITS),
        **estimated("share of a second draw of real", "control_share", _DIGITS),
    }
    scale = scale_of(summary)
    rows: list[Row] = []
    for title, one in () if scale is None else sites(scale):
        for metric in values_of(one, "metric"):
            values = one.sel(metric=metric)
            row: Row = {"site": title or MISSING, "metric": metric}
            rows.append(row | measured(values, "scale_length") | measured(values, "control_share"))
    return Table(pd.DataFrame(rows), columns)


def ranking_table(summary: xr.DataTree, activation_type: str) -> Table:
    """The SAEs in their order, by one activation type.

    Parameters
    ----------
    summary
        A sweep's.
    activation_type
        The type.

    Returns
    -------
    Table
        A row for each SAE of each scale and metric, the best first; none where the sweep has no such type.
    """
    columns = {
        "heading": Column("", "text"),
        "rank": Column("rank", "count"),
        "sae": Column("SAE", "text"),
        **estimated("share of the way", "share", _DIGITS),
        **estimated("behind the best", "behind", _DIGITS),
        "behind_p_holm": Column("p (Holm)", "p"),
        "standing": Column("standing", "text"),
    }
    rows: list[Row] = []
    for title, values in _placed(summary, activation_type):
        own: list[Row] = []
        for name in values_of(values, "sae"):
            cell = values.sel(sae=name)
            row: Row = {
                "heading": title,
                "sae": name,
                "rank": float(cell["rank"]),
                "standing": str(cell["standing"].item()),
            }
            row |= measured(cell, "share") | measured(cell, "behind")
            own.append(row | {"behind_p_holm": float(cell["behind_p_holm"])})
        rows += sorted(own, key=lambda row: (np.isnan(row["rank"]), row["rank"]))
    return Table(pd.DataFrame(rows), columns, grouped_by="heading")


def ranking_caption(summary: xr.DataTree, activation_type: str) -> str:
    """What stands in `ranking_table`.

    Parameters
    ----------
    summary
        A sweep's.
    activation_type
        The type.

    Returns
    -------
    str
        Markdown.
    """
    scale = scale_of(summary)
    if scale is None or activation_type not in values_of(scale, "activation_type"):
        return f"SAEs by {label(activation_type)}: the sweep does not have this type."
    confidence = confidence_of(scale["share_interval"])
    return (
        f"SAEs by {label(activation_type)}, those that come farthest first: share of the way from random to real, and "
        f"how far behind the best, with {confidence} intervals. *Worse*: shown to lie behind the best, adjusted by "
        f"Holm's method over all pairs of SAEs. *Not shown worse* is no verdict of equality. Intervals of how far an "
        f"SAE lies behind are {UNADJUSTED}."
    )


def standing_sentences(summary: xr.DataTree, activation_type: str) -> str:
    """Which SAE comes farthest, and whether it is shown to be ahead of the others, by one activation type.

    Parameters
    ----------
    summary
        A sweep's.
    activation_type
        The type.

    Returns
    -------
    str
        Markdown, some sentences for each scale and metric.
    """
    said = []
    for title, values in _placed(summary, activation_type):
        said.append(f"{capital(escape(title))}: {_standing_said(standings(values), values)}")
    return " ".join(said) if said else f"The sweep does not have the type {label(activation_type)}."


def standings(values: xr.Dataset) -> dict[str, list[str]]:
    """The SAEs by the word on them.

    Parameters
    ----------
    values
        Of one scale, metric and type.

    Returns
    -------
    dict
        By `standing`, in the order of the SAEs.
    """
    by: dict[str, list[str]] = {}
    for name in values_of(values, "sae"):
        by.setdefault(str(values["standing"].sel(sae=name).item()), []).append(name)
    return by


def _standing_said(by: dict[str, list[str]], values: xr.Dataset) -> str:
    """What is said of the SAEs of one scale, type and metric, by the word on them; it goes on behind a colon."""
    if list(by) == ["undefined"]:
        return "random is not shown to differ from real, and the share of the way is not defined."
    ahead = by.get("best") or by.get("tied for best") or by.get("only one") or []
    named = {word: _named(own) for word, own in by.items()}
    said = []
    if ahead:
        one = values.sel(sae=ahead[0])
        share = f", {estimate(float(one['share']), one['share_interval'].values.tolist(), _DIGITS)} of the way"
        if "only one" in by:
            said.append(f"{named['only one']} is the only SAE{share}.")
        elif len(ahead) > 1:
            said.append(f"{_named(ahead)} come equally far in this sample{share}.")
        else:
            # it is a fact of more than the sample where every other one is shown to lie behind
            sample = "" if set(by).issubset({"best", "worse", "undefined"}) else " in this sample"
            said.append(f"{_named(ahead)} comes farthest{sample}{share}.")
    if "not shown worse" in by:
        pronoun = "They are" if len(ahead) > 1 else "It is"
        said.append(f"{pronoun} not shown to be ahead of {named['not shown worse']}.")
    said += [f"Shown to be worse: {named['worse']}."] if "worse" in by else []
    if "too few" in by:
        said.append(f"{'There' if said else 'there'} are too few base prompts to place {named['too few']} in an order.")
    said += [f"Without a share: {named['undefined']}."] if "undefined" in by else []
    return " ".join(said)


def _named(saes: list[str]) -> str:
    return listing([escape(name) for name in saes]) if len(saes) <= _MOST_NAMED else f"{len(saes)} SAEs"


def plateau_table(summary: xr.DataTree) -> Table:
    """Plateau lengths of every SAE's activations as a share of real's.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row for each SAE of each scale and metric with plateaus.
    """
    columns = {"heading": Column("", "text"), "sae": Column("SAE", "text")}
    for name in SCALED:
        columns |= estimated(label(name), "plateau_share", _DIGITS, name=name)
    scale = scale_of(summary)
    rows: list[Row] = []
    for title, one in () if scale is None else sites(scale):
        types = [name for name in SCALED if name in values_of(one, "activation_type")]
        for metric in values_of(one, "metric"):
            values = one.sel(metric=metric)
            if not values["plateau_share"].notnull().any():
                continue
            for sae in values_of(one, "sae"):
                row: Row = {"heading": _heading(metric, title), "sae": sae}
                for name in types:
                    row |= measured(values.sel(sae=sae, activation_type=name), "plateau_share", name)
                rows.append(row)
    return Table(pd.DataFrame(rows), columns, grouped_by="heading")


def _placed(summary: xr.DataTree, activation_type: str) -> Iterator[tuple[str, xr.Dataset]]:
    """Every scale and metric with a title, and what it says of one type."""
    scale = scale_of(summary)
    if scale is None or activation_type not in values_of(scale, "activation_type"):
        return
    for title, one in sites(scale):
        for metric in values_of(one, "metric"):
            yield _heading(metric, title), one.sel(metric=metric, activation_type=activation_type)


def _heading(metric: str, title: str) -> str:
    return f"{metric_label(metric)}, {title}" if title else metric_label(metric)
