"""The plateaus around targets: what the other files say of steps, said of plateau lengths on one metric."""

import xarray as xr

from plateaulens import names
from plateaulens.names import metric_label
from plateaulens.report import curves, effects, nearness, power, verdicts
from plateaulens.report.censoring import censoring_sentence
from plateaulens.report.phrases import bands, prompts
from plateaulens.report.table import Table

STATISTIC = names.experiment("plateau").statistic


def verdict_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """`plateaulens.report.verdicts.verdict_sentences` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    str
        Markdown.
    """
    return verdicts.verdict_sentences(experiment, metrics=(metric,), statistic=STATISTIC)


def power_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """`plateaulens.report.power.power_sentences` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    str
        Markdown; nothing where no type is undecided.
    """
    return power.power_sentences(experiment, metrics=(metric,), statistic=STATISTIC)


def plateau_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """Noise floor, the paper's pairs and censoring of plateau lengths on one metric.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    str
        Markdown, a paragraph for each.
    """
    return "\n\n".join(
        [
            verdicts.control_sentence(experiment, metrics=(metric,), statistic=STATISTIC),
            nearness.claim_sentences(experiment, metrics=(metric,), statistic=STATISTIC),
            censoring_sentence(experiment, statistic=STATISTIC),
        ]
    )


def timing_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """`plateaulens.report.effects.timing_sentences` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    str
        Markdown.
    """
    return effects.timing_sentences(experiment, metric=metric, statistic=STATISTIC)


def step_table(experiment: xr.Dataset, *, metric: str) -> Table:
    """`plateaulens.report.curves.step_table` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    Table
        A row per type.
    """
    return curves.step_table(experiment, metrics=(metric,), statistic=STATISTIC)


def verdict_table(experiment: xr.Dataset, *, metric: str) -> Table:
    """`plateaulens.report.verdicts.verdict_table` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    Table
        A row per type.
    """
    return verdicts.verdict_table(experiment, metrics=(metric,), statistic=STATISTIC)


def effect_table(experiment: xr.Dataset, *, metric: str) -> Table:
    """`plateaulens.report.effects.effect_table` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    Table
        A row per type.
    """
    return effects.effect_table(experiment, metrics=(metric,), statistic=STATISTIC)


def joint_table(experiment: xr.Dataset, *, metric: str) -> Table:
    """`plateaulens.report.effects.joint_table` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    Table
        A row per type.
    """
    return effects.joint_table(experiment, metrics=(metric,), statistic=STATISTIC)


def pair_matrix(experiment: xr.Dataset, *, metric: str) -> Table:
    """`plateaulens.report.nearness.pair_matrix` of plateau lengths.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    Table
        A row and a column per type.
    """
    return nearness.pair_matrix(experiment, metrics=(metric,), statistic=STATISTIC)


def plateaus_caption(experiment: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.plateaus`.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        On which a plateau has an end.

    Returns
    -------
    str
        Markdown.
    """
    found = experiment["censored"].sel(convention="corrected", statistic=STATISTIC, metric=metric)
    plus = " A plus sign marks the share that is censored at the end of the window." if bool(found.any()) else ""
    return (
        f"Left: mean {metric_label(metric)} curves by type of base on the way to a Gaussian draw, "
        f"{prompts(experiment)}. Bands are {bands(experiment)}. Right: share of prompts still on their plateau after a "
        f"path of that length.{plus}"
    )
