"""Where targets lie and how long the paths to them are: a sentence, a table and captions."""

import pandas as pd
import xarray as xr

from plateaulens.names import label
from plateaulens.report.contents import bounds, compared_types, types_of
from plateaulens.report.phrases import confidence_of, prompts, subject
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import percent

_QUANTITIES = {
    "target_norm": ("norm", 1),
    "path_length": ("path length", 1),
    "cosine": ("cosine to base", 2),
    "distance_from_mean": ("to mean base", 1),
}


def path_length_caution(geometry: xr.Dataset) -> str:
    """A warning for the types whose mean path length clearly differs from real's: the summary's `path_relation`.

    Its criterion is said, the least excess that counts: of types that do not meet it nothing is claimed.

    Parameters
    ----------
    geometry
        The group `geometry`.

    Returns
    -------
    str
        Markdown, with the criterion and the excess of the means.
    """
    relation = geometry["path_relation"]
    held = compared_types(geometry)
    excess = {name: float(geometry["path_ratio"].sel(activation_type=name)) - 1 for name in held}
    tolerance = percent(relation.attrs["tolerance"])
    sentences: list[str] = []
    told: list[str] = []
    for found in ("longer", "shorter"):
        types = [name for name in held if str(relation.sel(activation_type=name).item()) == found]
        if types:
            ordered = sorted(types, key=lambda name: abs(excess[name]))
            ends = list(dict.fromkeys((ordered[0], ordered[-1])))
            said = " to ".join(_excess(excess[name], name if len(ends) > 1 else "") for name in ends)
            told += types
            whose = subject(types, held).text
            sentences.append(f"Paths to {whose} are shown to be more than {tolerance} {found} on average than to real.")
            mean_is = "means are" if len(ends) > 1 else "mean is"
            sentences.append(f"The {mean_is} {found} by {said}.")
    if not sentences:
        return f"No type's mean path length is shown to differ from that of real targets by more than {tolerance}."
    if len(told) < len(held):
        sentences.append("No difference that large is shown for other types, whose paths may still differ in length.")
    return " ".join(sentences)


def _excess(excess: float, name: str) -> str:
    """A relative difference of means, with whose it is."""
    return percent(abs(excess)) + (f" ({label(name)})" if name else "")


def geometry_table(geometry: xr.Dataset) -> Table:
    """Mean norm, path length, cosine to the base and distance from the mean base of every type's targets.

    Parameters
    ----------
    geometry
        The group `geometry`.

    Returns
    -------
    Table
        A row per type.
    """
    columns = {"type": TYPE} | {
        name: Column(title, "estimate", digits) for name, (title, digits) in _QUANTITIES.items()
    }
    columns |= estimated("path over real's", "path_ratio", KS_DIGITS)
    rows = [_row(geometry.sel(activation_type=name), name) for name in types_of(geometry)]
    return Table(pd.DataFrame(rows), columns)


def geometry_table_caption(geometry: xr.Dataset) -> str:
    """For `geometry_table`.

    Parameters
    ----------
    geometry
        The group `geometry`.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(geometry["path_length_interval"])
    return (
        f"Mean norm of the targets, length of the path, cosine of target and base, and distance of the target from the "
        f"mean base. *Path over real's*: ratio of the mean paths, whose interval is of pairs. In brackets {confidence} "
        f"bootstrap intervals, {prompts(geometry)}."
    )


def target_geometry_caption(geometry: xr.Dataset) -> str:
    """For `plateaulens.figures.target_geometry`.

    Parameters
    ----------
    geometry
        The group `geometry`.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(geometry["path_length_interval"])
    return (
        f"Norms of the targets and lengths of the paths to them, {prompts(geometry)}: densities, with the mean (tick) "
        f"and its {confidence} bootstrap interval (bar). The dashed line is the mean of real."
    )


def _row(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name}
    for quantity in _QUANTITIES:
        lower, upper = bounds(values[f"{quantity}_interval"]).tolist()
        mean = float(values[f"{quantity}_mean"])
        row |= {quantity: mean, f"{quantity}_lower": lower, f"{quantity}_upper": upper}
    return row | measured(values, "path_ratio")
