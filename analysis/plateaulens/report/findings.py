"""The first screen: what the run found in one sentence, three more with their numbers, and a line of facts.

No sentence is written by hand: which types it names, its verb and its numbers all follow from the summary, so that it
cannot claim what the run does not show. Beside them, how many comparisons they stand among, and the section that only
some runs have.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import xarray as xr
from IPython.display import Markdown

from plateaulens import names
from plateaulens.names import CLAIMS, label, metric_label
from plateaulens.quick import NOTICE, is_quick
from plateaulens.report.contents import (
    BLOWUP,
    compared,
    compared_types,
    config_of,
    controls_of,
    experiments_of,
    group_of,
    leading,
    main_metrics,
    plateau_metric,
    settings_of,
    synthetic_types,
    types_of,
    values_of,
    word_of,
)
from plateaulens.report.effects import size, timing, turned
from plateaulens.report.nearness import claim_sentences, difference
from plateaulens.report.page import shown
from plateaulens.report.phrases import (
    NO_THRESHOLD,
    NOTHING_TO_COMPARE,
    capital,
    confidence_of,
    happens,
    level,
    margin_of,
    noun_of,
    on,
    subject,
    unmeasured,
)
from plateaulens.report.plateaus import STATISTIC
from plateaulens.report.power import looks_sentence
from plateaulens.report.text import escape, number
from plateaulens.report.verdicts import (
    control_sentence,
    margin_sentences,
    verdict_sentences,
    verdict_table,
    verdict_table_caption,
)

RECONSTRUCTED = "sensitivity_reconstructed"
"""The experiment that starts at the reconstructed base."""
INTRODUCTION = (
    "These paths start at the base as the SAE sees it, decode(encode(A)). Base and synthetic targets then both lack "
    "the SAE's error."
)
_MOST_WORDS = 25
"""Of the headline: where naming types takes more it counts them."""
_MAIN = "sensitivity"
"""The experiment that the first screen is about, where the run has it."""
_EQUAL = "path_length"
_METHODS = {"regression": "adjusted", "matching": "matched"}
"""What compares types at equal path length, and how its variables begin."""
_SIDES = ("earlier", "later")
_AT_EQUAL_LENGTH = {"kl": "@tbl-confounds-kl"}
"""By metric, the table of types at equal path length, where it is not the first of them."""
_NO_EXPERIMENT = "This run has no experiment to draw a finding from."


def headline(summary: xr.DataTree) -> str:
    """The run's own finding: in which steps, which types are like real, and what the others are, on the main metrics.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        One sentence of at most 25 words.
    """
    leads, statistic, metrics = leading(summary)
    experiment = group_of(summary, leads)
    if experiment is None or not metrics:
        return _NO_EXPERIMENT if experiment is None else NO_THRESHOLD
    held = synthetic_types(experiment)
    if not held:
        return NOTHING_TO_COMPARE
    said = {
        metric: {name: word_of(values, "conclusion", name) for name in held}
        for metric, values in compared(experiment, metrics, statistic)
    }
    if not said:
        return unmeasured(statistic)
    kinds: dict[str, list[str]] = {}
    for name in held:
        kinds.setdefault(_kind([words[name] for words in said.values()]), []).append(name)
    near, where, noun = kinds.pop("equivalent", []), capital(_steps_of(leads)), noun_of(experiment)
    within = f"within KS {margin_of(experiment)} of real {on(list(said))}{_rest(kinds, held, statistic, noun)}."
    if not near:
        return f"{where}, no {noun} is shown {within}"
    who = subject(near, held, noun)
    text = f"{where}, {who.text} {who.agrees('is', 'are')} {within}"
    if who.is_plural and len(text.split()) > _MOST_WORDS:
        text = f"{where}, {len(near)} {noun}s are {within}"  # the others are counted as well
    return text


def _steps_of(name: str) -> str:
    """What a finding of an experiment is about, as an adverb: the kind of steps, or another quantity."""
    described = names.experiment(name)
    if described.statistic == BLOWUP:
        return f"in {described.title}"
    return f"by {names.statistic(described.statistic).label}"


def _kind(words: list[str]) -> str:
    """One word for the conclusions on all metrics."""
    firsts = {word.partition(",")[0] for word in words}
    if len(firsts) == 1:
        return firsts.pop()
    if firsts.issubset({"undecided", "undefined"}):
        return "undecided"
    return "split" if firsts & {"undecided", "undefined", "equivalent"} else "different"


def _rest(kinds: Mapping[str, list[str]], held: list[str], statistic: str, noun: str) -> str:
    """What the types are that are not like real on every metric, as the rest of a sentence."""
    left = sum(len(types) for types in kinds.values())
    before, after = names.statistic(statistic).before, names.statistic(statistic).after
    if not left:
        return ""
    if len(kinds) == 1 and (before in kinds or after in kinds):
        ((when, types),) = kinds.items()
        if left == len(held):
            return f", and each {happens(statistic, when, plural=False)}"
        who = label(types[0]) if left == 1 else f"every other {noun}"
        return f"; {who} {happens(statistic, when, plural=False)}"
    counts = {
        ("differs", "differ"): sum(len(kinds.get(kind, [])) for kind in (before, after, "different", "mixed")),
        ("splits by metric", "split by metric"): len(kinds.get("split", [])),
        ("undecided", "undecided"): sum(len(kinds.get(kind, [])) for kind in ("undecided", "undefined")),
    }
    said = [f"{count} {verbs[0] if count == 1 else verbs[1]}" for verbs, count in counts.items() if count]
    return f"{':' if left == len(held) else ';'} {', '.join(said)}"


def points(summary: xr.DataTree) -> str:
    """Three more findings: the paper's claim, plateaus, and what equal path length leaves.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        A Markdown list of one sentence each, of at most 30 words, which links to the table that holds its numbers. A
        finding that the summary has not measured has none: its section says why.
    """
    sentences = (_claim(summary), _plateaus(summary), _at_equal_length(summary))
    return "\n".join(f"- {sentence}" for sentence in sentences if sentence)


def _focus(group: xr.Dataset) -> str:
    """The type that single sentences are about: the first of the paper's claim, where the run has it."""
    held = synthetic_types(group)
    return CLAIMS[0][0] if CLAIMS[0][0] in held else held[0]


def _claim(summary: xr.DataTree) -> str:
    group, (first, second) = group_of(summary, _MAIN), CLAIMS[0]
    if group is None:
        return ""
    a, b = label(first), label(second)
    if not {first, second}.issubset(types_of(group)):
        return ""
    claims = {
        "nearer": (f"{a} is nearer to real than {b}", f"{a} is"),
        "farther": (f"{b} is nearer to real than {a}", f"{b} is"),
        "undecided": (f"whether {a} or {b} is nearer to real is undecided", "that is undecided"),
    }
    pairs = {metric: values.sel(activation_type=first, other_type=second) for metric, values in compared(group)}
    words = {metric: str(pair["nearness"].item()) for metric, pair in pairs.items()}
    known = [metric for metric in pairs if words[metric] in claims]
    if not known:
        return ""
    word, others = words[known[0]], known[1:]
    alike = [known[0], *(metric for metric in others if words[metric] == word)]
    rest = "".join(f"; {on([metric])} {claims[words[metric]][1]}" for metric in others if metric not in alike)
    pair = pairs[known[0]]
    said = f"{metric_label(known[0])} KS difference {difference(pair, behind='; @tbl-pairs')}"
    if bool(pair["ks_difference_interval"].isnull().any()):
        said = "too few base prompts for a test (@tbl-pairs)"
    return f"{capital(_steps_of(_MAIN))}, {claims[word][0]} {on(alike)}{rest}: {said}."


def _plateaus(summary: xr.DataTree) -> str:
    group, metric = group_of(summary, "plateau"), plateau_metric(summary)
    if group is None or metric is None or not synthetic_types(group):
        return ""
    for _, values in compared(group, [metric], STATISTIC):
        return _timed(values, STATISTIC, metric, "@tbl-plateau-effects")
    return ""


def _timed(values: xr.Dataset, statistic: str, metric: str, place: str) -> str:
    """In which direction the type of single sentences differs from real, by how much, and where that is shown."""
    name = _focus(values)
    found = word_of(values, "direction", name)
    if found == "undefined":
        return f"{capital(label(name))} has no step to compare with real on {metric_label(metric)} ({place})."
    claim = f"{capital(timing(values, [name], found, statistic))} on {metric_label(metric)}"
    by = ", by " if found in {"earlier", "later"} else ": "
    return f"{claim}{by}{size(values, name, found, key=f'{level(values)} interval ', place=place)}."


def _at_equal_length(summary: xr.DataTree) -> str:
    group = group_of(summary, "confounds")
    if (
        group is None
        or not synthetic_types(group)
        or BLOWUP not in values_of(group, "statistic")
        or _MAIN not in values_of(group, "path")
    ):
        return ""
    metric, name = main_metrics(group)[0], _focus(group)
    own = group.sel(path=_MAIN, statistic=BLOWUP, metric=metric, activation_type=name, adjustment=_EQUAL)
    own, place = own.sel(covariate=_EQUAL), _AT_EQUAL_LENGTH.get(metric, "@tbl-confounds")
    fates = {method: str(own[f"{quantity}_fate"].item()) for method, quantity in _METHODS.items()}
    unmatched = bool(own["matched_difference_interval"].isnull().any())
    finds = {method: fate.partition(" ") for method, fate in fates.items() if fate.partition(" ")[2] in _SIDES}
    where, who = "At equal path length", label(name)
    if not finds or (unmatched and "regression" not in finds):
        fate = fates["regression"]
        claims = {"undecided": f"the fate of {who} is undecided", "not comparable": f"{who} is not comparable"}
        said = f"{where}, {claims.get(fate, f'{who} is {fate} from real')} on {metric_label(metric)}"
        if fate == "not comparable":
            return f"{said} ({place})."
        return f"{said}: {_left(own, 'regression', '', place)}."
    sides = {side for _, _, side in finds.values()}
    if unmatched or (len(finds) == len(_METHODS) and len(sides) == 1):
        how, _, side = finds["regression"]
        claim = f"{who} {how} {happens(BLOWUP, side, plural=False)} than real"
        return f"{where}, {claim} on {metric_label(metric)}, by {_left(own, 'regression', side, place)}."
    first = next(method for method in _METHODS if method in finds)
    other = next(method for method in _METHODS if method != first)
    how, _, side = finds[first]
    against = f"but {other} {finds[other][2]}" if other in finds else f"which {other} does not show"
    claim = f"{first} {how} finds {who} {side} than real on {metric_label(metric)}"
    return f"{where}, {claim}, by {_left(own, first, side, place)}, {against}."


def _left(own: xr.Dataset, method: str, side: str, place: str) -> str:
    """What a method leaves of a type's difference, with its interval and the place that shows it."""
    quantity = f"{_METHODS[method]}_difference"
    mean, ends = turned(own, quantity, side)
    steps = f"{mean} {names.experiment(_MAIN).title}"
    return f"{steps} ({confidence_of(own[f'{quantity}_interval'])} interval {ends}; {place})"


def facts(summary: xr.DataTree) -> str:
    """What was measured, in one line: model, sites, SAE, prompts, date and commit; a quick run is called one.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown.
    """
    config = config_of(summary)
    created = datetime.fromisoformat(json.loads(summary.attrs["provenance"])["created"]).astimezone(UTC)
    counts = dict.fromkeys(number(group.sizes["sample"], 0) for group in experiments_of(summary).values())
    items = {
        "Model": escape(config.model.source),
        "site": f"{escape(config.sites.write)} to {escape(config.sites.read)}",
        **({"held": escape(", ".join(config.sites.frozen))} if config.sites.frozen else {}),
        "SAE": escape(config.sae.source) if config.sae else "none",
        "prompts": f"{next(iter(counts), 'none')} of {config.prompts.length} tokens",
        "collected": f"{created:%Y-%m-%d}",
        "commit": escape(str(summary.attrs["commit"])[:10]),
    }
    line = " · ".join(f"{key} {value}" for key, value in items.items())
    return f"{NOTICE}\n\n{line}" if is_quick(config.name) else line


def comparisons_sentence(summary: xr.DataTree) -> str:
    """How many comparisons with real the summary makes, and for which of them that is taken into account.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown.
    """
    count, drawn_again = 0, 0
    adjusted = (
        "for all of these together"
        if settings_of(summary).family_wise
        else "for the types of one table and metric, not for how many of these there are"
    )
    for experiment in experiments_of(summary).values():
        distances = experiment["ks"].sel(convention="corrected", activation_type=compared_types(experiment))
        count += int(distances.count())
        drawn_again += int(distances.sel(activation_type=controls_of(experiment)).count())
    of_real = f", {number(drawn_again, 0)} of them of real targets drawn again" if drawn_again else ""
    return (
        f"The summary holds {number(count, 0)} comparisons of a type's steps with those of real in the corrected "
        f"convention{of_real}. Tests behind verdicts and directions are adjusted {adjusted}. "
        f"Intervals are each for themselves, where no caption says that they hold together. "
        f"Comparisons at equal geometry are too, but for what is tested to change."
    )


def limits(summary: xr.DataTree) -> str:
    """What the run itself says against reading too much into it: comparisons, late margins, repeated looks.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        A Markdown list.
    """
    texts = (comparisons_sentence(summary), margin_sentences(summary), looks_sentence(summary))
    return "\n".join(f"- {text}" for text in texts if text)


def reconstructed_section(summary: xr.DataTree) -> Markdown:
    """The section of a run that also started at the reconstructed base, with its heading.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    IPython.display.Markdown
        Nothing when the run does not have the experiment.
    """
    experiment = group_of(summary, RECONSTRUCTED)
    return shown("" if experiment is None else _reconstructed(experiment))


def _reconstructed(experiment: xr.Dataset) -> str:
    table, caption = verdict_table(experiment).markdown(), verdict_table_caption(experiment)
    return "\n\n".join(
        [
            "### Relative steps from the reconstruction {#sec-reconstructed}",
            INTRODUCTION,
            verdict_sentences(experiment),
            control_sentence(experiment),
            claim_sentences(experiment),
            f"::: {{#tbl-reconstructed}}\n\n{table}\n\n{caption}\n\n:::",
        ]
    )
