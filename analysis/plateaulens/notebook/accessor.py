"""`tree.plateau` and `dataset.plateau`: what notebooks do with a run or a summary, found where they look for it."""

import json
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, reading
from plateaulens.notebook.cards import card
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.location import Location
from plateaulens.store.reading import check_summary, experiment_names
from plateaulens.store.schema import COMPLETED, RUN_KIND, SUMMARY_KIND

CORRECTED = "corrected"


_register_datatree: Any = xr.register_datatree_accessor  # both without annotations
_register_dataset: Any = xr.register_dataset_accessor


def _runs() -> Any:
    from plateaulens.notebook import runs  # noqa: PLC0415  whoever opens a run does not wait for what analyses one

    return runs


@_register_datatree("plateau")
class RunAccessor:
    """Of a run or a summary; as the last line of a cell it shows what that holds.

    Parameters
    ----------
    tree
        The run or summary.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def max_slope(self, experiment: str | None = None) -> xr.DataArray:
        """The max-slope step of every curve. See `plateaulens.notebook.runs.max_slopes`."""
        steps: xr.DataArray = _runs().max_slopes(self._tree, experiment)
        return steps

    def compare(self, **options: Any) -> xr.DataTree:
        """Every type against `real`. See `plateaulens.notebook.runs.compare`."""
        summary: xr.DataTree = _runs().compare(self._tree, **options)
        return summary

    def summary(self, **options: Any) -> pd.DataFrame:
        """What is concluded of every type.

        Parameters
        ----------
        **options
            Of a run, as `compare` takes them.

        Returns
        -------
        DataFrame
            As `plateaulens.notebook.runs.verdict_table` gives it; a run is compared first.

        Raises
        ------
        UsageError
            When it is neither, for options that there are not, and for any of a summary, which has been compared.
        """
        is_run = self._tree.attrs.get("kind") == RUN_KIND
        if options and not is_run:
            raise UsageError(f"{next(iter(options))} is of no use to a summary, which has been compared: give its run")
        table: pd.DataFrame = _runs().verdict_table(self.compare(**options) if is_run else self._tree)
        return table

    def save(self, path: Location) -> None:
        """Store it. See `plateaulens.notebook.runs.save`."""
        _runs().save(self._tree, path)

    def _repr_html_(self) -> str:
        attributes = self._tree.attrs
        kind = str(attributes.get("kind", "tree"))
        if kind not in {RUN_KIND, SUMMARY_KIND}:
            return card("no run or summary of PlateauLens", "", {"kind": kind})
        facts = _facts(attributes)
        if kind == RUN_KIND:
            for name in experiment_names(self._tree):
                facts[names.experiment(name).title] = _extent(self._tree[name].to_dataset())
            return card("run", str(attributes.get("name", "")), facts)
        try:
            check_summary(attributes)
        except UsageError as refused:  # a tree that can be queried has a card
            reason, _, remedy = str(refused).rpartition(": ")
            return card("summary", str(attributes.get("name", "")), facts | {"no verdicts": reason, "remedy": remedy})
        rows: dict[str, dict[str, str]] = {}
        table = _runs().verdict_table(self._tree)
        pairs = zip(table["experiment"], table["metric"], strict=True)
        columns = [f"{names.experiment(name).short} {names.metric_label(metric)}" for name, metric in pairs]
        for column, kind_name, ks, word in zip(
            columns, table["activation_type"], table["ks"], table["conclusion"], strict=True
        ):
            rows.setdefault(names.label(kind_name), dict.fromkeys(dict.fromkeys(columns), "-"))[column] = (
                f"{ks:.2f} {word}"
            )
        return card("summary", str(attributes.get("name", "")), facts, rows)


@_register_dataset("plateau")
class ExperimentAccessor:
    """Of an experiment's group of a run or a summary.

    Parameters
    ----------
    group
        The group.
    """

    def __init__(self, group: xr.Dataset) -> None:
        self._group = group

    def max_slope(self, settings: AnalysisConfig | None = None) -> xr.DataArray:
        """The max-slope step of every curve.

        Parameters
        ----------
        settings
            Of a run's group, the constants that a step depends on; None has the defaults, as a group does not know
            those of its run.

        Returns
        -------
        DataArray
            As `plateaulens.notebook.runs.max_slopes` gives it.

        Raises
        ------
        UsageError
            When it is no group of an experiment.
        """
        if "step_value" not in self._group and "curve" not in self._group:
            raise UsageError("this is no experiment of a run or a summary: it has neither curve nor step_value")
        own = self._group
        steps = own if "step_value" in own else step_dataset(own, settings or AnalysisConfig(), "sensitivity")
        return steps["step_value"].sel(convention=CORRECTED, statistic="max_slope")

    def _repr_html_(self) -> str:
        if COMPLETED not in self._group:
            return card("experiment", "", {str(key): str(size) for key, size in self._group.sizes.items()})
        return card("experiment", "", {"extent": _extent(self._group)})


def _facts(attributes: Any) -> dict[str, str]:
    with reading("the store's attribute config is damaged", "see `plateaulens verify`"):
        config = json.loads(str(attributes.get("config", "{}")))
        model, sites, prompts = (dict(config.get(key) or {}) for key in ("model", "sites", "prompts"))
    held = sites.get("frozen")
    return {
        "model": str(model.get("source", "-")),
        "sites": f"{sites.get('write', '-')} → {sites.get('read', '-')}",
        **({"held": ", ".join(map(str, held))} if held and isinstance(held, list) else {}),
        "prompts": f"{prompts.get('source', '-')}, {prompts.get('length', '-')} tokens each",
    }


def _extent(group: xr.Dataset) -> str:
    done = int(group[COMPLETED].all("activation_type").sum())
    sizes = group.sizes
    return f"{done:,} of {sizes['sample']:,} prompts complete, {sizes['activation_type']} types, {sizes['step']} points"
