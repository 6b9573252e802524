"""Tests of plateaulens.report.censoring."""

from collections.abc import Callable

import pytest
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


def test_types_that_tie_are_all_named_or_counted(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "censored_fraction", 0.0)
    for kind in ("bag", "random"):
        group = edit(group, "censored_fraction", 0.125, activation_type=kind, metric="kl")
    text = censoring.censoring_sentence(group)
    assert "on KL and " in text
    assert {name for name in ("bag on KL", "random on KL", "structured on KL") if name in text} == {
        "bag on KL",
        "random on KL",
    }
    text = censoring.censoring_sentence(edit(group, "censored_fraction", 0.125))
    pairs = group.sizes["activation_type"] * group.sizes["metric"]
    assert f"those of {pairs} of {pairs} pairs of type and metric." in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_a_type_of_which_nothing_is_known_is_not_the_largest(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "censored_fraction", 0.0)
    group = edit(group, "censored_fraction", 0.25, activation_type="random", metric="js")
    group = edit(group, "censored_fraction", float("nan"), activation_type="real")
    assert "those of random on JS" in censoring.censoring_sentence(group)


@pytest.mark.parametrize("said", [True, False])
def test_steps_at_the_end_are_said_where_they_are_many(sensitivity: xr.Dataset, edit: Edit, said: bool) -> None:
    group = edit(edit(sensitivity, "censored_fraction", 0.0), "last_step_large", False)
    group = edit(group, "last_step_fraction", 0.05, activation_type="bag", metric="kl")
    group = edit(group, "last_step_large", said, activation_type="bag", metric="kl")
    text = censoring.censoring_sentence(group)
    assert ("steepest at the window's last step" in text) == said
    if said:
        assert text.endswith(
            "Up to 5.0\u00a0% are steepest at the window's last step, those of bag on KL. They may be steeper beyond "
            "it, so that their steps are too early."
        )
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_a_crossing_at_the_end_is_no_lower_bound(summary: xr.DataTree, edit: Edit) -> None:
    group = edit(edit(summary["plateau"].to_dataset(), "last_step_fraction", 0.5), "last_step_large", True)
    assert "last step" not in censoring.censoring_sentence(group, statistic="plateau_length")
    assert "last step" in censoring.censoring_sentence(group)


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


def test_the_sentinel_mean_is_told_from_that_beside_the_authors_numbers(sensitivity: xr.Dataset) -> None:
    assert "this run's, not yet multiplied as in @tbl-authors" in censoring.censoring_table_caption(sensitivity)
