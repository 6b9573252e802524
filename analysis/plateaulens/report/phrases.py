"""The phrases that sentences and captions share, and what is said where a summary lacks something."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import xarray as xr

from plateaulens import names
from plateaulens.names import CLAIMS, MAIN_TYPES, label, metric_label
from plateaulens.report.contents import controls_of, experiments_of, other_metrics, types_of
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


class Subject(NamedTuple):
    """The types that a sentence is about, and whether its verb is in the plural."""

    text: str
    is_plural: bool

    def opens(self) -> str:
        """The text as a sentence begins.

        Returns
        -------
        str
            With a capital.
        """
        return capital(self.text)

    def agrees(self, singular: str, plural: str) -> str:
        """The form of a verb that goes with it.

        Parameters
        ----------
        singular, plural
            Both forms.

        Returns
        -------
        str
            One of them.
        """
        return plural if self.is_plural else singular


class Said(NamedTuple):
    """One word that holds for the same types on the same metrics."""

    word: str
    metrics: tuple[str, ...]
    types: tuple[str, ...]


_KINDS = {
    "SAE-synthetic": (*dict.fromkeys(name for pair in CLAIMS for name in pair), "single_latent"),
    "Gaussian": (*MAIN_TYPES[1:2], "isotropic"),
}
"""Types that share what they are made of: latents of the SAE, or draws from a normal distribution."""
_MOST_WORDS = 7
"""How many words of names a sentence has before it counts the types instead."""


def noun_of(group: xr.Dataset) -> str:
    """What a sentence about all types of a group that a verdict is about calls one of them.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    str
        That they are synthetic is said where there is a control: it is a type, and no such sentence is about it.
    """
    return "synthetic type" if controls_of(group) else "type"


def subject(activation_types: Sequence[str], held: Sequence[str], noun: str = "type") -> Subject:
    """Types by what they share: all of them, all but one, all of a kind; else by name, and many by their number.

    Parameters
    ----------
    activation_types
        Values of an `activation_type` coordinate, at least one.
    held
        All types that the sentence could be about, in order.
    noun
        What one of them is called, see `noun_of`.

    Returns
    -------
    Subject
        Without a capital.

    Examples
    --------
    >>> held = ["random", "isotropic", "reconstruction", "baseline", "bag", "structured", "single_latent"]
    >>> subject(["bag"], held).text, subject(held, held).text, subject(["bag", "random"], held).text
    ('bag', 'every type', 'bag and random')
    >>> subject([name for name in held if name != "bag"], held).text
    'every type but bag'
    >>> subject(held[3:], held).text, subject([*held[:2], *held[3:]][1:], held).text
    ('every SAE-synthetic type', 'isotropic and all SAE-synthetic types')
    >>> subject(held, held, "synthetic type").text
    'every synthetic type'
    """
    if len(activation_types) == 1:
        return Subject(label(activation_types[0]), is_plural=False)
    others = [name for name in held if name not in activation_types]
    if len(activation_types) > 2 and len(others) <= 1:
        return Subject(f"every {noun}" + "".join(f" but {label(name)}" for name in others), is_plural=False)
    left, kinds = list(activation_types), []
    for kind, members in _KINDS.items():
        there = [name for name in held if name in members]
        if len(there) > 1 and all(name in left for name in there):
            left = [name for name in left if name not in there]
            kinds.append((kind, there))
    if len(kinds) == 1 and not left and len(kinds[0][1]) > 2:
        return Subject(f"every {kinds[0][0]} type", is_plural=False)
    parts = [label(name) for name in left]
    parts += [f"{'both' if len(there) == 2 else 'all'} {kind} types" for kind, there in kinds]
    text = listing(parts)
    if len(text.split()) > _MOST_WORDS:
        text = f"{len(activation_types)} of {len(held)} {noun}s"
    return Subject(text, is_plural=True)


def capital(text: str) -> str:
    """Text as a sentence begins.

    Parameters
    ----------
    text
        At least one letter.

    Returns
    -------
    str
        With its first letter a capital.

    Examples
    --------
    >>> capital("single latent is"), capital("my_type")
    ('Single latent is', 'My_type')
    """
    return text[:1].upper() + text[1:]


def grouped(words: Mapping[str, Mapping[str, str]]) -> Iterator[Said]:
    """Words by metric and type, with types of which the same is said, on the same metrics, put together.

    Parameters
    ----------
    words
        By metric, then by type.

    Yields
    ------
    Said
        In the order of metrics, and within one in that of types.

    Examples
    --------
    >>> for said in grouped({"l2": {"a": "later", "b": "later"}, "kl": {"a": "later", "b": "undecided"}}):
    ...     print(*said)
    later ('l2', 'kl') ('a',)
    later ('l2',) ('b',)
    undecided ('kl',) ('b',)
    """
    where: dict[tuple[str, str], list[str]] = {}
    for metric, said in words.items():
        for kind, word in said.items():
            where.setdefault((word, kind), []).append(metric)
    types: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (word, kind), metrics in where.items():
        types.setdefault((word, tuple(metrics)), []).append(kind)
    for (word, places), kinds in types.items():
        yield Said(word, places, tuple(kinds))


def on(metrics: Sequence[str]) -> str:
    """On which metrics something holds.

    Parameters
    ----------
    metrics
        Values of a `metric` coordinate, at least one.

    Returns
    -------
    str
        A phrase.

    Examples
    --------
    >>> on(["l2", "kl"])
    'on L2 and KL'
    """
    return f"on {listing([metric_label(metric) for metric in metrics])}"


def happens(statistic: str, when: str, *, plural: bool) -> str:
    """What a type does whose steps come before or after those of real.

    Parameters
    ----------
    statistic
        Value of a `statistic` coordinate.
    when
        How: `plateaulens.names.Statistic.before`, `after`, or both.
    plural
        Whether the verb is.

    Returns
    -------
    str
        A predicate, without that it is compared with real.

    Examples
    --------
    >>> happens("max_slope", "later", plural=False), happens("plateau_length", "shorter or longer", plural=True)
    ('blows up later', 'have shorter or longer plateaus')
    >>> happens("half_height", "later", plural=False)
    'reaches half of its end later'
    """
    if statistic == names.experiment("plateau").statistic:
        return f"{'have' if plural else 'has'} {when} plateaus"
    verb, _, rest = names.statistic(statistic).event.partition(" ")
    if not plural:
        verb += "es" if verb.endswith(("ch", "sh", "s")) else "s"
        rest = rest.replace("their", "its")
    return f"{' '.join(filter(None, (verb, rest)))} {when}"


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
