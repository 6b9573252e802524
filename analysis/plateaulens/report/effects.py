"""By how many steps types come earlier or later than real ones: sentences, tables and captions."""

from collections.abc import Sequence

import xarray as xr

from plateaulens import names
from plateaulens.names import CLAIMS, MAIN_TYPES, REFERENCE, label, metric_label
from plateaulens.report.contents import (
    BLOWUP,
    bounds,
    compared,
    compared_types,
    main_metrics,
    other_metrics,
    synthetic_types,
    types_of,
    word_of,
)
from plateaulens.report.phrases import NOTHING_TO_COMPARE, happens, level, noun_of, prompts, subject, unmeasured
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import interval, listing, number, percent
from plateaulens.summary.verdicts import MINIMUM_PAIRS

SHIFTED = (*MAIN_TYPES[1:2], *(second for _, second in CLAIMS), CLAIMS[0][0])
"""The types whose shift functions are drawn: the Gaussian, and those of the paper's claim."""

_EFFECTS = {
    "wasserstein": ("Wasserstein", STEP_DIGITS),
    "cliffs_delta": ("Cliff's delta", KS_DIGITS),
    "mean_difference": ("mean", STEP_DIGITS),
    "median_difference": ("median", STEP_DIGITS),
}
_JOINT = {
    "mean_difference": ("mean", STEP_DIGITS),
    "paired_delta": ("P(later) \u2212 P(earlier)", KS_DIGITS),
}
"""What has intervals for all types together."""
_DIRECTIONS = ("later", "earlier", "mixed", "undecided", "censored", "too few", "uncorrected", "undefined")
"""The words of a summary's `direction`, in the order of their sentences."""

_OF_PAIRS = ("later", "earlier", "mixed", "undecided", "uncorrected")
"""Those whose sentences have a mean, and do not say themselves that it leaves prompts out."""
_SINGLY = {"mixed", "censored"}
"""Those of them that are said type by type."""
_MEAN, _RESTRICTED = "mean_difference", "restricted_mean_difference"


def timing_paragraphs(experiment: xr.Dataset, *, statistic: str = BLOWUP) -> str:
    """`timing_sentences` on every main metric.

    Parameters
    ----------
    experiment
        An experiment's group.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown, a paragraph for each.
    """
    return "\n\n".join(
        timing_sentences(experiment, metric=metric, statistic=statistic) for metric in main_metrics(experiment)
    )


def timing_sentences(experiment: xr.Dataset, *, metric: str, statistic: str = BLOWUP) -> str:
    """Which types come earlier than real on one metric, which later, and for which that is undecided, and why.

    The summary's `direction` says which: one is claimed when the interval of the mean paired difference (type minus
    real, in steps) excludes 0, its p-value, adjusted by Holm's method for the number of types, is significant as well,
    and the median, the prompts one by one and the mean with censored curves point the same way. Further draws of real
    targets are left out: they are no types of their own. Of several types the smallest and the largest mean difference
    are given, and where another type differs most with censored curves at the window's end, that too; all are in
    `effect_table`. Where the mean is open and the prompts one by one are not, by the summary's `paired_relation`, that
    is said as well. As a mean leaves out prompts in which one of the curves is censored, it is
    said of how many prompts they are, where that is not all.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        Value of the coordinate `metric`.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown, a sentence for each direction that there is, one for what withholds it, and one for the prompts that
        means are of.
    """
    held = synthetic_types(experiment)
    if not held:
        return NOTHING_TO_COMPARE
    sentences = []
    for _, values in compared(experiment, [metric], statistic):
        types: dict[str, list[str]] = {direction: [] for direction in _DIRECTIONS}
        for name in held:
            types[word_of(values, "direction", name)].append(name)
        for found, named in types.items():
            together = [[name] for name in named] if found in _SINGLY else [named] if named else []
            for each in together:
                sentences += _sentences(values, each, found, metric, statistic)
        sentences += _pairs(values, [name for found in _OF_PAIRS for name in types[found]], statistic)
    return " ".join(sentences) or unmeasured(statistic)


def timing(values: xr.Dataset, types: Sequence[str], found: str, statistic: str) -> str:
    """In which direction types differ from real, or that this is undecided, without the metric and without a number.

    Parameters
    ----------
    values
        Of one metric and statistic.
    types
        Those of the same direction, at least one.
    found
        The word of the summary's `direction`.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        A clause without a capital.
    """
    named, who = names.statistic(statistic), subject(types, synthetic_types(values), noun_of(values))
    when = {"earlier": named.before, "later": named.after}.get(found)
    if when is None:
        either = happens(statistic, f"{named.before} or {named.after}", plural=who.is_plural)
        # a mean that shows a direction which others contradict is not what is open
        average = "" if found == "mixed" else " on average"
        return f"whether {who.text} {either} than real{average} is undecided"
    return f"{who.text} {happens(statistic, when, plural=who.is_plural)} than real"


def size(values: xr.Dataset, name: str, found: str, *, key: str = "", place: str = "") -> str:
    """By how many steps one type differs from real on average, with the interval.

    Parameters
    ----------
    values
        Of one metric and statistic.
    name
        The type.
    found
        The word of the summary's `direction`: a number of steps earlier has no sign of its own.
    key
        Stands before the interval.
    place
        What shows it, where that stands with the interval.

    Returns
    -------
    str
        A phrase, such as `5.7 steps (3.5 to 7.8)`.
    """
    steps, ends = _steps(values, name, found)
    return f"{steps} steps ({key}{ends}{f'; {place}' if place else ''})"


def turned(own: xr.Dataset, quantity: str, found: str) -> tuple[str, str]:
    """A mean difference of one type in steps, and its interval, as a sentence with the word on it has them.

    Parameters
    ----------
    own
        Of one type, metric and statistic.
    quantity
        The variable, which has an interval.
    found
        The word: a number of steps "earlier" has no sign of its own, so that both are turned round.

    Returns
    -------
    tuple of str
        The number and the bounds, without brackets.
    """
    mean, ends = float(own[quantity]), bounds(own[f"{quantity}_interval"])
    if found == "earlier":
        mean, ends = -mean, -ends[::-1]
    return number(mean, STEP_DIGITS), interval(ends, STEP_DIGITS)


def effect_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Effect sizes of every type against real with their intervals; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    Table
        A row per type and metric.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        return [_effects(values.sel(activation_type=name), name) for name in compared_types(values)]

    columns = {"type": TYPE}
    for quantity, (title, digits) in _EFFECTS.items():
        columns |= estimated(title, quantity, digits)
    return by_metric(experiment, metrics, statistic, rows, columns)


def other_effect_table(experiment: xr.Dataset) -> Table:
    """`effect_table` on the metrics that other tables have no room for.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    Table
        A row per type and metric.
    """
    return effect_table(experiment, metrics=other_metrics(experiment))


def effect_table_caption(
    experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP
) -> str:
    """For `effect_table`.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Effect sizes of {names.statistic(statistic).label}s against real, {prompts(experiment)}, with "
        f"{level(experiment)} bootstrap intervals in brackets. *Wasserstein*: distance in steps. *Cliff's delta*: "
        f"\u22121 all earlier, 1 all later. *Mean* and *median*: paired difference in steps, type minus real."
        f"{_of_pairs(experiment, metrics, statistic)}"
    )


def other_effect_table_caption(experiment: xr.Dataset) -> str:
    """For `other_effect_table`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return effect_table_caption(experiment, metrics=other_metrics(experiment))


def joint_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """What is left of effects beside chance and beside each other; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    Table
        A row per type and metric: the KS distance less what chance gives, and paired differences with intervals that
        hold for all types together.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        return [_joint(values.sel(activation_type=name), name) for name in compared_types(values)]

    columns = {"type": TYPE, "ks_excess": Column("KS above chance", "number", KS_DIGITS)}
    for quantity, (title, digits) in _JOINT.items():
        columns |= estimated(title, quantity, digits)
    return by_metric(experiment, metrics, statistic, rows, columns)


def joint_table_caption(
    experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP
) -> str:
    """For `joint_table`.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Effects on {names.statistic(statistic).label}s beside chance and beside each other, {prompts(experiment)}. "
        f"*KS above chance*: the distance to real minus its mean if type and real were exchangeable. *Mean* and "
        f"*P(later) \u2212 P(earlier)*: paired differences to real, with {level(experiment)} intervals that hold for "
        f"all types of a metric together. They are by "
        f"{experiment['mean_difference_simultaneous'].attrs['method']}.{_of_pairs(experiment, metrics, statistic)}"
    )


def quantile_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Quantile shifts to real at the deciles with an odd number, without intervals; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    Table
        A row per type and metric, infinite where the type's quantile lies beyond the window.
    """
    deciles = [f"{float(p):g}" for p in experiment["quantile"][::2]]

    def rows(values: xr.Dataset) -> list[Row]:
        shift = values["quantile_shift"].isel(quantile=slice(None, None, 2))
        return [
            {"type": name}
            | {f"shift_{p}": float(value) for p, value in zip(deciles, shift.sel(activation_type=name), strict=True)}
            for name in compared_types(values)
        ]

    beyond = {float("inf"): "beyond"}
    columns = {"type": TYPE} | {f"shift_{p}": Column(p, "number", words=beyond) for p in deciles}
    return by_metric(experiment, metrics, statistic, rows, columns)


def quantile_table_caption(experiment: xr.Dataset) -> str:
    """For `quantile_table`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Quantile of the type minus that of real, max-slope steps, {prompts(experiment)}. *Beyond*: the type's "
        f"quantile lies beyond the window."
    )


def quantile_shifts_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.quantile_shifts` of the types `SHIFTED`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    held = types_of(experiment)
    shown = listing([label(name) for name in SHIFTED if name in held] or ["no type"])
    return (
        f"By how many steps the deciles of the max-slope step of {shown} lie behind those of real. Bands are pointwise "
        f"{level(experiment)} bootstrap bands, {prompts(experiment)}. A horizontal line would be a mere "
        f"delay. A line ends where the decile lies beyond the window."
    )


def _effects(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name}
    for quantity in _EFFECTS:
        row |= measured(values, quantity)
    return row


def _joint(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name, "ks_excess": float(values["ks_excess"])}
    for quantity in _JOINT:
        row |= measured(values, quantity, within="simultaneous")
    return row


def _sentences(values: xr.Dataset, types: Sequence[str], found: str, metric: str, statistic: str) -> list[str]:
    """What is said of types of the same direction on one metric, and what withholds one."""
    held, here = synthetic_types(values), f"On {metric_label(metric)}"
    who = subject(types, held, noun_of(values))
    if found == "undefined":
        return [f"{here}, {who.text} {who.agrees('has', 'have')} no step to compare with real in any base prompt."]
    if found == "mixed":
        own = values.sel(activation_type=types[0])
        median, restricted = (
            number(float(own[name]), STEP_DIGITS) for name in ("median_difference", "restricted_mean_difference")
        )
        delta = number(float(own["paired_delta"]), KS_DIGITS)
        either = happens(statistic, _neither(statistic), plural=False)
        said = f"mean difference {size(values, types[0], found)}, median {median}, restricted mean {restricted}"
        return [f"{here}, {who.text} {either} than real: {said}, P(later) minus P(earlier) {delta}."]
    claims = found in {"earlier", "later"}
    claim = timing(values, types, found, statistic) if claims else f"the direction of the mean is open for {who.text}"
    by, rest = "by " if claims else "", _reason(values, types, found, statistic)
    if len(types) == 1:
        said = f"{by}{size(values, types[0], found, key=f'{level(values)} interval ')}"
    else:
        ordered = _ordered(values, types, found, _MEAN)
        (least, ends), (most, others) = (_steps(values, name, found) for name in (ordered[0], ordered[-1]))
        first = f"{level(values)} interval {ends}; {label(ordered[0])}"
        said = f"{by}{least} steps ({first}) up to {most} ({others}; {label(ordered[-1])})"
        largest = _ordered(values, types, found, _RESTRICTED)[-1]
        if claims and largest != ordered[-1]:
            steps, ends = _steps(values, largest, found, _RESTRICTED)
            rest.append(f"With censored curves at the window's end {label(largest)} has most, {steps} ({ends}).")
    singly = [] if claims else [each for name in types for each in _by_prompts(values, name, statistic)]
    return [f"{here}, {claim}: {said}.", *singly, *rest]


def _by_prompts(values: xr.Dataset, name: str, statistic: str) -> list[str]:
    """That more prompts come on one side than on the other, where the mean does not say and they do."""
    named = names.statistic(statistic)
    sides = {"earlier": (named.before, named.after), "later": (named.after, named.before)}
    word = word_of(values, "paired_relation", name)
    if word not in sides:
        return []
    own, (side, other) = values.sel(activation_type=name), sides[word]
    delta, ends = number(float(own["paired_delta"]), KS_DIGITS), bounds(own["paired_delta_simultaneous"])
    more = f"More prompts {happens(statistic, side, plural=True)} than {other} for {label(name)}"
    together = f"{level(values)} interval for all types together {interval(ends, KS_DIGITS)}"
    return [f"{more}: P(later) minus P(earlier) {delta} ({together})."]


def _ordered(values: xr.Dataset, types: Sequence[str], found: str, quantity: str) -> list[str]:
    """From the smallest to the largest difference, in the direction that a word names."""
    turned = -1 if found == "earlier" else 1
    return sorted(types, key=lambda name: turned * float(values[quantity].sel(activation_type=name)))


def _reason(values: xr.Dataset, types: Sequence[str], found: str, statistic: str) -> list[str]:
    """What withholds a direction that the interval alone would claim."""
    if found == "too few":
        return [f"Fewer than {MINIMUM_PAIRS} base prompts have both steps."]
    if found == "uncorrected":
        return ["The p-value does not hold once adjusted for the number of types."]
    if found == "censored":
        event = names.statistic(statistic).event
        own, real = (percent(float(_share(values, name)), 1) for name in (types[0], REFERENCE))
        where = f"{own} of those of {label(types[0])}, {real} of those of {label(REFERENCE)}"
        return [f"The mean leaves out curves that do not {event}: {where}."]
    return []


def _pairs(values: xr.Dataset, types: Sequence[str], statistic: str) -> list[str]:
    """Of how many prompts means are, where that is not all."""
    prompts_of = {name: int(values["n_pairs"].sel(activation_type=name)) for name in types}
    if not prompts_of or min(prompts_of.values()) == values.sizes["sample"]:
        return []
    name = min(prompts_of, key=lambda each: prompts_of[each])
    least, whole = number(prompts_of[name], 0), number(values.sizes["sample"], 0)
    fewest = ", the fewest" if len(prompts_of) > 1 else ""
    of = f"the base prompts in which both curves {names.statistic(statistic).event}"
    return [f"Mean differences are of {of}: {least} of {whole} for {label(name)}{fewest}."]


def _of_pairs(experiment: xr.Dataset, metrics: Sequence[str] | None, statistic: str) -> str:
    """The same for a caption: the fewest and the most over types and metrics."""
    counts = [
        int(count)
        for _, values in compared(experiment, metrics, statistic)
        for count in values["n_pairs"].sel(activation_type=compared_types(values))
        if int(count)
    ]
    if not counts or min(counts) == experiment.sizes["sample"]:
        return ""
    span = " to ".join(dict.fromkeys(number(count, 0) for count in (min(counts), max(counts))))
    return f" Means are of the {span} base prompts in which both have one."


def _share(values: xr.Dataset, name: str) -> xr.DataArray:
    return values["censored_fraction"].sel(activation_type=name)


def _neither(statistic: str) -> str:
    named = names.statistic(statistic)
    return f"neither {named.before} nor {named.after}"


def _steps(values: xr.Dataset, name: str, found: str, quantity: str = _MEAN) -> tuple[str, str]:
    """A mean difference and its interval; turned round where a word says that it is below 0."""
    return turned(values.sel(activation_type=name), quantity, found)
