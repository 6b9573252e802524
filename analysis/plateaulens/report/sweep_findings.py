"""The first screen of a sweep's page, and of the page that sets SAEs beside each other: what they found.

As in `plateaulens.report.findings`, no sentence is written by hand.
"""

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr

from plateaulens.names import CLAIMS, SCALED, label
from plateaulens.report.contents import (
    BLOWUP,
    bounds,
    compared,
    config_of,
    controls_of,
    main_metrics,
    synthetic_types,
    types_of,
    values_of,
    word_of,
)
from plateaulens.report.effects import timing
from plateaulens.report.phrases import NOTHING_TO_COMPARE, capital, confidence_of, noun_of, on, subject, unmeasured
from plateaulens.report.sae_scale import first_site, scale_of, sites, standings
from plateaulens.report.sweep import experiment_of
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS
from plateaulens.report.text import escape, interval, listing, number
from plateaulens.store.manifest import AXES

_NAMES = {"write": "write site", "read": "read site", "sae": "SAE"}
_SHARE_DIGITS = 2
_NO_SHARE = "Random is not shown to differ from real on any metric, so no SAE has a place between the two."


def headline(summary: xr.DataTree) -> str:
    """What a sweep found: which types differ from real in all of its runs, in some and in none, on the first metric.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        One sentence of at most 25 words.
    """
    experiment = experiment_of(summary)
    held = synthetic_types(experiment)
    if not held:
        return NOTHING_TO_COMPARE
    for metric, values in compared(experiment, main_metrics(experiment)[:1]):
        tests = {name: values["exceeds_chance"].sel(activation_type=name) for name in held}
        runs = max(int(test.count()) for test in tests.values())
        if not runs:
            return f"No run of the sweep could test whether a type differs from real {on([metric])}."
        kinds: dict[str, list[str]] = {"all": [], "some": [], "none": []}
        for name, test in tests.items():
            count = np.count_nonzero(test == 1)
            kinds["all" if count == runs else "some" if count else "none"].append(name)
        return f"{capital(on([metric]))}, {_differing(kinds, held, runs, noun_of(experiment))}."
    return unmeasured(BLOWUP)


def _differing(kinds: dict[str, list[str]], held: list[str], runs: int, noun: str) -> str:
    """Which types differ from real in how many runs; those of the first kind are named, the others counted."""
    (first, *others) = (kind for kind, own in kinds.items() if own)
    who, of = subject(kinds[first], held, noun), "the only run" if runs == 1 else f"{runs} runs"
    if first == "none":
        said = f"{who.text} is not told" if len(held) == 1 else f"no {noun} is told"
        return f"{said} from real in {of if runs == 1 else f'any of {of}'}"
    differs = f"{who.text} {who.agrees('differs', 'differ')} from real in"
    if runs == 1:
        left = len(kinds["none"])
        are = "other is" if left == 1 else "others are"
        is_said = not left or who.text.startswith(f"every {noun} but")
        return f"{differs} {of}" + ("" if is_said else f"; {left} {are} not told from it")
    where = f"all {of}" if first == "all" else f"some of {of}"
    counted = [f"{len(kinds[kind])} in {kind}" for kind in others]
    if not counted:
        return f"{differs} {where}" + (" but not in all" if first == "some" else "")
    return f"{differs} {where}; of the others {listing(counted)}"


def points(summary: xr.DataTree) -> str:
    """Three more findings of a sweep: all sites together, the paper's claim, and the noise floor.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        A Markdown list of sentences of at most 30 words, each with the place that shows it.
    """
    experiment = experiment_of(summary)
    metric = main_metrics(experiment)[0]
    sentences = [_together(experiment, metric)] if synthetic_types(experiment) else []
    for _, values in compared(experiment, [metric]):
        sentences += [_claim(values, metric), _floor(values, metric)]
    return "\n".join(f"- {sentence}" for sentence in sentences or [NOTHING_TO_COMPARE])


def _together(experiment: xr.Dataset, metric: str) -> str:
    values, held = experiment.sel(metric=metric), synthetic_types(experiment)
    name = CLAIMS[0][0] if CLAIMS[0][0] in held else held[0]
    found, statistic = word_of(values, "pooled_direction", name), str(values["pooled_difference"].attrs["statistic"])
    if found == "undefined":
        return f"The sweep has too few sites to say something of {label(name)} at all of them together (@tbl-pooled)."
    own = values.sel(activation_type=name)
    mean, ends = float(own["pooled_difference"]), bounds(own["pooled_difference_interval"])
    if found == "earlier":
        mean, ends = -mean, -ends[::-1]
    by = "by " if found in {"earlier", "later"} else ""
    level = confidence_of(values["pooled_difference_interval"])
    return (
        f"Over {number(float(own['pooled_sites']), 0)} sites, {timing(values, [name], found, statistic)} "
        f"{on([metric])}: {by}{number(mean, STEP_DIGITS)} steps "
        f"({level} interval {interval(ends, STEP_DIGITS)}) (@tbl-pooled)."
    )


def _claim(values: xr.Dataset, metric: str) -> str:
    first, second = CLAIMS[0]
    a, b = label(first), label(second)
    if not {first, second}.issubset(types_of(values)):
        return f"The sweep does not have both {a} and {b} targets, so their nearness to real ones is not compared."
    words = values["nearness"].sel(activation_type=first, other_type=second)
    counts = {word: np.count_nonzero(words == word) for word in ("nearer", "farther", "undecided")}
    if not (runs := sum(counts.values())):
        return f"No run of the sweep could test whether {a} or {b} is nearer to real {on([metric])} (@tbl-nearer)."
    if counts["undecided"] == runs:
        where = "in the only run" if runs == 1 else f"in all {runs} runs"
        said = f"whether {a} or {b} is nearer to real is undecided {where}"
    elif runs == 1:
        said = f"{a} is {'nearer to' if counts['nearer'] else 'farther from'} real than {b} in the only run"
    else:
        more, less = (counts[word] or "none" for word in ("nearer", "farther"))
        said = f"{a} is nearer to real than {b} in {more} of {runs} runs, and farther from it in {less}"
    return f"{capital(on([metric]))}, {said} (@tbl-nearer)."


def _floor(values: xr.Dataset, metric: str) -> str:
    draws = controls_of(values)
    if not draws:
        return "The sweep has no second draw of real targets, so its noise floor is not known."
    own = values.sel(activation_type=draws)
    least, most = (number(float(end), KS_DIGITS) for end in (own["ks"].min(), own["ks"].max()))
    apart = least if least == most else f"{least} to {most}"
    tests, alarms = int(own["exceeds_chance"].count()), np.count_nonzero(own["exceeds_chance"] == 1)
    which = f"{alarms or 'none'} of {tests} tests" if tests not in {0, 1} else "the only test" if alarms else "no test"
    tell = "tells" if alarms in {0, 1} else "tell"
    return (
        f"Real targets drawn again lie KS {apart} from the first {on([metric])}; "
        f"{which} {tell} them apart (@tbl-summary)."
    )


def facts(summary: xr.DataTree) -> str:
    """What was measured, in one line: model, sites, SAEs, prompts, runs and commits.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    config, experiment = config_of(summary), experiment_of(summary)
    cells = json.loads(summary.attrs["cells"])
    done = [cell for cell in cells if cell["state"] == "complete"]
    counts = {}
    for axis in AXES:
        held = values_of(experiment, axis)
        name = _NAMES.get(axis, axis)
        counts[name if len(held) == 1 else f"{name}s"] = escape(held[0]) if len(held) == 1 else str(len(held))
    commits = dict.fromkeys(str(cell.get("commit", ""))[:10] for cell in done)
    items = {
        **counts,
        **({"held": escape(", ".join(config.sites.frozen))} if config.sites.frozen else {}),
        "prompts": f"{number(config.experiment(config.experiments[0]).samples, 0)} of {config.prompts.length} tokens",
        "runs": f"{len(done)} of {len(cells)}",
        "commit" if len(commits) == 1 else "commits": (
            escape(listing([*commits])) if len(commits) in {1, 2} else str(len(commits))
        ),
    }
    return capital(" · ".join(f"{key} {value}" for key, value in items.items()))


def sae_headline(summary: xr.DataTree) -> str:
    """Which SAE comes farthest from random to real, by the first type and metric that has shares.

    Parameters
    ----------
    summary
        That of a sweep over SAEs.

    Returns
    -------
    str
        One sentence of at most 25 words.
    """
    found = next(_placed(summary), None)
    if found is None:
        return _NO_SHARE
    name, metric, values, by = found
    scale = scale_of(summary)
    count = 0 if scale is None else sum(1 for _ in sites(scale))
    where = f"at the first of {count} sites, " if count != 1 else ""
    opening = capital(f"{where}by {label(name)} {on([metric])}, ")
    ahead, saes = _ahead(by), values.sizes["sae"]
    if not ahead:
        return f"{opening}there are too few base prompts to tell which SAE comes nearest to real."
    share, best = _share(values, ahead[0]), escape(ahead[0])
    if "only one" in by:
        return f"{opening}{best} comes {share} of the way from random to real."
    if len(ahead) > 1:
        who = f"{best} and {escape(ahead[1])}" if len(ahead) == 2 else f"{len(ahead)} SAEs"
        return f"{opening}{who} come equally far of {saes} SAEs: {share} of the way from random to real."
    other = "the other" if saes == 2 else "every other one"
    if set(by) == {"best", "worse"}:
        rest = f"and {other} is shown to be worse"
    elif set(by).issubset({"best", "worse", "undefined"}):
        rest = "ahead of all that have a share"
    else:
        rest = f"but is not shown to be ahead of {other}"
    return f"{opening}{best} comes farthest of {saes} SAEs, {rest}."


def sae_points(summary: xr.DataTree) -> str:
    """The SAE that comes farthest by each type, with its share, its interval and the table that has all.

    Parameters
    ----------
    summary
        That of a sweep over SAEs.

    Returns
    -------
    str
        A Markdown list of sentences of at most 30 words.
    """
    sentences: dict[str, str] = {}
    for name, metric, values, by in _placed(summary):
        ahead = _ahead(by)
        level = confidence_of(values["share_interval"])
        what = f"By {label(name)} {on([metric])}"
        if not ahead:
            said = f"{what}, there are too few base prompts for an order"
        else:
            ends = interval(bounds(values.sel(sae=ahead[0])["share_interval"]), _SHARE_DIGITS)
            who = escape(ahead[0]) if len(ahead) == 1 else f"{len(ahead)} SAEs"
            comes = f"{who} {'comes' if len(ahead) == 1 else 'come'} {_share(values, ahead[0])} of the way"
            said = f"{what}, {comes} ({level} interval {ends})"
        sentences.setdefault(name, f"{said} (@tbl-{name}).")
    return "\n".join(f"- {sentence}" for sentence in sentences.values()) or f"- {_NO_SHARE[:-1]} (@tbl-length)."


def _placed(summary: xr.DataTree) -> Iterator[tuple[str, str, xr.Dataset, dict[str, list[str]]]]:
    """Types and metrics on which some SAE of the first scale has a share, with the SAEs by the word on them."""
    _, scale = first_site(summary)
    held = values_of(scale, "activation_type")
    for name in (name for name in SCALED if name in held):
        for metric in main_metrics(scale):
            values = scale.sel(metric=metric, activation_type=name)
            by = standings(values)
            if set(by) != {"undefined"}:
                yield name, metric, values, by


def _ahead(by: dict[str, list[str]]) -> list[str]:
    return by.get("best") or by.get("tied for best") or by.get("only one") or []


def _share(values: xr.Dataset, sae: str) -> str:
    return number(float(values["share"].sel(sae=sae)), _SHARE_DIGITS)
