"""The figures: each function takes groups of a summary and returns the `matplotlib.figure.Figure` it has drawn.

- `curves`: curves over the path, single ones and means, and the share of prompts that are still on their plateau or
  have not blown up.
- `distributions`: max-slope steps as distributions, and by how much their quantiles are shifted.
- `differences`: distances and differences to real, a row or a line per type: as they are, at equal geometry, and with
  the constants of the analysis moved; and how well targets are told from real ones.
- `experiment`: a drawing of what is done, from a curve of the run.
- `geometry`: where the targets lie.
- `ladder`: how far from real the rungs of the ladder are, and how new.
- `models`: two runs beside each other.
- `sweep`: the layers of a sweep, and its SAEs.
- `positions` and `style`: what they share.

Figures are built from objects alone: no pyplot, no global state, nothing to close. Each is made anew unless it is told
what to draw on: `ax`, for one panel, or `figure`, a figure or subfigure for all panels, which had better have the
constrained layout, so that it makes room for the legend. Titles, labels, ticks, limits and a legend are drawn there,
too::

    page = Figure(layout="constrained")
    left, right = page.subplots(1, 2)
    figures.max_slope_cdf(experiment, metrics=["l2"], ax=left)
    figures.ks_forest(experiment, metrics=["l2"], ax=right)
"""

from plateaulens.figures.curves import example_curves, plateaus, survival_curves
from plateaulens.figures.differences import adjusted_differences, constant_sensitivity, distinguishability, ks_forest
from plateaulens.figures.distributions import max_slope_cdf, max_slope_histograms, quantile_shifts
from plateaulens.figures.experiment import experiment_drawing
from plateaulens.figures.geometry import target_geometry
from plateaulens.figures.ladder import doses, ladder
from plateaulens.figures.models import beside
from plateaulens.figures.sweep import layer_map, sae_shares

__all__ = [
    "adjusted_differences",
    "beside",
    "constant_sensitivity",
    "distinguishability",
    "doses",
    "example_curves",
    "experiment_drawing",
    "ks_forest",
    "ladder",
    "layer_map",
    "max_slope_cdf",
    "max_slope_histograms",
    "plateaus",
    "quantile_shifts",
    "sae_shares",
    "survival_curves",
    "target_geometry",
]
