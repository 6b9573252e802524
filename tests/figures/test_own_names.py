"""Metrics, types and experiments that only the store knows: drawn, and called by their own names."""

from collections.abc import Callable

import pytest
import xarray as xr
from matplotlib.figure import Figure
from tests.figures.checks import check_readable, legend_labels

from plateaulens import figures


@pytest.fixture
def experiment(summary: xr.DataTree) -> xr.Dataset:
    """The metric JS and the type bag under names that nobody has heard of."""
    own = summary["sensitivity"].to_dataset()
    renamed = {"metric": {"js": "my_metric"}, "activation_type": {"bag": "my_type"}}
    return own.assign_coords(
        {dim: [names.get(str(name), str(name)) for name in own[dim].values] for dim, names in renamed.items()}
    )


def test_the_forest_has_every_metric_of_the_experiment(experiment: xr.Dataset) -> None:
    figure = figures.ks_forest(experiment)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2", "KL", "my_metric"]
    assert "my type" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    check_readable(figure)


def test_the_forest_has_no_panel_of_a_metric_without_the_statistic(summary: xr.DataTree) -> None:
    figure = figures.ks_forest(summary["plateau"].to_dataset(), statistic="plateau_length")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2"]


@pytest.mark.parametrize("draw", [figures.max_slope_cdf, figures.quantile_shifts, figures.survival_curves])
def test_a_metric_and_a_type_of_one_s_own(draw: Callable[..., Figure], experiment: xr.Dataset) -> None:
    figure = draw(experiment, metrics=["my_metric"], types=["my_type", "random"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["my_metric"]
    assert legend_labels(figure) == ["my type", "random"]
    check_readable(figure)


def with_path(group: xr.Dataset, name: str) -> xr.Dataset:
    """The confounds of one more kind of path, like those of relative steps."""
    more = group.sel(path=["sensitivity"]).assign_coords(path=[name])
    return xr.concat([group, more], "path", data_vars="minimal", coords="minimal")


def test_kinds_of_path_that_are_about_the_statistic(summary: xr.DataTree) -> None:
    group = summary["confounds"].to_dataset()
    figure = figures.adjusted_differences(with_path(group, "my_walk"))
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "relative steps",
        "absolute steps",
        "absolute, to the target",
        "my walk",
    ]
    check_readable(figure)
    assert all(tick.label1.get_visible() for ax in figure.axes for tick in ax.xaxis.get_major_ticks())
    (ax,) = figures.adjusted_differences(group, statistic="plateau_length").axes
    assert ax.get_title(loc="left") == "plateaus"


def test_a_long_title_takes_two_lines(summary: xr.DataTree) -> None:
    group = with_path(summary["confounds"].to_dataset(), "sensitivity_reconstructed")
    figure = figures.adjusted_differences(group)
    assert figure.axes[-1].get_title(loc="left") == "relative steps from the\nreconstruction"
    check_readable(figure)


def test_without_an_experiment_about_the_statistic_all_paths_are_drawn(summary: xr.DataTree) -> None:
    group = summary["confounds"].to_dataset().sel(path=["sensitivity"])
    (ax,) = figures.adjusted_differences(group, statistic="plateau_length").axes
    assert ax.get_title(loc="left") == "relative steps"


def test_an_experiment_and_a_constant_of_one_s_own(summary: xr.DataTree) -> None:
    group = summary["constants"].to_dataset()
    renamed = {"experiment": {"sensitivity": "my_walk"}, "constant": {"step_size": "my_type.my_size"}}
    group = group.assign_coords(
        {name: ("case", [to.get(str(v), str(v)) for v in group[name].values]) for name, to in renamed.items()}
    )
    panels = {(ax.get_title(loc="left"), ax.get_xlabel()) for ax in figures.constant_sensitivity(group).axes}
    assert ("my walk, max slope", "my type: my size") in panels
