"""Tests of plateaulens.report.contents: what a summary has is what the summary says."""

import json

import xarray as xr

from plateaulens.report import contents
from plateaulens.report.phrases import absent


def with_groups(summary: xr.DataTree, groups: dict[str, xr.Dataset]) -> xr.DataTree:
    """Another summary with these groups."""
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(summary.attrs)
    return tree


def test_experiments_are_the_groups_with_steps_known_ones_first(summary: xr.DataTree) -> None:
    groups = {name: node.to_dataset() for name, node in reversed(list(summary.children.items()))}
    tree = with_groups(summary, {"a_walk": groups["plateau"], **groups})
    expected = ["sensitivity", "sensitivity_absolute", "plateau", "a_walk"]
    assert list(contents.experiments_of(tree)) == expected


def test_metrics_are_those_of_the_experiments(summary: xr.DataTree) -> None:
    one = summary["sensitivity"].to_dataset().sel(metric=["kl", "l2"])
    assert contents.metrics_of(with_groups(summary, {"sensitivity": one})) == ["kl", "l2"]


def test_main_metrics_are_those_that_there_are_and_all_where_none_is_main(sensitivity: xr.Dataset) -> None:
    assert contents.main_metrics(sensitivity) == ["l2", "kl"]
    assert contents.main_metrics(sensitivity.sel(metric=["js", "kl"])) == ["kl"]
    assert contents.main_metrics(sensitivity.sel(metric=["js"])) == ["js"]


def test_comparisons_are_of_metrics_and_statistics_that_there_are(sensitivity: xr.Dataset) -> None:
    few = sensitivity.sel(metric=["l2", "js"])
    assert [metric for metric, _ in contents.compared(few)] == ["l2"]
    assert [metric for metric, _ in contents.compared(few, ("js", "kl"))] == ["js"]
    assert not list(contents.compared(few, None, "my_step"))
    ((_, values),) = contents.compared(few, ("js",), "auc_ratio")
    assert (values["convention"].item(), values["statistic"].item()) == ("corrected", "auc_ratio")


def test_the_metric_of_plateaus_has_a_threshold_and_curves(summary: xr.DataTree) -> None:
    def chosen(thresholds: dict[str, float], *metrics: str) -> str | None:
        one = summary["plateau"].to_dataset().sel(metric=list(metrics))
        tree = with_groups(summary, {"plateau": one})
        tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": thresholds})
        return contents.plateau_metric(tree)

    assert chosen({"kl": 1.0, "l2": 20.0}, "l2", "kl", "js") == "l2"
    assert chosen({"kl": 1.0, "l2": 20.0}, "kl", "js") == "kl"
    assert chosen({"l2": 20.0}, "kl", "js") is None
    assert chosen({}, "l2") is None


def test_what_is_absent_has_a_sentence_whatever_it_is_called() -> None:
    assert absent("sensitivity") == "This run has no experiment with relative steps."
    assert absent("confounds") == "This summary has no comparison at equal geometry."
    assert absent("a_walk") == "This run has no experiment with a walk."
