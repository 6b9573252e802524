"""Tests of plateaulens.report.curves, and of what all captions have in common."""

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row

from plateaulens.names import label
from plateaulens.report import censoring, curves, distinguish, effects, geometry, nearness, plateaus, verdicts
from plateaulens.report.contents import types_of
from plateaulens.report.text import MISSING, estimate, number, percent


def test_captions_say_how_many_prompts(sensitivity: xr.Dataset, summary: xr.DataTree) -> None:
    plateau, targets = summary["plateau"].to_dataset(), summary["geometry"].to_dataset()
    texts = [
        curves.max_slope_cdf_caption(sensitivity),
        curves.example_curves_caption(sensitivity),
        curves.max_slope_histograms_caption(sensitivity),
        verdicts.ks_forest_caption(sensitivity),
        curves.step_table_caption(sensitivity),
        curves.ks_table_caption(sensitivity),
        plateaus.plateaus_caption(plateau, metric="l2"),
        geometry.target_geometry_caption(targets),
        geometry.geometry_table_caption(targets),
        verdicts.verdict_table_caption(sensitivity),
        nearness.pair_table_caption(sensitivity),
        effects.effect_table_caption(sensitivity),
        effects.quantile_shifts_caption(sensitivity),
        censoring.survival_curves_caption(sensitivity),
        censoring.censoring_table_caption(sensitivity),
        distinguish.distinguishability_caption(summary["distinguish"].to_dataset()),
    ]
    for text in texts:
        assert "n = 24 base prompts" in text
        assert text.endswith(".")
    assert sum("95\u00a0%" in text for text in texts) == len(texts) - 2


def test_a_plus_sign_is_explained_where_there_is_one(summary: xr.DataTree) -> None:
    plateau = summary["plateau"].to_dataset()
    none, some = (plateau.assign(censored=plateau["censored"].copy(data=plateau["censored"] * 0 == 1)) for _ in "ab")
    assert "plus sign" not in plateaus.plateaus_caption(none, metric="l2")
    some["censored"].loc[{"convention": "corrected", "statistic": "plateau_length", "metric": "kl"}] = True
    assert "plus sign" not in plateaus.plateaus_caption(some, metric="l2")
    some["censored"].loc[{"convention": "corrected", "statistic": "plateau_length", "metric": "l2"}] = True
    assert "A plus sign marks the share that is censored" in plateaus.plateaus_caption(some, metric="l2")


def test_a_caption_names_the_types_and_the_metrics_that_are_shown(sensitivity: xr.Dataset) -> None:
    few = sensitivity.sel(activation_type=["real", "random", "bag"])
    assert "for real and random," in curves.max_slope_histograms_caption(few)
    assert "on L2 (left) and KL (right) for" in curves.max_slope_histograms_caption(few)
    assert "on L2 and KL for every" in curves.max_slope_cdf_caption(few)
    assert "on L2 for every" in curves.max_slope_cdf_caption(few.sel(metric=["l2", "js"]))


@pytest.mark.parametrize(("metric", "statistic"), [("l2", "max_slope"), ("kl", "max_slope"), ("l2", "plateau_length")])
def test_step_table_holds_every_type_with_its_numbers(sensitivity: xr.Dataset, metric: str, statistic: str) -> None:
    table = curves.step_table(sensitivity, metrics=(metric,), statistic=statistic)
    assert list(table.cells()["type"]) == [label(kind) for kind in types_of(sensitivity)]
    for kind in types_of(sensitivity):
        values = sensitivity.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=kind)
        cells = row(table, kind)
        ends = None if values["degenerate"] else values["mean_interval"].values
        mean = float(values["mean"])
        assert cells["mean"] == (number(mean) if ends is None else estimate(mean, ends))
        assert cells["SD"] == number(float(values["sd"]))
        assert cells["prompts"] == str(int(values["n"]))
        assert cells["censored"] == percent(float(values["censored_fraction"]), 1)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((6.0, 74.0), "6 to 74"),
        ((15.0, np.inf), "15 to beyond"),
        ((-np.inf, np.inf), MISSING),
        ((np.nan,) * 2, MISSING),
    ],
)
def test_where_the_step_of_a_new_prompt_falls(sensitivity: xr.Dataset, ends: tuple[float, float], said: str) -> None:
    group = sensitivity.copy(deep=True)
    group["prediction"].loc[{"activation_type": "bag"}] = np.array(ends)
    assert row(curves.step_table(group, metrics=("l2",)), "bag")["a new prompt"] == said
    caption = curves.step_table_caption(group)
    assert "where its step falls in 95\u00a0% of cases" in caption
    assert [fault for sentence in sentences(caption) for fault in faults(sentence)] == []


def test_ks_table_holds_the_other_statistics(sensitivity: xr.Dataset) -> None:
    table = curves.ks_table(sensitivity)
    titles = ["type", "nonlinearity, L2", "nonlinearity, KL", "AUC ratio, L2", "AUC ratio, KL"]
    assert list(table.cells().columns) == titles
    values = sensitivity.sel(convention="corrected", statistic="auc_ratio", metric="kl", activation_type="isotropic")
    assert row(table, "isotropic")["AUC ratio, KL"] == estimate(float(values["ks"]), values["ks_interval"].values, 2)


def test_a_type_without_any_step_has_dashes(sensitivity: xr.Dataset) -> None:
    group = sensitivity.copy(deep=True)
    for quantity in ("mean", "mean_interval", "sd"):
        group[quantity].loc[{"activation_type": "bag"}] = np.nan
    cells = row(curves.step_table(group, metrics=("l2",)), "bag")
    assert cells["mean"] == MISSING
    assert cells["SD"] == MISSING


def test_tables_become_markdown_with_one_line_per_row(sensitivity: xr.Dataset) -> None:
    lines = curves.step_table(sensitivity, metrics=("l2",)).markdown().splitlines()
    assert len(lines) == 2 + sensitivity.sizes["activation_type"]
    assert all(line.count("|") == 7 for line in lines)
    assert number(-1) not in lines[0]
