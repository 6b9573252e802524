"""The verdicts of the summary in words: which types are like real ones, and which of two types is nearer.

Verdicts are those that the analysis has stored; the words for them are closed, so that a sentence says what was found
and no more. Every sentence is Markdown without markup.
"""

from collections.abc import Mapping, Sequence

import xarray as xr

from plateaulens.names import MAIN_METRICS, label, metric_label
from plateaulens.report.contents import (
    CONTROL,
    NOTHING_TO_COMPARE,
    alpha_of,
    bounds,
    level,
    margin_of,
    synthetic_types,
    types_of,
)
from plateaulens.report.text import listing, number, p_value, span
from plateaulens.report.timing import BLOW_UP, Wording, direction

CLAIMS = (("structured", "baseline"), ("structured", "bag"))
"""The pairs of types that the paper's claim is about."""

DIGITS = 2


def short_verdict(values: xr.Dataset, name: str, wording: Wording = BLOW_UP) -> str:
    """The verdict on a type in one word; a difference by its direction, where one is shown.

    `values` are of one convention, statistic and metric.
    """
    verdict = str(values["verdict"].sel(activation_type=name).item())
    if verdict == "different":
        return {"earlier": wording.before, "later": wording.after}.get(direction(values, name), "different")
    return verdict


def verdict_sentences(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, wording: Wording = BLOW_UP
) -> str:
    """The verdict on every type, a sentence for each metric; one for those on which all verdicts agree."""
    if not synthetic_types(experiment):
        return NOTHING_TO_COMPARE
    found = {metric_label(metric): _verdicts(experiment, metric, wording) for metric in metrics}
    return alike(found)


def alike(sentences: Mapping[str, str]) -> str:
    """Sentences that begin with "On" and their key; equal ones are put together.

    >>> alike({"L2": "a is b", "KL": "a is b", "JS": "a is c"})
    'On L2 and KL, a is b. On JS, a is c.'
    """
    where: dict[str, list[str]] = {}
    for key, sentence in sentences.items():
        where.setdefault(sentence, []).append(key)
    return " ".join(f"On {listing(keys)}, {sentence}." for sentence, keys in where.items())


def are(names: Sequence[str]) -> str:
    """The names of types with their verb.

    >>> are(["bag"]), are(["bag", "single_latent"])
    ('bag is', 'bag and single latent are')
    """
    return f"{listing([label(name) for name in names])} {'is' if len(names) == 1 else 'are'}"


def claim_sentences(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> str:
    """`nearness_sentence` of the paper's pairs."""
    return " ".join(
        nearness_sentence(experiment, first, second, metrics=metrics, statistic=statistic) for first, second in CLAIMS
    )


def nearness_sentence(
    experiment: xr.Dataset,
    first: str,
    second: str,
    *,
    metrics: Sequence[str] = MAIN_METRICS,
    statistic: str = "max_slope",
) -> str:
    """Which of two types is nearer to real on each metric, with both distances and the interval of their difference."""
    a, b = label(first), label(second)
    if not {first, second} <= set(types_of(experiment)):
        return f"The run does not have both {a} and {b} targets, so their nearness to real ones is not compared."
    answers = []
    for metric in metrics:
        values = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
        pair = values.sel(activation_type=first, other_type=second)
        verdict = str(pair["nearness"].item())
        answer = {"nearer": a, "farther": b, "undecided": "undecided"}.get(verdict)
        if answer is None:
            answers.append(f"not comparable on {metric_label(metric)}, where one of them has no step")
            continue
        distances = [number(float(values["ks"].sel(activation_type=name)), DIGITS) for name in (first, second)]
        interval = span(bounds(pair["ks_difference_interval"]), DIGITS)
        difference = number(float(pair["ks_difference"]), DIGITS)
        key = f", {level(values)} interval" if not answers else ","
        answers.append(
            f"{answer} on {metric_label(metric)} (KS {listing(distances)}, difference {difference}{key} {interval})"
        )
    return f"Nearer to real, {a} or {b}: {'; '.join(answers)}."


def control_sentence(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> str:
    """How far two independent draws of real targets lie apart: the noise floor of the KS distances."""
    if CONTROL not in types_of(experiment):
        return f"The run has no {label(CONTROL)} targets, so the noise floor of the distances was not measured."
    apart, missing = [], []
    for metric in metrics:
        on = f"on {metric_label(metric)}"
        values = experiment.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=CONTROL)
        if str(values["verdict"].item()) == "undefined":
            missing.append(on)
            continue
        expected = number(float(values["ks_null"]), DIGITS)
        p = p_value(float(values["ks_p"]))
        apart.append(
            f"{number(float(values['ks']), DIGITS)} {on} (by chance {expected} on average; p\u00a0{_equals(p)})"
        )
    sentences = [f"The KS distance of two independent draws of real targets is {listing(apart)}."] if apart else []
    if beyond := control_excess(experiment, metrics=metrics, statistic=statistic):
        sentences.append(
            f"That is more than chance gives {listing(beyond)}, so a type at such a distance there need not differ "
            f"from real by more than another draw does."
        )
    if missing:
        sentences.append(f"Two draws of real targets have no distance {listing(missing)}.")
    return " ".join(sentences)


def control_excess(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> list[str]:
    """On which metrics two draws of real targets differ by more than chance gives; none without a second draw."""
    if CONTROL not in types_of(experiment):
        return []
    values = experiment.sel(convention="corrected", statistic=statistic, activation_type=CONTROL)
    alpha = alpha_of(experiment)
    return [f"on {metric_label(metric)}" for metric in metrics if float(values["ks_p"].sel(metric=metric)) <= alpha]


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"=\u00a0{p}"


def _verdicts(experiment: xr.Dataset, metric: str, wording: Wording) -> str:
    values = experiment.sel(convention="corrected", statistic=wording.statistic, metric=metric)
    groups: dict[str, list[str]] = {}
    for name in synthetic_types(experiment):
        groups.setdefault(short_verdict(values, name, wording), []).append(name)
    predicates = {
        "equivalent": f"indistinguishable from real within a KS distance of {margin_of(values)}",
        wording.before: f"different from real and {wording.before}",
        wording.after: f"different from real and {wording.after}",
        "different": f"different from real, neither shown to be {wording.before} nor {wording.after}",
        "undecided": "undecided",
        "undefined": "without a step to compare",
    }
    return "; ".join(f"{are(groups[verdict])} {words}" for verdict, words in predicates.items() if verdict in groups)
