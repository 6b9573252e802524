"""What "undecided" is worth, and how often a run was looked at: sentences, Markdown without markup."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from plateaulens.names import metric_label
from plateaulens.report.contents import BLOWUP, compared, settings_of, synthetic_types, word_of
from plateaulens.report.phrases import margin_of, noun_of, subject
from plateaulens.report.text import listing, number, percent

FALSE_AFTER_TEN_LOOKS = 0.16
"""How often one of ten equally spaced looks at two equal distributions finds them different at a level of 5 %;
tests/summary/test_looks.py measures it."""
_NEVER = percent(0.0)
_MOST_WORDS = 30
"""Of a sentence: where more types need more there is a further one."""


def power_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> str:
    """What power the verdicts had on each type that is undecided, by metric.

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
        Markdown; nothing where no type is undecided, or where powers are of another statistic.
    """
    if experiment["power_equivalent"].attrs["statistic"] != statistic:
        return ""
    return " ".join(
        sentence
        for metric, values in compared(experiment, metrics, statistic)
        if (undecided := [name for name in synthetic_types(values) if word_of(values, "verdict", name) == "undecided"])
        for sentence in _power(values, undecided, metric)
    )


def _power(values: xr.Dataset, undecided: Sequence[str], metric: str) -> list[str]:
    """On the undecided types of one metric."""
    where, apart = f"On {metric_label(metric)}", f"KS distance of {margin_of(values)}"
    found = {"power_different": f"a {apart} different", "power_equivalent": "a type that equals real equivalent"}
    known = {power: [name for name in undecided if _is_known(values, power, name)] for power in found}
    sentences = []
    for power, what in found.items():
        if own := known[power]:
            counts = values["n_pairs"].sel(activation_type=own).to_numpy()
            with_prompts = _range([number(count, 0) for count in (counts.min(), counts.max())])
            sentences += _listed(f"{where}, {with_prompts} base prompts find {what} in", values, power, own)
    if hopeless := [name for name in known["power_equivalent"] if _share(values, "power_equivalent", name) == _NEVER]:
        who = subject(hopeless, synthetic_types(values), noun_of(values)).text
        sentences.append(f"{where}, {who} could hardly be found equivalent here, however like real.")
    # With too few pairs neither power is known; where only this one is not, the pairs cannot be that far apart.
    if close := [name for name in known["power_equivalent"] if name not in known["power_different"]]:
        who = subject(close, synthetic_types(values), noun_of(values)).text
        turned = "whichever way they are turned"
        sentences.append(f"{where}, the pairs of {who} measured here cannot have a {apart}, {turned}.")
    return sentences


def _listed(opening: str, values: xr.Dataset, power: str, types: Sequence[str]) -> list[str]:
    """A power by type, types of the same one together, in as many sentences as that takes."""
    shares: dict[str, list[str]] = {}
    for name in types:
        shares.setdefault(_share(values, power, name), []).append(name)
    held = synthetic_types(values)
    lists: list[list[str]] = [[]]
    for share, own in shares.items():
        item = f"{share} ({subject(own, held, noun_of(values)).text})"
        if lists[-1] and len(_listed_in(opening, [*lists[-1], item]).split()) > _MOST_WORDS:
            lists.append([])
        lists[-1].append(item)
    return [_listed_in(opening, items) for items in lists]


def _share(values: xr.Dataset, power: str, name: str) -> str:
    return percent(float(values[power].sel(activation_type=name)))


def _listed_in(opening: str, items: Sequence[str]) -> str:
    return f"{opening} {listing(items)} of runs."


def _is_known(values: xr.Dataset, power: str, name: str) -> bool:
    return bool(np.isfinite(values[power].sel(activation_type=name)))


def _range(ends: Sequence[str]) -> str:
    """Both ends, or one where they read alike."""
    return " to ".join(dict.fromkeys(ends))


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
