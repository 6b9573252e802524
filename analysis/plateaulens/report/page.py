"""The glue of `report/index.qmd`: the same cell works whether or not the run has what it shows."""

from collections.abc import Callable, Sequence
from functools import partial

import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure

from plateaulens.report.contents import group_of
from plateaulens.report.phrases import NO_THRESHOLD, absent
from plateaulens.report.table import Table
from plateaulens.report.text import MISSING

Maker = Callable[[xr.Dataset], Figure | Table | str]


def show(summary: xr.DataTree, group: str, make: Maker) -> Figure | Markdown:
    """What is made of a group, as a figure or as Markdown.

    Parameters
    ----------
    summary
        The summary.
    group
        The group's name.
    make
        From the group to a figure, a table or text.

    Returns
    -------
    matplotlib.figure.Figure or IPython.display.Markdown
        A dash when the run does not have the group.
    """
    found = group_of(summary, group)
    made = MISSING if found is None else make(found)
    if isinstance(made, Figure):
        return made
    return shown(made)


def shown(made: Table | str) -> Markdown:
    """A table or a text, as a cell shows it.

    Parameters
    ----------
    made
        A text is Markdown.

    Returns
    -------
    IPython.display.Markdown
        The text, or the printed table.
    """
    return Markdown(made if isinstance(made, str) else made.markdown())  # type: ignore[no-untyped-call]


def say(summary: xr.DataTree, group: str, *makers: Callable[[xr.Dataset], str]) -> Markdown:
    """The paragraphs that are made of a group.

    Parameters
    ----------
    summary
        The summary.
    group
        The group's name.
    *makers
        From the group to a paragraph each.

    Returns
    -------
    IPython.display.Markdown
        The paragraphs, or one line that the run does not have the group.
    """
    found = group_of(summary, group)
    if found is None:
        return shown(absent(group))
    return shown("\n\n".join(make(found) for make in makers))


def on(metric: str | None, make: Callable[..., Figure | Table | str], otherwise: str = MISSING) -> Maker:
    """A maker that shows one metric.

    Parameters
    ----------
    metric
        The metric, or None where the statistic is defined on none.
    make
        Takes a group and `metric`.
    otherwise
        What is shown where there is no metric.

    Returns
    -------
    callable
        For `show`.
    """
    return partial(make, metric=metric) if metric else lambda _: otherwise


def drawn(metrics: Sequence[str], make: Callable[..., Figure]) -> Maker:
    """A maker of a figure that shows some metrics.

    Parameters
    ----------
    metrics
        None where there is nothing to show.
    make
        Takes a group and `metrics`.

    Returns
    -------
    callable
        For `show`; it shows a dash without metrics.
    """
    return partial(make, metrics=metrics) if metrics else lambda _: MISSING


def say_on(metric: str | None, make: Callable[..., str]) -> Callable[[xr.Dataset], str]:
    """A maker of sentences on plateaus.

    Parameters
    ----------
    metric
        The metric, or None where no plateau has an end.
    make
        Takes a group and `metric`.

    Returns
    -------
    callable
        For `say`; without a metric it says that there is no plateau length.
    """
    return partial(make, metric=metric) if metric else lambda _: NO_THRESHOLD
