"""The glue of `report/index.qmd`: the same cell works whether or not the run has what it shows."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure

from plateaulens.report.contents import ABSENT, NO_THRESHOLD, experiment_of
from plateaulens.report.text import MISSING, markdown

Maker = Callable[[xr.Dataset], Figure | pd.DataFrame | str]


def show(summary: xr.DataTree, group: str, make: Maker) -> Figure | Markdown:
    """What `make` makes of a group as a figure or Markdown; a dash when the run does not have the group."""
    experiment = experiment_of(summary, group)
    made = MISSING if experiment is None else make(experiment)
    if isinstance(made, Figure):
        return made
    return _markdown(made if isinstance(made, str) else markdown(made))


def say(summary: xr.DataTree, group: str, *makers: Callable[[xr.Dataset], str]) -> Markdown:
    """The paragraphs that `makers` make of a group, or one line that the run does not have it."""
    experiment = experiment_of(summary, group)
    if experiment is None:
        return _markdown(ABSENT[group])
    return _markdown("\n\n".join(make(experiment) for make in makers))


def on(metric: str | None, make: Callable[..., Figure | pd.DataFrame | str], otherwise: str = MISSING) -> Maker:
    """`make` on one metric, and `otherwise` where the statistic is defined on none."""
    return partial(make, metric=metric) if metric else lambda _: otherwise


def say_on(metric: str | None, make: Callable[..., str]) -> Callable[[xr.Dataset], str]:
    """A maker of a sentence on plateaus, or the sentence that there is no plateau length."""
    return partial(make, metric=metric) if metric else lambda _: NO_THRESHOLD


def _markdown(text: str) -> Markdown:
    return Markdown(text)  # type: ignore[no-untyped-call]
