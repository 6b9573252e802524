"""Every statistic of a summary as a record: estimate, interval, tests, number, verdict, unit, and where it stands.

What belongs together is known by name: `NAME_interval` is the interval of NAME, `NAME_p_holm` and `NAME_p_bh` are
adjusted p-values; the tables below say the rest. A variable that they do not know is a record of its own, so that
nothing a summary holds is lost. Curves and single base prompts are data, not statistics: they are in the tables.

The format is described in docs/results.md and by `results.schema.json`, which ships beside this file.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from plateaulens.errors import reading
from plateaulens.export.tables import BOUND, PER_PROMPT, coordinate, groups, ordered

FORMAT = "plateaulens results"
VERSION = 1
"""Raised when a reader of the version before would misread a file; a new field does not raise it."""
SCHEMA = Path(__file__).with_name("results.schema.json")

_TESTED = {
    "ks_equivalence_p": ("ks",),
    "ks_p_pooled": ("ks",),
    "mean_equivalence_p": ("mean_difference",),
    "logrank_p": ("restricted_mean_difference",),
    "paired_logrank_p": ("restricted_mean_difference",),
    "classifier_p": ("accuracy", "auc"),
    "detector_p": ("detector_auc",),
    "floor_p": ("floor_auc",),
}
"""What a p-value is about, where its name does not say so."""
_INTERVALS = {
    "ks_percentile_interval": "ks",
    "mean_difference_simultaneous": "mean_difference",
    "paired_delta_simultaneous": "paired_delta",
}
"""What another interval than the first is of; it makes a record of its own."""
_PAIRS = ("ks", "mean_difference", "median_difference", "quantile_shift", "cliffs_delta", "paired_delta", "wasserstein")
_COUNTS = (
    dict.fromkeys(("mean", "sd"), "n")
    | dict.fromkeys(_PAIRS, "n_pairs")
    | {"steepness_mean": "steepness_n", "steepness_ratio": "steepness_n_pairs"}
    | dict.fromkeys(("matched_difference", "matched_change"), "matched_prompts")
    | dict.fromkeys(("accuracy", "auc", "mmd"), "prompts")
    | dict.fromkeys(("detector_auc", "frechet_ratio", "novelty", "copies", "density", "coverage"), "realism_prompts")
    | dict.fromkeys(("own_source", "fit_novelty", "fit_copies"), "realism_prompts")
    | {"token_share": "token_prompts", "path_ratio": "path_n_pairs"}
    | dict.fromkeys(("pooled_difference", "pooled_spread"), "pooled_sites")
    | {"share": "n"}
)
"""What a quantity is of so many of."""
_VERDICTS = {
    "ks": "verdict",
    "mean_difference": "direction",
    "paired_delta": "paired_relation",
    "ks_difference": "nearness",
    "steepness_ratio": "steepness_relation",
    "path_ratio": "path_relation",
    "adjusted_difference": "adjusted_fate",
    "adjusted_change": "adjusted_movement",
    "matched_difference": "matched_fate",
    "matched_change": "matched_movement",
    "mmd": "told",
    "detector_auc": "detected",
    "floor_auc": "floor_detected",
    "novelty": "novelty_relation",
    "token_share": "token_relation",
    "pooled_difference": "pooled_direction",
    "pooled_prediction": "pooled_new_site",
    "behind": "standing",
}
"""The word that was drawn from a quantity."""
_CONCLUSIONS = {"ks": "conclusion", "mean_difference": "conclusion"}
"""What a page says; of `mean_difference` only where there is no `ks`, in the group `constants`."""
_FLAGS = {
    "ks": ("exceeds_chance",),
    "mean": ("degenerate",),
    "mean_difference": ("difference_degenerate", "conclusion_changed"),
    "ks_difference": ("nearness_changed",),
    "own_source": ("own_source_most",),
    "last_step_fraction": ("last_step_large",),
    "adjusted_difference": ("overlap",),
}
"""What else is true or false of a quantity."""
_CURVES = (*PER_PROMPT, "step")
CASE = "case"
"""The dimension of the group `constants`, whose places have several names."""


def results(summary: xr.DataTree, tables: tuple[str, ...] = ()) -> dict[str, Any]:
    """Everything that a summary has found, as `results.json` holds it.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.
    tables
        The files that lie beside it.

    Returns
    -------
    dict
        Of JSON's types only; see docs/results.md.

    Raises
    ------
    UsageError
        When what the summary says about itself is damaged.
    """
    statistics = [record for name, group in groups(summary).items() for record in records(group, name)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "about": about(summary),
        "tables": list(tables),
        "meanings": meanings(summary),
        "statistics": statistics,
    }


def as_text(found: dict[str, Any]) -> str:
    """Results as a JSON text that has a line for each statistic.

    Parameters
    ----------
    found
        What `results` gives.

    Returns
    -------
    str
        ASCII; the same bytes for the same results.
    """
    head = json.dumps({key: value for key, value in found.items() if key != "statistics"}, indent=1, allow_nan=False)
    lines = ",\n".join(json.dumps(record, allow_nan=False, separators=(",", ":")) for record in found["statistics"])
    inside = head.removesuffix("\n}")
    return f'{inside},\n "statistics": [\n{lines}\n]\n}}\n'


def about(summary: xr.DataTree) -> dict[str, Any]:
    """What a summary is of: model, sites, SAE, prompts, seeds, versions, and the settings of the analysis.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.

    Returns
    -------
    dict
        Of JSON's types; null for what the summary does not say.

    Raises
    ------
    UsageError
        When its attributes are no JSON.
    """
    attributes = {str(key): value for key, value in summary.attrs.items()}
    with reading("the summary's attributes are damaged", "analyse the run again"):
        config, analysis, versions, definitions, looks = (
            json.loads(str(attributes.get(key, "{}")))
            for key in ("config", "analysis", "analysis_versions", "definitions", "looks")
        )
        if not all(isinstance(each, dict) for each in (analysis, versions, definitions)):
            raise TypeError("a list in the place of a mapping")
        model, sites, prompts = (config.get(key) or {} for key in ("model", "sites", "prompts"))
        sae = config.get("sae") or {}
        return {
            "kind": str(attributes.get("kind")),
            "name": str(attributes.get("name")),
            "model": {key: model.get(key) for key in ("source", "revision", "processing", "dtype")},
            "sites": {key: sites.get(key) for key in ("write", "read")} | {"frozen": list(sites.get("frozen") or [])},
            "sae": sae.get("source"),
            "prompts": {key: prompts.get(key) for key in ("source", "length")},
            "seed": config.get("seed"),
            "commit": None if attributes.get("commit") is None else str(attributes["commit"]),
            "completed": looks[-1]["completed"] if isinstance(looks, list) and looks else None,
            "analysis": analysis,
            "versions": versions,
            "definitions": definitions,
        }


def meanings(summary: xr.DataTree) -> dict[str, dict[str, str]]:
    """What the variables of a summary are, in words.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.

    Returns
    -------
    dict
        By group, and by variable: quantities, tests, verdicts and flags are called by the names of their variables.
    """
    return {
        name: {
            str(key): str(value.attrs.get("long_name", ""))
            for key, value in sorted(group.data_vars.items(), key=lambda item: str(item[0]))
        }
        for name, group in groups(summary).items()
    }


@dataclass(frozen=True)
class _Quantity:
    """The variables of one record: each is a name, or None."""

    name: str
    estimate: str | None
    interval: str | None = None
    tests: tuple[str, ...] = ()
    count: str | None = None
    verdict: str | None = None
    conclusion: str | None = None
    flags: tuple[str, ...] = ()


def records(group: xr.Dataset, name: str) -> Iterator[dict[str, Any]]:
    """The statistics of one group.

    Parameters
    ----------
    group
        A group of a summary.
    name
        Its name.

    Yields
    ------
    dict
        One for each quantity and each cell in which there is something to say.
    """
    for quantity in _quantities(group):
        yield from _cells(group, name, quantity)


def _quantities(group: xr.Dataset) -> list[_Quantity]:
    """What the variables of a group are to each other, by the name of the quantity."""
    own = {str(key): ordered(value.dims) for key, value in group.data_vars.items()}
    own = {key: dims for key, dims in sorted(own.items()) if not set(dims) & set(_CURVES)}
    taken: set[str] = set()

    def there(variable: str | None, dims: tuple[str, ...]) -> str | None:
        """The variable, if the group has it for every cell of these dimensions."""
        if variable in own and set(own[variable]) <= set(dims):
            taken.add(variable)
            return variable
        return None

    ends: dict[str, str] = {}
    found: list[_Quantity] = []
    for variable in (each for each in own if BOUND in group[each].dims):
        base = variable.removesuffix("_interval")
        estimate = next((each for each in (base, f"{base}_mean") if own.get(each) == own[variable]), None)
        taken.add(variable)
        if estimate is not None and variable.endswith("_interval"):
            ends[estimate] = variable
        else:
            also = there(_INTERVALS.get(variable), own[variable])
            word = there(_VERDICTS.get(base), own[variable])
            found.append(_Quantity(base, also, variable, verdict=word))
    tests: dict[str, list[str]] = {}
    for variable in (each for each in own if each.endswith(("_p", "_p_pooled"))):
        tested = [
            each for each in _TESTED.get(variable, (variable.removesuffix("_p"),)) if own.get(each) == own[variable]
        ]
        for each in tested:
            tests.setdefault(each, []).append(variable)
        if tested:
            taken |= {variable, f"{variable}_holm", f"{variable}_bh"}
    for variable in sorted({*ends, *tests, *_COUNTS, *_VERDICTS, *_FLAGS} & set(own)):
        taken.add(variable)
        dims = own[variable]
        found.append(
            _Quantity(
                variable,
                variable,
                ends.get(variable),
                tuple(tests.get(variable, ())),
                there(_COUNTS.get(variable), dims),
                there(_VERDICTS.get(variable), dims),
                None if variable != "ks" and "ks" in own else there(_CONCLUSIONS.get(variable), dims),
                tuple(each for each in _FLAGS.get(variable, ()) if there(each, dims)),
            )
        )
    found += [_Quantity(each, each) for each in own if each not in taken]
    return sorted(found, key=lambda quantity: quantity.name)


def _cells(group: xr.Dataset, name: str, quantity: _Quantity) -> Iterator[dict[str, Any]]:
    main = group[quantity.estimate or quantity.interval or ""]
    dims = ordered(main.dims)
    sizes = tuple(group.sizes[dim] for dim in dims)

    def column(variable: str | None) -> list[Any]:
        """Its value in every cell, as JSON has it; None where there is no such variable."""
        if variable is None or variable not in group:
            return [None] * math.prod(sizes)
        array = group[variable].load()  # as in `tables`
        more = {dim: size for dim, size in zip(dims, sizes, strict=True) if dim not in array.dims}
        values = array.expand_dims(more).transpose(*dims, ...).to_numpy()
        flat = values.reshape(-1, 2) if BOUND in array.dims else values.ravel()
        return [_plain(each) for each in flat.tolist()]

    attributes = {} if quantity.interval is None else group[quantity.interval].attrs
    confidence, method = attributes.get("confidence"), attributes.get("method")
    made = {
        "confidence": None if confidence is None else float(confidence),
        "method": None if method is None else str(method),
    }
    unit = str(main.attrs.get("units", ""))
    tests = [_Test.of(group, each, column) for each in quantity.tests]
    flags = {each: column(each) for each in quantity.flags}
    rows = zip(
        _places(group, dims, sizes),
        *(column(each) for each in (quantity.estimate, quantity.interval)),
        *(column(each) for each in (quantity.count, quantity.verdict, quantity.conclusion)),
        strict=True,
    )
    is_word = main.dtype.kind in "TOUb"
    for cell, (at, estimate, ends, count, verdict, conclusion) in enumerate(rows):
        if at is None:
            continue
        word = (estimate if isinstance(estimate, str) else str(estimate).lower()) if is_word else verdict
        record = {
            "group": name,
            "quantity": quantity.name,
            "at": at,
            "estimate": None if is_word else estimate,
            "unit": unit,
            "interval": None if ends is None or None in ends else {"lower": ends[0], "upper": ends[1], **made},
            "tests": [test.at(cell) for test in tests],
            "n": None if count is None else int(count),
            "verdict": word or None,
            "conclusion": conclusion or None,
            "flags": {each: bool(values[cell]) for each, values in flags.items() if values[cell] is not None},
        }
        if _says_something(record):
            yield record


def _places(group: xr.Dataset, dims: tuple[str, ...], sizes: tuple[int, ...]) -> Iterator[dict[str, Any] | None]:
    """What every cell is called; None for the second of two that say the same, as [b, a] does what [a, b] says."""
    labels = [[_plain(each) for each in coordinate(group, dim).tolist()] for dim in dims]
    words = {
        str(key): [_plain(each) for each in value.to_numpy().tolist()]
        for key, value in sorted(group.coords.items(), key=lambda item: str(item[0]))
        if value.dims == (CASE,) and CASE in dims and key != "is_default"
    }
    pair = (dims.index("activation_type"), dims.index("other_type")) if "other_type" in dims else None
    for index in np.ndindex(sizes):
        if pair is not None and index[pair[1]] <= index[pair[0]]:
            yield None
            continue
        at = {dim: own[where] for dim, own, where in zip(dims, labels, index, strict=True) if dim != CASE}
        yield at | {key: own[index[dims.index(CASE)]] for key, own in words.items()}


@dataclass(frozen=True)
class _Test:
    """A test of a quantity, with its p-values in every cell."""

    name: str
    margin: float | None
    p: dict[str, list[Any]]

    @classmethod
    def of(cls, group: xr.Dataset, name: str, column: Callable[[str], list[Any]]) -> "_Test":
        margin = group[name].attrs.get("margin")
        p = {"p": column(name), "p_holm": column(f"{name}_holm"), "p_bh": column(f"{name}_bh")}
        return cls(name, None if margin is None else float(margin), p)

    def at(self, cell: int) -> dict[str, Any]:
        """As a record has it."""
        return {"name": self.name, **{key: values[cell] for key, values in self.p.items()}, "margin": self.margin}


def _says_something(record: dict[str, Any]) -> bool:
    has_p = any(test["p"] is not None for test in record["tests"])
    has_word = record["verdict"] not in {None, "undefined"}
    return has_p or has_word or record["estimate"] is not None or record["interval"] is not None


def _plain(value: Any) -> Any:
    """A value of Python's as JSON has it: NaN is null, infinity a text; of a list each for itself."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
