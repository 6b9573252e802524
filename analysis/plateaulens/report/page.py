"""The glue of `report/index.qmd`: the same cell works whether or not the run has what it shows."""

from collections.abc import Callable

import pandas as pd
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure

from plateaulens.report.contents import EXPERIMENT_TITLES, experiment_of
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
        return _markdown(f"This run has no experiment with {EXPERIMENT_TITLES[group]}.")
    return _markdown("\n\n".join(make(experiment) for make in makers))


def _markdown(text: str) -> Markdown:
    return Markdown(text)  # type: ignore[no-untyped-call]
