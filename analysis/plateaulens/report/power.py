"""What "undecided" is worth, and how often a run was looked at: sentences, Markdown without markup."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.names import metric_label
from plateaulens.report.contents import BLOWUP, compared, settings_of, synthetic_types, word_of
from plateaulens.report.phrases import alike, are, margin_of
from plateaulens.report.text import listing, number, percent

FALSE_AFTER_TEN_LOOKS = 0.16
"""How often one of ten equally spaced looks at two equal distributions finds them different at a level of 5 %;
tests/summary/test_looks.py measures it."""


def power_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> str:
    """What power the verdicts had on types that are undecided: a sentence for each metric that has some.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        What the verdicts are about.

    Returns
    -------
    str
        Markdown; nothing where no type is undecided, or where the summary has no power of this statistic.
    """
    if "power_equivalent" not in experiment or experiment["power_equivalent"].attrs["statistic"] != statistic:
        return ""
    found = {}
    for metric, values in compared(experiment, metrics, statistic):
        undecided = [name for name in synthetic_types(values) if word_of(values, "verdict", name) == "undecided"]
        if undecided:
            found[metric_label(metric)] = _power(values.sel(activation_type=undecided), undecided)
    return alike(found)


def _power(values: xr.Dataset, undecided: Sequence[str]) -> str:
    """On the types of `values`, all of them undecided."""
    counts = np.unique(values["n_pairs"].to_numpy())
    with_prompts = " to ".join(number(count, 0) for count in dict.fromkeys((counts[0], counts[-1])))
    different, equivalent = (values[name].to_numpy() for name in ("power_different", "power_equivalent"))
    clauses = []
    if np.isfinite(different).any():
        clauses.append(f"a KS distance of {margin_of(values)} would have been found different in {_range(different)}")
    if np.isfinite(equivalent).any():
        clauses.append(f"a type equal to real equivalent in {_range(equivalent)}")
    power = f": with {with_prompts} base prompts, {' and '.join(clauses)}" if clauses else ""
    return f"{are(undecided)} undecided{power}"


def _range(powers: NDArray[np.float64]) -> str:
    known = powers[np.isfinite(powers)]
    ends = dict.fromkeys((percent(float(known.min())), percent(float(known.max()))))
    return " to ".join(ends)


def looks_sentence(summary: xr.DataTree) -> str:
    """How often the run was analysed while it grew, and what that does to the verdicts.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown; nothing where it was analysed once, as far as the summary knows.
    """
    looks = json.loads(summary.attrs.get("looks", "[]"))
    if len(looks) < 2:
        return ""
    at, level = listing([number(_most(look), 0) for look in looks]), looks[-1]["level"]
    first = f"This run was analysed {len(looks)} times while it grew, at {at} base prompts"
    if settings_of(summary).guard_looks:
        return f"{first}; these looks share the level of the tests, and this one has {percent(level, 1)} of it."
    return (
        f"{first}, each time at a level of {percent(level)}. Every look is a further chance of a false verdict: of ten "
        f"at types that do not differ, at least one finds a difference in {percent(FALSE_AFTER_TEN_LOOKS)} at a level "
        f"of 5\u00a0%. Where the first verdict that turned up was kept, it says less than its level; "
        "`analysis.guard_looks` shares the level between looks."
    )


def _most(look: dict[str, Any]) -> int:
    return max(look["completed"].values(), default=0)
