"""Tests of plateaulens.report.tables: cells are the summary's numbers."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from plateaulens.names import label
from plateaulens.report import tables
from plateaulens.report.contents import types_of
from plateaulens.report.text import MISSING, estimate, markdown, number, percent


def row(table: pd.DataFrame, kind: str) -> pd.Series:
    (found,) = (cells for _, cells in table.iterrows() if cells["type"] == label(kind))
    return found


@pytest.mark.parametrize(("metric", "statistic"), [("l2", "max_slope"), ("kl", "max_slope"), ("l2", "plateau_length")])
def test_step_table_holds_every_type_with_its_numbers(sensitivity: xr.Dataset, metric: str, statistic: str) -> None:
    table = tables.step_table(sensitivity, metrics=(metric,), statistic=statistic)
    assert list(table["type"]) == [label(kind) for kind in types_of(sensitivity)]
    for kind in types_of(sensitivity):
        values = sensitivity.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=kind)
        cells = row(table, kind)
        assert cells["mean"] == estimate(float(values["mean"]), values["mean_interval"].values)
        assert cells["SD"] == estimate(float(values["sd"]), values["sd_interval"].values)
        assert cells["prompts"] == str(int(values["n"]))
        assert cells["censored"] == percent(float(values["censored_fraction"]), 1)


def test_ks_table_holds_the_other_statistics(sensitivity: xr.Dataset) -> None:
    table = tables.ks_table(sensitivity)
    assert list(table.columns) == ["type", "nonlinearity, L2", "nonlinearity, KL", "AUC ratio, L2", "AUC ratio, KL"]
    values = sensitivity.sel(convention="corrected", statistic="auc_ratio", metric="kl", activation_type="isotropic")
    assert row(table, "isotropic")["AUC ratio, KL"] == estimate(float(values["ks"]), values["ks_interval"].values, 2)


def test_a_type_without_any_step_has_dashes(sensitivity: xr.Dataset) -> None:
    group = sensitivity.copy(deep=True)
    for quantity in ("mean", "mean_interval", "sd", "sd_interval"):
        group[quantity].loc[{"activation_type": "bag"}] = np.nan
    cells = row(tables.step_table(group, metrics=("l2",)), "bag")
    assert cells["mean"] == MISSING
    assert cells["SD"] == MISSING


def test_geometry_table(summary: xr.DataTree) -> None:
    geometry = summary["geometry"].to_dataset()
    cells = row(tables.geometry_table(geometry), "structured")
    values = geometry.sel(activation_type="structured")
    assert cells["norm"] == estimate(float(values["target_norm_mean"]), values["target_norm_interval"].values)
    assert cells["cosine to base"] == estimate(float(values["cosine_mean"]), values["cosine_interval"].values, 2)


def test_definition_table_defines_every_type(summary: xr.DataTree) -> None:
    table = tables.definition_table(summary)
    assert list(table["type"]) == [label(kind) for kind in types_of(summary["geometry"].to_dataset())]
    assert table["target T"].is_unique
    assert "registered by the user" not in set(table["target T"])


def test_definition_table_takes_the_constants_of_the_run(summary: xr.DataTree) -> None:
    config = json.loads(summary.attrs["config"])
    config["targets"] |= {"baseline_pool": 77, "anchor_cosine": 0.31}
    changed = summary.copy()
    changed.attrs["config"] = json.dumps(config)
    table = tables.definition_table(changed)
    assert "77" in row(table, "baseline")["target T"]
    assert "0.31" in row(table, "structured")["target T"]


def test_experiment_table_lists_what_the_run_has(summary: xr.DataTree) -> None:
    table = tables.experiment_table(summary)
    assert list(table["experiment"]) == ["relative steps", "absolute steps", "plateaus"]
    assert list(table["step length"]) == ["1/100 of the path", "0.5 activation units", "0.5 activation units"]
    assert set(table["base prompts"]) == {"24"}
    one = xr.DataTree.from_dict({"plateau": summary["plateau"].to_dataset()})
    assert list(tables.experiment_table(one)["experiment"]) == ["plateaus"]


def test_example_table_escapes_the_prompts(summary: xr.DataTree) -> None:
    prompts = summary["prompts"].to_dataset().copy(deep=True)
    prompts["text"][0] = "a | b `c`\n$d$ {{< e >}}"
    tree = xr.DataTree.from_dict({"prompts": prompts})
    table = tables.example_table(tree, summary["sensitivity"].to_dataset())
    assert list(table["prompt"]) == ["0", "1", "2"]
    assert table["text"][0] == r"a \| b \`c\`↵\$d\$ \{\{\< e \>\}\}"


class TestProvenance:
    def cells(self, summary: xr.DataTree, **attributes: object) -> dict[str, str]:
        changed = summary.copy()
        changed.attrs |= attributes
        table = tables.provenance_table(changed)
        return {item.replace("\\", ""): value.replace("\\", "") for item, value in table.itertuples(index=False)}

    def test_it_says_what_was_measured_where(self, summary: xr.DataTree) -> None:
        cells = self.cells(summary)
        assert cells["write site"] == "blocks.1.hook_resid_pre"
        assert cells["weight processing"] == "none"
        assert cells["SAE"] == "none"
        assert cells["commit"] == "synthetic"
        assert cells["resamples"] == "200"

    def test_identity_is_listed_key_by_key(self, summary: xr.DataTree) -> None:
        identity = {"model": {"sha256": "ab_c", "revision": None}, "sae": None, "write_site": "x", "device": "cpu"}
        cells = self.cells(summary, identity=json.dumps(identity))
        listed = {key: value for key, value in cells.items() if key.startswith("identity")}
        assert listed == {"identity: model.sha256": "ab_c", "identity: device": "cpu"}

    def test_versions_of_the_analysis_are_listed_where_they_differ(self, summary: xr.DataTree) -> None:
        cells = self.cells(
            summary,
            versions=json.dumps({"numpy": "2.1", "torch": "2.6"}),
            analysis_versions=json.dumps({"numpy": "2.1", "xarray": "2025.9"}),
        )
        assert cells["version: torch"] == "2.6"
        assert cells["version in the analysis: xarray"] == "2025.9"
        assert "version in the analysis: numpy" not in cells

    def test_time_taken_is_the_sum_over_sessions(self, summary: xr.DataTree) -> None:
        sessions = [{"started": "2026-01-01T00:00:00+00:00", "seconds": seconds} for seconds in (3000.0, 2400.0)]
        provenance = {"created": "2026-01-01T01:30:00+01:00", "sessions": json.dumps(sessions)}
        cells = self.cells(summary, provenance=json.dumps(provenance))
        assert cells["created"] == "2026-01-01 00:30 UTC"
        assert cells["time taken"] == "1.5 hours in 2 sessions"


def test_tables_become_markdown_with_one_line_per_row(sensitivity: xr.Dataset) -> None:
    lines = markdown(tables.step_table(sensitivity, metrics=("l2",))).splitlines()
    assert len(lines) == 2 + sensitivity.sizes["activation_type"]
    assert all(line.count("|") == 6 for line in lines)
    assert number(-1) not in lines[0]
