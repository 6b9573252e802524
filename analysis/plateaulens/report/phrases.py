"""The phrases that sentences and captions share, and what is said where a summary lacks something."""

from collections.abc import Mapping, Sequence

import xarray as xr

from plateaulens import names
from plateaulens.names import MAIN_TYPES, label, metric_label
from plateaulens.report.contents import experiments_of, other_metrics, types_of
from plateaulens.report.text import listing, number, percent

NOTHING_TO_COMPARE = "The run has no type to compare with real targets."
NO_THRESHOLD = "The analysis has no plateau threshold, so no curve has a plateau length."

_ABSENT = {
    "confounds": "This summary has no comparison at equal geometry.",
    "distinguish": "This summary has no test of the targets themselves.",
    "constants": "This summary has no conclusions under other constants.",
}


def absent(group: str) -> str:
    """What stands in the place of a group that the summary does not have.

    Parameters
    ----------
    group
        Its name: that of an experiment, or of a group that questions the results.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> absent("plateau")
    'This run has no experiment with plateaus.'
    """
    return _ABSENT.get(group) or f"This run has no experiment with {names.experiment(group).title}."


def unmeasured(statistic: str) -> str:
    """What stands in the place of a statistic that the summary has on none of the metrics asked for.

    Parameters
    ----------
    statistic
        Its name.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> unmeasured("max_slope")
    'This summary has no max-slope step to compare.'
    """
    return f"This summary has no {names.statistic(statistic).label} to compare."


def are(activation_types: Sequence[str]) -> str:
    """The names of types with their verb.

    Parameters
    ----------
    activation_types
        Values of an `activation_type` coordinate, at least one.

    Returns
    -------
    str
        The beginning of a sentence.

    Examples
    --------
    >>> are(["bag"]), are(["bag", "single_latent"])
    ('bag is', 'bag and single latent are')
    """
    return f"{listing([label(name) for name in activation_types])} {'is' if len(activation_types) == 1 else 'are'}"


def alike(sentences: Mapping[str, str]) -> str:
    """Sentences that begin with "On" and their key; equal ones are put together.

    Parameters
    ----------
    sentences
        By key, without that beginning and without a full stop.

    Returns
    -------
    str
        The sentences.

    Examples
    --------
    >>> alike({"L2": "a is b", "KL": "a is b", "JS": "a is c"})
    'On L2 and KL, a is b. On JS, a is c.'
    """
    where: dict[str, list[str]] = {}
    for key, sentence in sentences.items():
        where.setdefault(sentence, []).append(key)
    return " ".join(f"On {listing(keys)}, {sentence}." for sentence, keys in where.items())


def prompts(group: xr.Dataset) -> str:
    """How many base prompts a group has, as captions write it.

    Parameters
    ----------
    group
        With the dimension `sample`.

    Returns
    -------
    str
        A phrase.
    """
    return f"n = {number(group.sizes['sample'], 0)} base prompts per type"


def others(summary: xr.DataTree) -> str:
    """The metrics that most tables have no room for.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        An enumeration.
    """
    found = (name for group in experiments_of(summary).values() for name in other_metrics(group))
    return listing([metric_label(name) for name in dict.fromkeys(found)] or ["no other metric"])


def main_types(experiment: xr.Dataset) -> str:
    """The types of figures that have room for few.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Those of `plateaulens.names.MAIN_TYPES` that it has, as an enumeration.
    """
    held = types_of(experiment)
    return listing([label(name) for name in MAIN_TYPES if name in held])


def bands(experiment: xr.Dataset) -> str:
    """What the bands around mean curves are.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        A phrase.
    """
    confidence = confidence_of(experiment["curve_interval"])
    return f"pointwise {confidence} bootstrap intervals of the mean over base prompts"


def confidence_of(interval: xr.DataArray) -> str:
    """The confidence of an interval, as it is written in a sentence.

    Parameters
    ----------
    interval
        Any that a summary stores.

    Returns
    -------
    str
        In percent.
    """
    return f"{100 * interval.attrs['confidence']:g}\u00a0%"


def level(experiment: xr.Dataset) -> str:
    """The confidence of a comparison's intervals, as it is written in a sentence.

    Parameters
    ----------
    experiment
        An experiment's group, or a part of it.

    Returns
    -------
    str
        In percent.
    """
    return confidence_of(experiment["ks_interval"])


def alpha_of(experiment: xr.Dataset) -> str:
    """The level of the verdicts' tests, as it is written in a sentence.

    Parameters
    ----------
    experiment
        An experiment's group, or a part of it.

    Returns
    -------
    str
        In percent.
    """
    return percent(float(experiment["verdict"].attrs["alpha"]))


def margin_of(experiment: xr.Dataset) -> str:
    """The KS distance within which a type counts as equivalent to real.

    Parameters
    ----------
    experiment
        An experiment's group, or a part of it.

    Returns
    -------
    str
        As it is written in a sentence.
    """
    return f"{experiment['verdict'].attrs['margin']:g}"
