"""One figure per file: each function takes a group of a summary and returns a `matplotlib.figure.Figure`.

Figures are built from objects alone: no pyplot, no global state, nothing to close.
"""

from plateaulens.figures.curves import example_curves
from plateaulens.figures.forest import ks_forest
from plateaulens.figures.geometry import target_geometry
from plateaulens.figures.histograms import max_slope_histograms
from plateaulens.figures.max_slope import max_slope_cdf
from plateaulens.figures.plateau import plateaus
from plateaulens.figures.style import label

__all__ = [
    "example_curves",
    "ks_forest",
    "label",
    "max_slope_cdf",
    "max_slope_histograms",
    "plateaus",
    "target_geometry",
]
