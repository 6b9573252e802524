"""Tests of plateaulens.report.effect_tables: cells are the summary's numbers."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.names import label
from plateaulens.report import effect_tables as tables
from plateaulens.report.contents import compared_types, types_of
from plateaulens.report.text import MISSING, estimate, markdown, p_value, percent

Edit = Callable[..., xr.Dataset]


def row(table: pd.DataFrame, kind: str) -> pd.Series:
    """The first row of a type."""
    return next(cells for _, cells in table.iterrows() if cells["type"] == label(kind))


def test_effect_table(sensitivity: xr.Dataset) -> None:
    table = tables.effect_table(sensitivity, metrics=("kl",))
    assert list(table["type"]) == [label(kind) for kind in compared_types(sensitivity)]
    values = sensitivity.sel(convention="corrected", statistic="max_slope", metric="kl", activation_type="bag")
    cells = row(table, "bag")
    for title, name, digits in (("Wasserstein", "wasserstein", 1), ("Cliff's delta", "cliffs_delta", 2)):
        assert cells[title] == estimate(float(values[name]), values[f"{name}_interval"].values, digits)
    for title in ("mean", "median"):
        name = f"{title}_difference"
        assert cells[title] == estimate(float(values[name]), values[f"{name}_interval"].values)


def test_censoring_table_has_both_conventions(sensitivity: xr.Dataset) -> None:
    table = tables.censoring_table(sensitivity, metrics=("kl",))
    assert list(table["type"]) == [label(kind) for kind in types_of(sensitivity)]
    where = {"statistic": "max_slope", "metric": "kl", "activation_type": "structured"}
    cells = row(table, "structured")
    authors = sensitivity["mean"].sel(where | {"convention": "authors"})
    assert cells["sentinel mean"] == f"{float(authors):.1f}"
    assert cells["censored"] == percent(
        float(sensitivity["censored_fraction"].sel(where).sel(convention="corrected")), 1
    )
    assert cells["p, paired"] == p_value(float(sensitivity["paired_logrank_p"].sel(where)))
    assert row(table, "real")["p, paired"] == MISSING


def test_a_quantile_beyond_the_window_is_no_number(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "quantile_shift", np.inf, activation_type="bag")
    table = tables.quantile_table(group, metrics=("l2",))
    assert list(table.columns) == ["type", "0.1", "0.3", "0.5", "0.7", "0.9"]
    assert set(row(table, "bag").drop("type")) == {"beyond"}


def test_confounds_table_says_where_there_is_no_overlap(summary: xr.DataTree, edit: Edit) -> None:
    confounds = edit(summary["confounds"].to_dataset(), "overlap", True)
    confounds = edit(confounds, "overlap", False, activation_type="bag", adjustment="all", path="sensitivity")
    table = tables.confounds_table(confounds, metric="l2", paths=("sensitivity", "sensitivity_absolute"))
    assert [name for name in table["type"] if name.startswith("**")] == ["**relative steps**", "**absolute steps**"]
    cells = row(table, "bag")
    assert cells["equal geometry"] == "no overlap"
    assert cells["as it is"] != "no overlap"
    values = confounds.sel(path="sensitivity", statistic="max_slope", metric="l2", activation_type="bag")
    assert cells["prompts"] == str(int(values["matched_prompts"].sel(covariate="path_length")))


def test_confounds_table_of_a_run_without_the_path_is_a_dash(summary: xr.DataTree) -> None:
    confounds = summary["confounds"].to_dataset().sel(path=["plateau"])
    assert markdown(tables.confounds_table(confounds, metric="l2")) == MISSING


def test_distinguish_table(summary: xr.DataTree) -> None:
    group = summary["distinguish"].to_dataset()
    cells = row(tables.distinguish_table(group), "random")
    own = group.sel(activation_type="random")
    linear = own.sel(classifier="linear")
    assert cells["L: AUC"] == estimate(float(linear["auc"]), linear["auc_interval"].values, 2)
    assert cells["G: right"] == percent(float(own["accuracy"].sel(classifier="gaussian")))
    assert cells["MMD: p"] == p_value(float(own["mmd_p"]))
