"""Looks at a run that grows, and what the level of its tests comes to.

A run can be analysed while it is being collected, and whoever stops when a verdict turns up has had as many chances of
a wrong one as looks were taken. A summary therefore says at how many base prompts its run was analysed, as far as the
summary that it replaces knows. With `analysis.guard_looks` the level is spent with the base prompts, of which each run
has a fixed number: a look at the share t of them, after one at the share s, has the level alpha (t - s). These levels
add up to alpha at most, so that the chance of any wrong rejection of one test over all looks does too, under any
dependence (Bonferroni's inequality; the linear spending function of Kim and DeMets 1987, Biometrika 74:149, without the
gain that normal theory would bring). Whoever looks once, at the complete run, loses nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.store.identity import resume_differences
from plateaulens.store.reading import experiment_names
from plateaulens.store.schema import COMPLETED

ATTRIBUTE = "looks"
"""The root attribute of a summary that holds them, as JSON."""


class Look(NamedTuple):
    """One analysis of a run."""

    completed: dict[str, int]
    """By experiment, the base prompts that were there for every type."""
    planned: dict[str, int]
    """By experiment, those that the run is to have."""
    level: float
    """Of every test, and 1 minus the confidence of every interval."""

    @property
    def share(self) -> float:
        """How much of the run was there, in base prompts of all experiments."""
        return sum(self.completed.values()) / max(sum(self.planned.values()), 1)

    @classmethod
    def at(cls, run: xr.DataTree, level: float) -> Self:
        """One at a run as it is now.

        Parameters
        ----------
        run
            An open run.
        level
            Of the tests.

        Returns
        -------
        Look
            Not yet recorded anywhere.
        """
        experiments = {name: run[name][COMPLETED] for name in experiment_names(run)}
        completed = {name: int(there.all("activation_type").sum()) for name, there in experiments.items()}
        return cls(completed, {name: there.sizes["sample"] for name, there in experiments.items()}, level)


def looks_of(summary: Mapping[Any, Any]) -> list[Look]:
    """The looks that a summary knows of, its own the last one.

    Parameters
    ----------
    summary
        Its root attributes.

    Returns
    -------
    list of Look
        Empty for one of an earlier version.
    """
    return [Look(**each) for each in json.loads(str(summary.get(ATTRIBUTE, "[]")))]


def take(run: xr.DataTree, before: Mapping[Any, Any], settings: AnalysisConfig) -> tuple[list[Look], AnalysisConfig]:
    """A look at a run: the looks so far with this one, and how the run is to be analysed at it.

    Parameters
    ----------
    run
        An open run.
    before
        Root attributes of the summary that the new one will replace, without any where there is none.
    settings
        How the run is to be analysed.

    Returns
    -------
    tuple of list of Look and AnalysisConfig
        Another look at the same base prompts takes the place of the last one. The settings are those given, or with
        `guard_looks` those with the confidence of this look.

    Raises
    ------
    UsageError
        When the level is spent.
    """
    alpha = 1 - settings.confidence
    now = Look.at(run, alpha)
    earlier = looks_of(before) if _same_run(before, run.attrs) else []
    if earlier and earlier[-1].completed == now.completed:
        del earlier[-1]
    if settings.guard_looks:
        level = level_left(alpha, now.share, [look.level for look in earlier])
        if level <= alpha * 1e-9:
            raise UsageError(
                f"analysis.guard_looks: earlier looks at {_counts(earlier)} base prompts have spent the level of "
                f"{alpha:.3g} that {100 * now.share:.0f} % of the run allow: collect more of it before the next look, "
                "or switch the guard off"
            )
        if level < alpha:
            now, settings = now._replace(level=level), settings.model_copy(update={"confidence": 1 - level})
    return [*earlier, now], settings


def level_left(alpha: float, share: float, spent: Sequence[float]) -> float:
    """The level that a guarded look may have.

    Parameters
    ----------
    alpha
        Of all looks together.
    share
        How much of the run is there.
    spent
        The levels of earlier looks.

    Returns
    -------
    float
        0 or less where nothing is left.

    Examples
    --------
    >>> round(level_left(0.05, 1.0, [0.02]), 3)
    0.03
    """
    return alpha * share - sum(spent)


def as_attribute(looks: list[Look]) -> dict[str, str]:
    """Looks as a summary stores them.

    Parameters
    ----------
    looks
        In order.

    Returns
    -------
    dict of str to str
        The root attribute.
    """
    return {ATTRIBUTE: json.dumps([look._asdict() for look in looks])}


def _same_run(summary: Mapping[Any, Any], run: Mapping[Any, Any]) -> bool:
    """Whether a summary is of the run, or of one that was to have another number of base prompts."""
    try:
        found = resume_differences(dict(summary), dict(run))
    except ValueError:
        return False
    return all(text.split(":")[0].endswith(".samples") for text in found)


def _counts(looks: list[Look]) -> str:
    return ", ".join(str(max(look.completed.values(), default=0)) for look in looks) or "no"
