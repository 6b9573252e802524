"""One figure per file: each function takes a group of a summary and returns a `matplotlib.figure.Figure`.

Figures are built from objects alone: no pyplot, no global state, nothing to close.
"""

from plateaulens.figures.curves import example_curves, plateaus, survival_curves
from plateaulens.figures.differences import adjusted_differences, constant_sensitivity, distinguishability, ks_forest
from plateaulens.figures.distributions import max_slope_cdf, max_slope_histograms, quantile_shifts
from plateaulens.figures.geometry import target_geometry
from plateaulens.figures.models import beside
from plateaulens.figures.sweep import layer_map

__all__ = [
    "adjusted_differences",
    "beside",
    "constant_sensitivity",
    "distinguishability",
    "example_curves",
    "ks_forest",
    "layer_map",
    "max_slope_cdf",
    "max_slope_histograms",
    "plateaus",
    "quantile_shifts",
    "survival_curves",
    "target_geometry",
]
