from pathlib import Path

import pandas as pd
import pytest

from plateaulens.errors import UsageError
from plateaulens.names import DEFAULT_EXPERIMENTS, STATISTICS
from plateaulens.replication.reference import ACTIVATION_COLUMNS, COLUMNS, read_activation_reference, read_reference


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_reference()


def number(table: pd.DataFrame, column: str, **where: object) -> float:
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return float(table[column].iloc[0])


def test_columns_and_types(table: pd.DataFrame) -> None:
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS


def test_numbers_of_three_places(table: pd.DataFrame) -> None:
    first = {"source": "replications.ipynb c52 c53 c83; @3c25aaa c48", "activation_type": "structured"}
    assert (number(table, "mean", **first), number(table, "sd", **first), number(table, "ks", **first)) == (
        55.69,
        11.53,
        0.214,
    )
    absolute = {"experiment": "sensitivity_absolute", "statistic": "max_slope", "metric": "l2", "n": 2000}
    assert number(table, "ks", **absolute, activation_type="structured") == 0.1035
    assert number(table, "mean", experiment="plateau", activation_type="real") == 16.3


def test_every_row_says_where_it_comes_from_and_has_a_number(table: pd.DataFrame) -> None:
    assert table["source"].notna().all()
    assert table[["mean", "ks"]].notna().any(axis=1).all()
    assert not table.duplicated(["experiment", "statistic", "metric", "activation_type", "source"]).any()


def test_values_are_possible(table: pd.DataFrame) -> None:
    assert table["ks"].dropna().between(0, 1).all()
    assert (table["sd"].dropna() > 0).all()
    assert table.loc[table["statistic"].isin(list(STATISTICS)), "mean"].dropna().between(0, 100).all()


def test_ours_are_named_as_ours_and_real_has_no_distance_to_itself(table: pd.DataFrame) -> None:
    assert set(DEFAULT_EXPERIMENTS) <= set(table["experiment"])
    assert {"real", "random", "structured", "baseline", "reconstruction", "single_latent", "bag"} <= set(
        table["activation_type"]
    )
    assert table.loc[table["activation_type"] == "real", "ks"].isna().all()


def test_the_activation_statistics_have_sources_too() -> None:
    statistics = read_activation_reference()
    assert list(statistics.columns) == list(ACTIVATION_COLUMNS)
    assert statistics[["quantity", "value", "source"]].notna().all().all()


def test_a_missing_file_is_the_user_s_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no reference numbers at .*step_statistics\.csv"):
        read_reference(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment,mean\nsensitivity,1\n", "has columns"),
        (",".join(COLUMNS) + "\na,b,c,d,many,1,1,1,e,f,,,\n", "cannot be read"),
    ],
)
def test_a_spoilt_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "step_statistics.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_reference(tmp_path)
