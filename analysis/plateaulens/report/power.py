"""What "undecided" is worth, and how often a run was looked at: sentences, Markdown without markup."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.names import metric_label
from plateaulens.report.contents import BLOWUP, compared, settings_of, synthetic_types, word_of
from plateaulens.report.phrases import margin_of, subject
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
    return " ".join(
        sentence
        for metric, values in compared(experiment, metrics, statistic)
        if (undecided := [name for name in synthetic_types(values) if word_of(values, "verdict", name) == "undecided"])
        for sentence in _power(values, undecided, metric)
    )


def _power(values: xr.Dataset, undecided: Sequence[str], metric: str) -> list[str]:
    """On the undecided types of one metric."""
    own = values.sel(activation_type=list(undecided))
    who, where = subject(undecided, synthetic_types(values)).text, f"On {metric_label(metric)}"
    counts = np.unique(own["n_pairs"].to_numpy())
    with_prompts = " to ".join(number(count, 0) for count in dict.fromkeys((counts[0], counts[-1])))
    different, equivalent = (own[name].to_numpy() for name in ("power_different", "power_equivalent"))
    found = []
    if np.isfinite(different).any():
        found.append(f"a KS distance of {margin_of(own)} different in {_range(different)}")
    if np.isfinite(equivalent).any():
        found.append(f"a type that equals real equivalent in {_range(equivalent)}")
    return [f"{where}, {with_prompts} base prompts find {each} of runs, for {who}." for each in found]


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
    first = f"This run was analysed {len(looks)} times while it grew, at {at} base prompts."
    if settings_of(summary).guard_looks:
        return f"{first} These looks share the level of the tests, and this one has {percent(level, 1)} of it."
    return (
        f"{first} Each look had a level of {percent(level)}, and is a further chance of a false verdict. At a level of "
        f"5\u00a0%, one of ten looks at types that do not differ finds a difference in "
        f"{percent(FALSE_AFTER_TEN_LOOKS)}. Where the first verdict that turned up was kept, it says less than its "
        "level. The setting `analysis.guard_looks` shares the level between looks."
    )


def _most(look: dict[str, Any]) -> int:
    return max(look["completed"].values(), default=0)
