"""Figures that are told what to draw on: the same panels as without, there and nowhere else."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from tests.figures.checks import check_readable, legend_labels

from plateaulens import figures
from plateaulens.config import RunConfig
from plateaulens.figures.style import Page
from plateaulens.names import CONTROL, REFERENCE
from plateaulens.summary.ladder import ladder_dataset
from plateaulens.summary.sae_evidence import evidence_of, own_settings
from plateaulens.summary.sae_scale import sae_scale_dataset

ONE = ["kl"]


def group(tree: xr.DataTree, name: str) -> xr.Dataset:
    return tree[name].to_dataset()


def both(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """A run and what could be another."""
    own = group(tree, "sensitivity")
    return {"one": own, "two": own.sel(activation_type=[REFERENCE, CONTROL, "random"])}


def layers(tree: xr.DataTree) -> xr.Dataset:
    """Two write sites and a read site that are all alike."""
    sites = {"write": ["blocks.1.hook_resid_pre", "blocks.4.hook_resid_pre"], "read": ["blocks.6.hook_resid_post"]}
    return group(tree, "sensitivity")[["ks"]].expand_dims(sites)


def scale(tree: xr.DataTree) -> xr.Dataset:
    """The scale of an SAE that a run could have."""
    settings = own_settings(tree)
    return sae_scale_dataset({"one": evidence_of(tree, settings)}, settings)


def rungs(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """The ladder of a run, and of what could be another site's."""
    targets = RunConfig.model_validate_json(tree.attrs["config"]).targets.model_dump(mode="json")
    own = ladder_dataset({name: node.to_dataset() for name, node in tree.children.items()}, targets)
    return {"one": own, "two": own.isel(rung=slice(2))}


def shares(tree: xr.DataTree) -> dict[str, dict[str, xr.Dataset]]:
    """Distances of two types, as if they had two shares kept."""
    own = group(tree, "sensitivity")[["ks", "ks_interval"]].sel(convention="corrected", statistic="max_slope")
    two = own.sel(activation_type=["random", "isotropic"]).rename(activation_type="share")
    return {"one": {"latents_kept": two.drop_vars("is_control").assign_coords(share=[0.0, 1.0])}}


PANELS: dict[str, Callable[[xr.DataTree, Axes | None], Figure]] = {
    "max_slope_cdf": lambda tree, ax: figures.max_slope_cdf(group(tree, "sensitivity"), metrics=ONE, ax=ax),
    "ks_forest": lambda tree, ax: figures.ks_forest(group(tree, "sensitivity"), metrics=ONE, ax=ax),
    "quantile_shifts": lambda tree, ax: figures.quantile_shifts(group(tree, "sensitivity"), metrics=ONE, ax=ax),
    "survival_curves": lambda tree, ax: figures.survival_curves(group(tree, "sensitivity"), metrics=ONE, ax=ax),
    "sae_shares": lambda tree, ax: figures.sae_shares(scale(tree), metrics=ONE, ax=ax),
    "distinguishability": lambda tree, ax: figures.distinguishability(group(tree, "distinguish"), ax=ax),
}
PAGES: dict[str, Callable[[xr.DataTree, Page | None], Figure]] = {
    "example_curves": lambda tree, page: figures.example_curves(group(tree, "sensitivity"), figure=page),
    "experiment_drawing": lambda tree, page: figures.experiment_drawing(group(tree, "sensitivity"), figure=page),
    "max_slope_histograms": lambda tree, page: figures.max_slope_histograms(group(tree, "sensitivity"), figure=page),
    "plateaus": lambda tree, page: figures.plateaus(group(tree, "plateau"), threshold=20.0, figure=page),
    "target_geometry": lambda tree, page: figures.target_geometry(group(tree, "geometry"), figure=page),
    "adjusted_differences": lambda tree, page: figures.adjusted_differences(group(tree, "confounds"), figure=page),
    "constant_sensitivity": lambda tree, page: figures.constant_sensitivity(group(tree, "constants"), figure=page),
    "beside": lambda tree, page: figures.beside(both(tree), types=["random"], figure=page),
    "layer_map": lambda tree, page: figures.layer_map(layers(tree), figure=page),
    "ladder": lambda tree, page: figures.ladder(rungs(tree), experiment="sensitivity", figure=page),
    "doses": lambda tree, page: figures.doses(shares(tree), metric="l2", figure=page),
}
BY_METRIC: dict[str, Callable[..., Figure]] = {
    "max_slope_cdf": figures.max_slope_cdf,
    "ks_forest": figures.ks_forest,
    "quantile_shifts": figures.quantile_shifts,
    "survival_curves": figures.survival_curves,
}


def halves(page: Figure) -> tuple[SubFigure, SubFigure]:
    left, right = page.subfigures(1, 2, squeeze=False)[0]
    return left, right


def test_every_figure_can_be_told_what_to_draw_on() -> None:
    assert {*PANELS, *PAGES} == set(figures.__all__)


def check_alike(drawn: Sequence[Axes], alone: Sequence[Axes]) -> None:
    """The panels hold the same lines, words and limits."""
    for a, b in zip(drawn, alone, strict=True):
        assert a.get_title(loc="left") == b.get_title(loc="left")
        assert (a.get_xlabel(), a.get_ylabel()) == (b.get_xlabel(), b.get_ylabel())
        np.testing.assert_allclose((a.get_xlim(), a.get_ylim()), (b.get_xlim(), b.get_ylim()), atol=1e-12)
        assert len(a.get_lines()) == len(b.get_lines())
        for line, other in zip(a.get_lines(), b.get_lines(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())
            assert (line.get_label(), line.get_color()) == (other.get_label(), other.get_color())
        for artists in ("collections", "patches", "images"):
            assert len(getattr(a, artists)) == len(getattr(b, artists))


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_drawn_on_an_ax(name: str, summary: xr.DataTree) -> None:
    page = Figure(figsize=(12, 4), layout="constrained")
    ax, other = page.subplots(1, 2)
    other.plot([0, 1])
    assert PANELS[name](summary, ax) is page
    assert page.axes == [ax, other]
    assert len(other.get_lines()) == 1
    alone = PANELS[name](summary, None)
    check_alike([ax], alone.axes)
    own = ax.get_legend()
    assert [text.get_text() for text in own.get_texts()] == legend_labels(alone) if own else not alone.legends
    assert not page.legends
    check_readable(page)


@pytest.mark.parametrize("name", PANELS)
def test_the_figure_of_an_ax_in_a_subfigure_is_the_outermost(name: str, summary: xr.DataTree) -> None:
    page = Figure()
    assert PANELS[name](summary, halves(page)[0].subplots()) is page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.slow
def test_panels_are_drawn_in_a_subfigure(name: str, summary: xr.DataTree) -> None:
    page = Figure(figsize=(16, 8), layout="constrained")
    left, right = halves(page)
    assert PAGES[name](summary, left) is page
    assert not right.axes
    alone = PAGES[name](summary, None)
    check_alike(left.axes, alone.axes)
    assert legend_labels(left) == legend_labels(alone)
    assert not page.legends
    check_readable(page)


@pytest.mark.parametrize("name", PAGES)
def test_panels_are_drawn_in_a_figure_beside_what_it_holds(name: str, summary: xr.DataTree) -> None:
    page = Figure(figsize=(12, 8))
    held = page.add_axes((0.9, 0.9, 0.1, 0.1))
    assert PAGES[name](summary, page) is page
    check_alike([ax for ax in page.axes if ax is not held], PAGES[name](summary, None).axes)
    assert not held.has_data()
    assert not held.get_ylabel()


@pytest.mark.parametrize("name", BY_METRIC)
@pytest.mark.parametrize(("metrics", "came"), [(["l2", "kl"], "l2, kl"), (["unheard_of"], "none")])
def test_an_ax_takes_one_metric(name: str, metrics: list[str], came: str, summary: xr.DataTree) -> None:
    ax = Figure().subplots()
    with pytest.raises(ValueError, match=f"exactly one metric, and {came}.* came"):
        BY_METRIC[name](group(summary, "sensitivity"), metrics=metrics, ax=ax)
    assert not ax.has_data()


def test_a_run_with_one_metric_needs_not_name_it(summary: xr.DataTree) -> None:
    ax = Figure().subplots()
    figures.max_slope_cdf(group(summary, "sensitivity").sel(metric=["kl"]), ax=ax)
    assert ax.get_title(loc="left") == "KL"
