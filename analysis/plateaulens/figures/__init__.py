"""One figure per file: each function takes a group of a summary and returns a `matplotlib.figure.Figure`.

Figures are built from objects alone: no pyplot, no global state, nothing to close.
"""

from plateaulens.figures.beside import beside
from plateaulens.figures.confounds import adjusted_differences
from plateaulens.figures.constants import constant_sensitivity
from plateaulens.figures.curves import example_curves
from plateaulens.figures.distinguish import distinguishability
from plateaulens.figures.forest import ks_forest
from plateaulens.figures.geometry import target_geometry
from plateaulens.figures.histograms import max_slope_histograms
from plateaulens.figures.layers import layer_map
from plateaulens.figures.max_slope import max_slope_cdf
from plateaulens.figures.plateau import plateaus
from plateaulens.figures.quantiles import quantile_shifts
from plateaulens.figures.style import label
from plateaulens.figures.survival import survival_curves

__all__ = [
    "adjusted_differences",
    "beside",
    "constant_sensitivity",
    "distinguishability",
    "example_curves",
    "ks_forest",
    "label",
    "layer_map",
    "max_slope_cdf",
    "max_slope_histograms",
    "plateaus",
    "quantile_shifts",
    "survival_curves",
    "target_geometry",
]
