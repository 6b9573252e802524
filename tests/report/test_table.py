"""Tests of plateaulens.report.table: frames hold numbers, and cells are how they are written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from plateaulens.report import (
    authors,
    censoring,
    confounds,
    constants,
    curves,
    distinguish,
    effects,
    geometry,
    models,
    nearness,
    plateaus,
    setting,
    steepness,
    verdicts,
)
from plateaulens.report.contents import types_of
from plateaulens.report.table import TYPE, Column, Table
from plateaulens.report.text import MISSING, markdown

NAN = float("nan")

Make = Callable[[xr.DataTree], Table]


def of(group: str, make: Callable[..., Table], **options: Any) -> Make:
    """A table of one group of a summary."""
    return lambda summary: make(summary[group].to_dataset(), **options)


TABLES: dict[str, Make] = {
    "overview": verdicts.overview_table,
    "verdicts": of("sensitivity", verdicts.verdict_table),
    "pairs": of("sensitivity", nearness.pair_table),
    "matrix": of("sensitivity", nearness.pair_matrix),
    "effects": of("sensitivity", effects.effect_table),
    "quantiles": of("sensitivity", effects.quantile_table),
    "steps": of("sensitivity", curves.step_table),
    "others": of("sensitivity", curves.ks_table),
    "steepness": of("sensitivity", steepness.steepness_table),
    "censoring": of("sensitivity", censoring.censoring_table),
    "plateaus": of("plateau", plateaus.step_table, metric="l2"),
    "plateau verdicts": of("plateau", plateaus.verdict_table, metric="l2"),
    "geometry": of("geometry", geometry.geometry_table),
    "confounds": of("confounds", confounds.confounds_table, metric="l2"),
    "distinguish": of("distinguish", distinguish.distinguish_table),
    "constants": of("constants", constants.constants_table),
    "moved constants": of("constants", constants.moved_table),
    "authors": authors.authors_table,
    "experiments": setting.experiment_table,
    "models": lambda summary: models.models_table(
        {name: summary["sensitivity"].to_dataset() for name in ("first_run", "second_run")}
    ),
}
NUMBERS = {"estimate", "number", "count", "percent", "p"}


@pytest.mark.parametrize("name", TABLES)
class TestTablesOfTheReport:
    def test_numbers_are_numbers(self, summary: xr.DataTree, name: str) -> None:
        table = TABLES[name](summary)
        assert len(table.frame)
        for key, column in table.columns.items():
            if column.kind in NUMBERS:
                ends = [f"{key}_lower", f"{key}_upper"] if column.kind == "estimate" else []
                also = [column.also] if column.also else []
                assert all(is_numeric_dtype(table.frame[one]) for one in (key, *ends, *also))
            for flag in (column.flag, column.instead and column.instead[0]):
                assert flag is None or is_bool_dtype(table.frame[flag])

    def test_types_are_values_of_the_coordinate(self, summary: xr.DataTree, name: str) -> None:
        frame = TABLES[name](summary).frame
        if "type" in frame:
            assert set(frame["type"]) <= set(types_of(summary["geometry"].to_dataset()))
        assert not frame.map(lambda cell: isinstance(cell, str) and ("**" in cell or MISSING in cell)).to_numpy().any()

    def test_what_is_printed_is_its_finished_cells(self, summary: xr.DataTree, name: str) -> None:
        table = TABLES[name](summary)
        assert table.markdown() == markdown(table.cells())
        assert "nan" not in table.markdown().lower()
        groups = 0 if table.grouped_by is None else table.frame[table.grouped_by].nunique()
        assert len(table.cells()) == len(table.frame) + groups


def cell(column: Column, name: str, **row: Any) -> str:
    """One printed cell."""
    frame = pd.DataFrame([row])
    (written,) = Table(frame, {name: column}).cells()[column.title]
    return str(written)


@pytest.mark.parametrize(
    ("column", "value", "written"),
    [
        (Column("x", "number", 2), -0.126, "\u22120.13"),
        (Column("x", "number", 2), NAN, MISSING),
        (Column("x", "count"), 1234, "1,234"),
        (Column("x", "percent", 1), 0.125, "12.5\u00a0%"),
        (Column("x", "p"), 0.0001, "<\u00a00.001"),
        (Column("x", "type"), "single_latent", "single latent"),
        (Column("x", "metric"), "l2", "L2"),
        (Column("x"), "later", "later"),
        (Column("x"), None, MISSING),
        (Column("x", missing=""), None, ""),
        (Column("x", words={"undecided": "?"}), "undecided", "?"),
        (Column("x", "number", words={float("inf"): "beyond"}), np.inf, "beyond"),
        (Column("x", "text"), 1234, "1234"),
        (Column("x", "text"), "a|b's", r"a\|b\'s"),
        (Column("x", "prose"), "a|b's", r"a\|b's"),
    ],
)
def test_a_column_says_how_it_is_written(column: Column, value: object, written: str) -> None:
    assert cell(column, "x", x=value) == written


def test_an_estimate_stands_alone_where_its_interval_means_nothing() -> None:
    column = Column("x", "estimate", 1, flag="x_degenerate")
    row = {"x": 5.0, "x_lower": -205.2, "x_upper": 18.4}
    assert cell(column, "x", **row, x_degenerate=False) == "5.0 [\u2212205.2,\u00a018.4]"
    assert cell(column, "x", **row, x_degenerate=True) == "5.0"
    assert cell(column, "x", x=5.0, x_lower=NAN, x_upper=NAN, x_degenerate=False) == "5.0"
    assert cell(column, "x", x=NAN, x_lower=NAN, x_upper=NAN, x_degenerate=True) == MISSING


def test_two_columns_share_a_cell() -> None:
    assert cell(Column("x", "number", 1, also="y"), "x", x=1.0, y=2.0) == "1.0, 2.0"
    assert cell(Column("x", "number", 1, also="y", pattern="{} ({})"), "x", x=1.0, y=NAN) == f"1.0 ({MISSING})"


def test_a_star_follows_where_a_flag_says_so() -> None:
    column = Column("x", "number", 1, starred="shown")
    assert cell(column, "x", x=0.0, shown=True) == "0.0\\*"
    assert cell(column, "x", x=1.0, shown=False) == "1.0"


def test_the_ends_of_an_interval_are_not_parted() -> None:
    """A line may end before the bracket, never within it."""
    assert cell(Column("x", "estimate", 1), "x", x=5.0, x_lower=1.0, x_upper=9.0) == "5.0 [1.0,\u00a09.0]"


def test_something_else_is_written_where_a_flag_says_so() -> None:
    column = Column("x", "number", 1, instead=("out", "no overlap"))
    assert cell(column, "x", x=1.0, out=True) == "no overlap"
    assert cell(column, "x", x=1.0, out=False) == "1.0"


def test_groups_stand_below_their_names_in_bold() -> None:
    frame = pd.DataFrame({"metric": ["l2", "l2", "kl"], "type": ["real", "bag", "real"], "x": [1.0, 2.0, NAN]})
    columns = {"metric": Column(kind="metric"), "type": TYPE, "x": Column("value", "number", 1)}
    cells = Table(frame, columns, grouped_by="metric").cells()
    assert list(cells.columns) == ["type", "value"]
    assert list(cells["type"]) == ["**L2**", "real", "bag", "**KL**", "real"]
    assert list(cells["value"]) == ["", "1.0", "2.0", "", MISSING]


def test_a_table_without_rows_is_a_dash() -> None:
    assert Table(pd.DataFrame(), {"type": TYPE}).markdown() == MISSING
