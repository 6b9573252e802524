"""What all figures keep to: readable, drawn for any run, without global state."""

from collections.abc import Callable

import pytest
import xarray as xr
from matplotlib import _pylab_helpers
from matplotlib.figure import Figure
from tests.figures.checks import check_readable

from plateaulens import figures

DRAW: dict[str, Callable[[xr.DataTree], Figure]] = {
    "max_slope_cdf": lambda tree: figures.max_slope_cdf(tree["sensitivity"].to_dataset()),
    "max_slope_cdf absolute": lambda tree: figures.max_slope_cdf(tree["sensitivity_absolute"].to_dataset()),
    "example_curves": lambda tree: figures.example_curves(tree["sensitivity"].to_dataset()),
    "example_curves absolute": lambda tree: figures.example_curves(tree["sensitivity_absolute"].to_dataset()),
    "experiment_drawing": lambda tree: figures.experiment_drawing(tree["sensitivity"].to_dataset()),
    "experiment_drawing plateau": lambda tree: figures.experiment_drawing(tree["plateau"].to_dataset()),
    "max_slope_histograms": lambda tree: figures.max_slope_histograms(tree["sensitivity"].to_dataset()),
    "plateaus": lambda tree: figures.plateaus(tree["plateau"].to_dataset(), threshold=20.0),
    "target_geometry": lambda tree: figures.target_geometry(tree["geometry"].to_dataset()),
    "ks_forest": lambda tree: figures.ks_forest(tree["sensitivity"].to_dataset()),
    "survival_curves": lambda tree: figures.survival_curves(tree["sensitivity"].to_dataset()),
    "survival_curves plateau": lambda tree: figures.survival_curves(
        tree["plateau"].to_dataset(), statistic="plateau_length"
    ),
    "adjusted_differences": lambda tree: figures.adjusted_differences(tree["confounds"].to_dataset()),
    "distinguishability": lambda tree: figures.distinguishability(tree["distinguish"].to_dataset()),
    "constant_sensitivity": lambda tree: figures.constant_sensitivity(tree["constants"].to_dataset()),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_is_readable(name: str, summary: xr.DataTree) -> None:
    check_readable(DRAW[name](summary))


@pytest.mark.parametrize("name", DRAW)
def test_a_run_without_an_sae_is_drawn_all_the_same(name: str, summary: xr.DataTree) -> None:
    kept = ["real", "random"]
    few = xr.DataTree.from_dict(
        {
            group: node.to_dataset().sel(activation_type=kept) if "activation_type" in node.dims else node.to_dataset()
            for group, node in summary.children.items()
        }
    )
    check_readable(DRAW[name](few))


@pytest.mark.slow
def test_drawing_leaves_no_state_in_pyplot(summary: xr.DataTree) -> None:
    before = list(_pylab_helpers.Gcf.figs)
    for draw in DRAW.values():
        draw(summary)
    assert list(_pylab_helpers.Gcf.figs) == before
