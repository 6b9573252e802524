"""The registry of concepts: what it names exists, and what a store names beyond it has words all the same."""

import ast
import inspect
from pathlib import Path

import pytest

import plateaulens
from plateaulens import names
from plateaulens.steps import authors, corrected

SOURCE = Path(plateaulens.__file__).parent


def test_it_imports_nothing_of_the_package() -> None:
    tree = ast.parse(inspect.getsource(names))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert modules
    assert all(module is not None and not module.startswith("plateaulens") for module in modules)


def test_every_metric_and_experiment_has_a_file_of_its_name_and_no_other_has() -> None:
    for folder, known in (("scan/metrics", names.METRICS), ("collect/experiments", names.EXPERIMENTS)):
        files = {path.stem for path in (SOURCE / folder).glob("*.py")} - {"__init__"}
        assert files == set(known)


def test_every_statistic_is_computed_and_what_the_authors_have_is_said() -> None:
    assert set(corrected.EVALUATED) == set(names.STATISTICS)
    assert set(authors.EVALUATED) == {name for name, each in names.STATISTICS.items() if each.authors != "not defined"}


def test_an_experiment_is_judged_by_statistics_that_there_are() -> None:
    for experiment in names.EXPERIMENTS.values():
        assert {experiment.statistic, *experiment.concluded} <= set(names.STATISTICS)


def test_what_is_off_by_default_is_in_no_default() -> None:
    assert "cosine" not in names.DEFAULT_METRICS
    assert "half_height" not in names.DEFAULT_STATISTICS


class TestFamilies:
    """A new metric or statistic joins no family unless it says so, and so moves no p-value that has been published."""

    def test_the_paper_s_are_one_family(self) -> None:
        pairs = [(one, other) for one in names.DEFAULT_STATISTICS for other in names.DEFAULT_METRICS]
        assert {names.family(*pair) for pair in pairs} == {"paper"}

    @pytest.mark.parametrize("pair", [("half_height", "l2"), ("max_slope", "cosine"), ("unknown", "l2")])
    def test_another_one_is_by_itself(self, pair: tuple[str, str]) -> None:
        assert names.family(*pair) == " on ".join(pair)


def test_names_that_only_a_store_has_are_shown_as_they_are() -> None:
    assert (names.metric("mine").label, names.metric("mine").units) == ("mine", "")
    assert names.statistic("my_step").title == "my step"
    assert (names.experiment("my_walk").title, names.experiment("my_walk").statistic) == ("my walk", "max_slope")
    assert names.label("my_type") == "my type"
