"""The main results as a list, how many comparisons they stand among, and the section that only some runs have.

No sentence is written by hand: which types it names, its verb and its numbers all follow from the summary, so that it
cannot claim what the run does not show.
"""

from collections.abc import Callable

import xarray as xr
from IPython.display import Markdown

from plateaulens.report.confounds import adjusted_sentences
from plateaulens.report.constants import constants_sentence
from plateaulens.report.contents import compared_types, experiments_of, group_of, plateau_metric
from plateaulens.report.distinguish import distinguish_sentence
from plateaulens.report.geometry import path_length_caution
from plateaulens.report.nearness import claim_sentences
from plateaulens.report.page import shown
from plateaulens.report.phrases import NO_THRESHOLD, absent
from plateaulens.report.plateaus import STATISTIC
from plateaulens.report.text import number
from plateaulens.report.verdicts import (
    control_sentence,
    false_alarm_sentence,
    verdict_sentences,
    verdict_table,
    verdict_table_caption,
)

RECONSTRUCTED = "sensitivity_reconstructed"
"""The experiment that starts at the reconstructed base."""
INTRODUCTION = (
    "These paths start at the base as the SAE sees it, decode(encode(A)), so that base and synthetic targets both lack "
    "the SAE's error."
)


def findings(summary: xr.DataTree) -> str:
    """The main results; an item without its group says that the summary does not have it.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        A Markdown list.
    """
    caution = path_length_caution(summary["geometry"].to_dataset())
    answers = {
        "Like real ones?": _of(summary, "sensitivity", verdict_sentences),
        "The paper's claim.": _of(summary, "sensitivity", claim_sentences),
        "Noise floor.": _noise_floor(summary),
        "Plateaus.": _of(summary, "plateau", lambda group: _plateau_verdicts(summary, group)),
        "Path lengths.": f"{caution} {_of(summary, 'confounds', adjusted_sentences)}",
        "The targets themselves.": _of(summary, "distinguish", distinguish_sentence),
        "Constants.": _of(summary, "constants", constants_sentence),
    }
    items: dict[str, str] = {}
    for title, text in answers.items():
        items.setdefault(text, title)
    return "\n".join(f"- **{title}** {text}" for text, title in items.items())


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
    count = 0
    for experiment in experiments_of(summary).values():
        distances = experiment["ks"].sel(convention="corrected", activation_type=compared_types(experiment))
        count += int(distances.count())
    return (
        f"The summary holds {number(count, 0)} comparisons of a type's steps with those of real. Tests behind verdicts "
        f"and directions are adjusted for the types of one table and metric, and not for how many tables and metrics "
        f"there are; intervals, and comparisons at equal geometry, are each for themselves."
    )


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
            "## Relative steps from the reconstruction {#sec-reconstructed}",
            INTRODUCTION,
            verdict_sentences(experiment),
            control_sentence(experiment),
            claim_sentences(experiment),
            f"::: {{#tbl-reconstructed}}\n\n{table}\n\n{caption}\n\n:::",
        ]
    )


def _noise_floor(summary: xr.DataTree) -> str:
    group, alarms = group_of(summary, "sensitivity"), false_alarm_sentence(summary)
    if group is None:
        return alarms or absent("sensitivity")
    return f"{control_sentence(group)} {alarms}".strip()


def _of(summary: xr.DataTree, name: str, make: Callable[[xr.Dataset], str]) -> str:
    group = group_of(summary, name)
    return absent(name) if group is None else make(group)


def _plateau_verdicts(summary: xr.DataTree, experiment: xr.Dataset) -> str:
    metric = plateau_metric(summary)
    return verdict_sentences(experiment, metrics=(metric,), statistic=STATISTIC) if metric else NO_THRESHOLD
