"""What gives targets away one by one, and whether they are new: sentences, two tables and captions."""

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.names import DETECTORS, label
from plateaulens.report.contents import bounds, compared_types, controls_of, synthetic_types, values_of, word_of
from plateaulens.report.phrases import capital, confidence_of, noun_of, subject
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import interval, listing, number, p_equals, percent

_NEARNESS = {
    "frechet_ratio": estimated("Fréchet", "frechet_ratio", KS_DIGITS),
    "novelty": estimated("novelty", "novelty", KS_DIGITS),
    "density": {"density": Column("density", "number", KS_DIGITS)},
    "coverage": {"coverage": Column("coverage", "number", KS_DIGITS)},
    "copies": {"copies": Column("copies", "percent")},
}
"""Columns of the table, by their quantity."""
_NOVEL = {
    "novel": "{opening} {lies} at least {novel} times as far from the nearest real activation "
    "as real ones from each other.",
    "farther": "{opening} {lies} farther from the nearest real activation than real ones from each other.",
    "undecided": "Whether {who} {lies} nearer to real activations than these to each other, or farther, is undecided.",
    "nearer": "{opening} {lies} nearer to a real activation than real ones to each other.",
}
"""By the word of a summary's `novelty_relation`, where targets lie."""
_TOKENS = {
    "nearly all": "Of its variance, a real activation here is little more than its token.",
    "most": "Which token an activation is of says most of its variance, and not all.",
    "less than half": "Which token an activation is of says less than half of its variance.",
    "too few": "Tokens that come once show no variance within a token. As they are more than {most_single}, nothing is "
    "concluded from this share.",
    "not shown": "As the interval reaches both sides of {most}, nothing is concluded from this share.",
}
"""By the word of a summary's `token_relation` what follows; where that is "undecided", by that of `token_reason` why
nothing does."""


def detector_sentences(group: xr.Dataset) -> str:
    """Which types are given away by single activations, by what most clearly, and whether the control passes.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown; nothing where no type is compared.
    """
    held = synthetic_types(group)
    if not held:
        return ""
    best = {name: word_of(group, "best_detector", name) for name in held}
    sentences = []
    for detector in values_of(group, "detector"):
        if types := [name for name in held if best[name] == detector]:
            who = subject(types, held, noun_of(group))
            said = f"{who.opens()} {who.agrees('is', 'are')} given away most clearly in this sample by "
            sentences.append(f"{said}{_definition(group, detector)}{_area(group, detector, types)}.")
    if types := [name for name in held if best[name] == "none"]:
        whom = subject(types, held, noun_of(group)).text.replace("every ", "any ")
        n = int(group["realism_prompts"].max())
        sentences.append(f"No detector is shown to give {whom} away (n\u00a0=\u00a0{number(n, 0)}).")
    if types := [name for name in held if best[name] == "undefined"]:
        who = subject(types, held, noun_of(group))
        sentences.append(f"{who.opens()} {who.agrees('is', 'are')} not known well enough for detectors.")
    return " ".join([*sentences, *_floor(group)])


def _known(group: xr.Dataset) -> list[str]:
    """The detectors that the run has: without an SAE two are not."""
    return [str(each) for each in group["detector"].to_numpy()[group["detector_p"].notnull().any("activation_type")]]


def _definition(group: xr.Dataset, detector: str) -> str:
    """A detector as a phrase."""
    features = [DETECTORS[name].label for name in _known(group) if not DETECTORS[name].is_classifier]
    return DETECTORS[detector].definition.format(features=listing(features))


def _area(group: xr.Dataset, detector: str, types: list[str]) -> str:
    """The area of one type, of a feature with its interval; of several see the table."""
    if len(types) > 1:
        return " (@tbl-detectors)"
    own = group.sel(activation_type=types[0], detector=detector)
    area = f"AUC {number(float(own['detector_auc']), KS_DIGITS)}"
    if DETECTORS[detector].is_classifier:
        return f" ({area})"
    confidence = confidence_of(group["detector_auc_interval"])
    ends = interval(bounds(own["detector_auc_interval"]), KS_DIGITS)
    return f" ({area}, {confidence} interval {ends})"


def _floor(group: xr.Dataset) -> list[str]:
    """What detectors make of the control draws, all together."""
    draws = int(group["floor_auc"].attrs["control_draws"])
    words = dict(zip(values_of(group, "detector"), values_of(group, "floor_detected"), strict=True))
    if not draws or set(words.values()) == {"undefined"}:
        return []
    wrong = [DETECTORS[name].label for name, word in words.items() if word == "false alarm"]
    least = [float(p) for p, word in zip(group["floor_p_holm"], words.values(), strict=True) if word == "false alarm"]
    who, does, tells, them = ("The second draw of real targets", "passes", "is", "it")
    if draws != 1:
        who, does, tells, them = (f"All {draws} further draws of real targets together", "pass", "are", "them")
    if not wrong:
        return [f"{who} {does}: no detector is shown to tell {them} from real."]
    return [
        f"{who} {tells} told from real by {listing(wrong)}: a false alarm.",
        f"Adjusted over detectors, the smallest is {p_equals(min(least))}.",
    ]


def novelty_sentences(group: xr.Dataset) -> str:
    """Which types lie nearer to real activations, or farther, than these from each other, and which hold copies.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown; nothing where no type is compared.
    """
    held = synthetic_types(group)
    if not held:
        return ""
    sentences = []
    for word, says in _NOVEL.items():
        if types := [name for name in held if word_of(group, "novelty_relation", name) == word]:
            who = subject(types, held, noun_of(group))
            novel = f"{group['novelty_relation'].attrs['novel']:g}"
            lies = who.agrees("lies", "lie")
            sentences.append(says.format(opening=who.opens(), who=who.text, lies=lies, novel=novel))
    sentences += [said for name in held for said in _own_source(group, name)]
    sentences += [said for name in controls_of(group) for said in _novel_control(group, name)]
    shares = {name: float(group["copies"].sel(activation_type=name)) for name in held}
    copying = [name for name, share in shares.items() if share and np.isfinite(share)]
    if len(copying) == 1:
        sentences.append(f"Of {label(copying[0])}, {percent(shares[copying[0]], 1)} are copies.")
    elif copying:
        whose = subject(copying, held, noun_of(group)).text
        sentences.append(f"Copies of real activations are among the targets of {whose} (@tbl-nearness).")
    return " ".join(sentences) or "Too few prompts are complete to say how new targets are."


def _own_source(group: xr.Dataset, name: str) -> list[str]:
    """That most targets of a type are nearest to what they may be made of."""
    if not group["own_source_most"].sel(activation_type=name):
        return []
    share = percent(float(group["own_source"].sel(activation_type=name)))
    return [
        f"Of the targets of {label(name)}, {share} lie nearest to the real target of their own prompt.",
        "That they lie near says little of any other activation.",
    ]


def _novel_control(group: xr.Dataset, name: str) -> list[str]:
    """That a further draw of real targets fails the yardstick."""
    if word_of(group, "novelty_relation", name) != "false alarm":
        return []
    own = group.sel(activation_type=name)
    ends = interval(bounds(own["novelty_interval"]), KS_DIGITS)
    ratio = number(float(own["novelty"]), KS_DIGITS)
    return [
        f"By the same measure {label(name)} differs from real too ({ratio}, interval {ends}): a false alarm.",
        "Where some activations have a near neighbour and others none, a median distance jumps between draws.",
    ]


def token_sentence(geometry: xr.Dataset) -> str:
    """How much of the variance of real activations lies between their tokens, of how many, and what follows.

    Parameters
    ----------
    geometry
        The group `geometry`.

    Returns
    -------
    str
        Markdown.
    """
    word = str(geometry["token_relation"].item())
    if word == "undefined":
        return "No token comes twice among the base prompts, so the share of the variance between tokens is unknown."
    reason = str(geometry["token_reason"].item())
    ends = [percent(end, 1) for end in bounds(geometry["token_share_interval"])]
    share = percent(float(geometry["token_share"]), 1)
    asked = {
        name: percent(limit)
        for name, limit in geometry["token_relation"].attrs.items()
        if name in {"most", "most_single"}
    }
    return (
        f"Of the variance of real activations at the write site {share} lies between tokens "
        f"({confidence_of(geometry['token_share_interval'])} interval {ends[0]} to {ends[1]}). "
        f"Of the base prompts {percent(float(geometry['single_tokens']), 1)} have a token that no other has. "
        f"{_TOKENS[reason if word == 'undecided' else word].format(**asked)}"
    )


def detector_table(group: xr.Dataset) -> Table:
    """Which detector sees what: the area of every detector and classifier for each type, and for all control draws.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    Table
        A row per type.
    """
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(group)}
    for detector in _known(group):
        columns |= estimated(DETECTORS[detector].label, "detector_auc", KS_DIGITS, name=detector)
        for name, row in found.items():
            row.update(measured(group.sel(activation_type=name, detector=detector), "detector_auc", detector))
    for classifier in values_of(group, "classifier"):
        columns[f"auc_{classifier}"] = Column(f"{classifier} kernel", "number", KS_DIGITS)
        for name, row in found.items():
            row[f"auc_{classifier}"] = float(group["auc"].sel(activation_type=name, classifier=classifier))
    return Table(pd.DataFrame(list(found.values())), columns)


def detector_table_caption(group: xr.Dataset) -> str:
    """For `detector_table`.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown.
    """
    told = f"n = {number(int(group['realism_prompts'].max()), 0)} base prompts"
    drawn = controls_of(group)
    floor = f" The row of {label(drawn[0])} is one further draw of real targets, not chance." if drawn else ""
    if len(drawn) > 1:
        rows = listing([label(name) for name in drawn])
        floor = f" The rows of {rows} are one further draw of real targets each, not chance."
    listed = "".join(f" *{capital(DETECTORS[name].label)}*: {_definition(group, name)}." for name in _known(group))
    return (
        f"Which detector sees what: area under the ROC curve of each type against real, of features with "
        f"{confidence_of(group['detector_auc_interval'])} intervals in brackets, {told}. Classifiers have none here: "
        f"other prompts would have taught them otherwise, which intervals of fixed scores leave out. Chance is 0.5; a "
        f"feature below it is smaller than in real targets.{listed} Beside them stand the two kernels of "
        f"@tbl-distinguish, whose intervals, of fixed scores, are there.{floor}"
    )


def nearness_table(group: xr.Dataset) -> Table:
    """How near targets come to real ones, and whether by copying.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    Table
        A row per type.
    """
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(group)}
    for quantity, own in _NEARNESS.items():
        columns |= own
        for name, row in found.items():
            values = group.sel(activation_type=name)
            has_interval = own[quantity].kind == "estimate"
            row.update(measured(values, quantity) if has_interval else {quantity: float(values[quantity])})
    return Table(pd.DataFrame(list(found.values())), columns)


def nearness_table_caption(group: xr.Dataset) -> str:
    """For `nearness_table`.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown.
    """
    neighbours = int(group["density"].attrs["neighbours"])
    expected = group["coverage"].attrs.get("expected")
    chance = "" if expected is None else f" ({number(expected, KS_DIGITS)} by chance)"
    return (
        f"How near targets come to real ones, *Fréchet* and *novelty* with "
        f"{confidence_of(group['novelty_interval'])} intervals, the others as estimates. *Fréchet*: "
        f"distance of normal distributions over that of real to real. *Novelty*: median distance to the nearest real "
        f"activation over that of real ones to the nearest other; *copies* lie within "
        f"{percent(group['copies'].attrs['tolerance'])} of that distance. *Density*, 1 by chance, and "
        f"*coverage*{chance}: of balls around real targets that reach to the {neighbours}th nearest other."
    )
