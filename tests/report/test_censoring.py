"""Tests of plateaulens.report.censoring."""

from collections.abc import Callable

import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row

from plateaulens.names import label
from plateaulens.report import censoring
from plateaulens.report.contents import types_of
from plateaulens.report.text import MISSING, p_value, percent
from plateaulens.steps import authors, corrected

Edit = Callable[..., xr.Dataset]


def test_censoring_names_the_largest_share(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "censored_fraction", 0.0)
    assert censoring.censoring_sentence(group).startswith("No curve is censored")
    group = edit(group, "censored_fraction", 0.125, activation_type="bag", metric="kl")
    assert censoring.censoring_sentence(group) == (
        "At most 12.5\u00a0% of a type's curves do not blow up inside the window and are censored: those of bag on KL."
    )


def test_a_type_of_which_nothing_is_known_is_not_the_largest(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "censored_fraction", 0.0)
    group = edit(group, "censored_fraction", 0.25, activation_type="random", metric="js")
    group = edit(group, "censored_fraction", float("nan"), activation_type="real")
    assert "those of random on JS" in censoring.censoring_sentence(group)


def test_the_caption_says_where_the_authors_search_ends(sensitivity: xr.Dataset) -> None:
    """As `plateaulens.steps.authors` does: at the target where steps have a length, else before step 100."""
    caption = censoring.censoring_table_caption(sensitivity)
    assert "For absolute steps its search ends where the path reaches its target, and for relative ones" in caption
    assert f"before step {int(authors.search_window(50.0, None))}." in caption
    late = [0.0] * 10 + [1.0, 9.0]
    assert float(authors.max_slope(late, authors.search_window(5.4, 0.5)).value) == 99
    assert float(authors.max_slope(late, authors.search_window(5.6, 0.5)).value) == 10
    assert float(corrected.max_slope(late, 0.02).value) == 11
    assert [fault for sentence in sentences(caption) for fault in faults(sentence)] == []


def test_censoring_table_has_both_conventions(sensitivity: xr.Dataset) -> None:
    table = censoring.censoring_table(sensitivity, metrics=("kl",))
    assert list(table.cells()["type"]) == [label(kind) for kind in types_of(sensitivity)]
    where = {"statistic": "max_slope", "metric": "kl", "activation_type": "structured"}
    cells = row(table, "structured")
    sentinel = sensitivity["mean"].sel(where | {"convention": "authors"})
    assert cells["sentinel mean"] == f"{float(sentinel):.1f}"
    assert cells["censored"] == percent(
        float(sensitivity["censored_fraction"].sel(where).sel(convention="corrected")), 1
    )
    assert cells["p, paired"] == p_value(float(sensitivity["paired_logrank_p"].sel(where)))
    assert row(table, "real")["p, paired"] == MISSING
