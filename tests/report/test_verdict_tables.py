"""Tests of plateaulens.report.verdict_tables: cells are the summary's verdicts and numbers."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from plateaulens.names import label
from plateaulens.report import verdict_tables as tables
from plateaulens.report.contents import compared_types, synthetic_types
from plateaulens.report.text import MISSING, estimate, markdown, p_value

Edit = Callable[..., xr.Dataset]


def row(table: pd.DataFrame, kind: str) -> pd.Series:
    """The first row of a type."""
    return next(cells for _, cells in table.iterrows() if cells["type"] == label(kind))


def test_overview_has_a_column_per_experiment_and_metric(summary: xr.DataTree) -> None:
    table = tables.overview_table(summary)
    assert list(table.columns) == [
        "type", "relative, L2", "relative, KL", "absolute, L2", "absolute, KL", "plateau, L2"
    ]  # fmt: skip
    assert list(table["type"]) == [label(kind) for kind in compared_types(summary["sensitivity"].to_dataset())]
    words = {"equivalent", "different", "earlier", "later", "shorter", "longer", "undecided", "undefined"}
    assert set(table.drop(columns="type").to_numpy().flat) <= words


def test_overview_without_a_threshold_or_with_another_has_no_wrong_plateau(summary: xr.DataTree) -> None:
    for thresholds, expected in (({}, None), ({"kl": 1.0}, "plateau, KL")):
        tree = summary.copy()
        tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": thresholds})
        found = [title for title in tables.overview_table(tree).columns if title.startswith("plateau")]
        assert found == ([expected] if expected else [])


def test_a_type_that_an_experiment_lacks_has_a_dash(summary: xr.DataTree) -> None:
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    kept = ["real", "random"]
    groups["plateau"] = groups["plateau"].sel(activation_type=kept, other_type=kept)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = summary.attrs
    assert row(tables.overview_table(tree), "bag")["plateau, L2"] == MISSING


def test_verdict_table_shows_what_verdicts_rest_on(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "verdict", "undecided", activation_type="bag")
    table = tables.verdict_table(group, metrics=("kl",))
    assert list(table["type"]) == [label(kind) for kind in compared_types(group)]
    values = group.sel(convention="corrected", statistic="max_slope", metric="kl", activation_type="bag")
    cells = row(table, "bag")
    assert cells["KS to real"] == estimate(float(values["ks"]), values["ks_interval"].values, 2)
    assert cells["p"] == p_value(float(values["ks_p"]))
    assert cells["Holm"] == p_value(float(values["ks_p_holm"]))
    assert cells["BH"] == p_value(float(values["ks_p_bh"]))
    assert cells["p, margin"] == p_value(float(values["ks_equivalence_p_holm"]))
    assert cells["verdict"] == "undecided"


def test_metrics_stand_below_each_other(sensitivity: xr.Dataset) -> None:
    table = tables.verdict_table(sensitivity)
    assert [name for name in table["type"] if name.startswith("**")] == ["**L2**", "**KL**"]
    assert "nan" not in markdown(table)


def test_an_undefined_type_has_dashes_and_no_number(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = sensitivity
    for name in ("ks", "ks_interval", "ks_null", "ks_p", "ks_p_holm", "ks_p_bh", "ks_upper_bound"):
        group = edit(group, name, np.nan, activation_type="bag")
    group = edit(group, "ks_equivalence_p_holm", np.nan, activation_type="bag")
    group = edit(group, "verdict", "undefined", activation_type="bag")
    cells = row(tables.verdict_table(group, metrics=("l2",)), "bag")
    assert set(cells.drop(["type", "verdict"])) == {MISSING}
    assert cells["verdict"] == "undefined"


@pytest.mark.parametrize(
    ("verdict", "answer"), [("nearer", "structured"), ("farther", "baseline"), ("undecided", "undecided")]
)
def test_pair_table_names_the_nearer_type(sensitivity: xr.Dataset, edit: Edit, verdict: str, answer: str) -> None:
    group = edit(sensitivity, "nearness", verdict, activation_type="structured", other_type="baseline")
    table = tables.pair_table(group, metrics=("l2",))
    assert table.set_index("pair").loc["structured, baseline", "nearer to real"] == answer


def test_pair_table_of_a_run_without_the_pairs_is_a_dash(sensitivity: xr.Dataset) -> None:
    kept = ["real", "random", "isotropic"]
    group = sensitivity.sel(activation_type=kept, other_type=kept)
    assert markdown(tables.pair_table(group)) == MISSING


def test_pair_matrix_is_read_from_row_to_column(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "nearness", "undecided")
    group = edit(group, "nearness", "nearer", activation_type="bag", other_type="random")
    group = edit(group, "nearness", "undefined", activation_type="random", other_type="isotropic")
    table = tables.pair_matrix(group, metrics=("l2",)).set_index("type")
    assert table.loc["bag", "random"] == "nearer"
    assert table.loc["random", "bag"] == "?"
    assert table.loc["random", "isotropic"] == MISSING
    assert table.loc["bag", "bag"] == ""
    assert list(table.columns) == [label(kind) for kind in synthetic_types(group)]
