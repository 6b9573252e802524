"""What one replication finds out about the methods, and how replications add up to a row of the table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Kind = Literal["coverage", "error", "power", "planned"]
"""Share of intervals that hold the truth; of true null hypotheses rejected; of false ones rejected; of runs that reach
what they were planned for."""


class Key(NamedTuple):
    """What a row is about."""

    kind: Kind
    quantity: str
    method: str
    activation_type: str
    truth: float
    """The planted value of the quantity."""


class Outcome(NamedTuple):
    """One method on one data set: whether the interval held the truth, or the test rejected; and the width."""

    key: Key
    hit: bool
    width: float = np.nan


@dataclass
class Tally:
    """Counts over replications."""

    hits: int = 0
    total: int = 0
    width: float = 0.0

    @property
    def share(self) -> float:
        """The estimate: hits by replications."""
        return self.hits / self.total

    @property
    def error(self) -> float:
        """Its Monte Carlo standard error."""
        return float(np.sqrt(self.share * (1 - self.share) / self.total))


@dataclass
class Tallies:
    """The counts of every row of a cell."""

    rows: dict[Key, Tally] = field(default_factory=dict)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count one replication.

        Parameters
        ----------
        outcomes
            At most one for each row.
        """
        for outcome in outcomes:
            tally = self.rows.setdefault(outcome.key, Tally())
            tally.hits += outcome.hit
            tally.total += 1
            tally.width += outcome.width

    def merge(self, other: "Tallies") -> None:
        """Count the replications of others.

        Parameters
        ----------
        other
            It is left as it is.
        """
        for key, tally in other.rows.items():
            own = self.rows.setdefault(key, Tally())
            own.hits += tally.hits
            own.total += tally.total
            own.width += tally.width


def covers(quantity: str, method: str, activation_type: str, truth: float, interval: ArrayLike) -> Outcome:
    """Whether an interval holds the truth.

    Parameters
    ----------
    quantity, method, activation_type, truth
        See `Key`.
    interval
        The lower and the upper end, (2,), both of which it holds. One that is not there (NaN) holds nothing.

    Returns
    -------
    Outcome
        A hit where it holds the truth, but for rounding; with the interval's width.
    """
    lower, upper = np.asarray(interval, dtype=np.float64)
    # what is exact but for rounding counts as held
    slack = 1e-9 * max(1.0, abs(truth))
    held = bool(lower - slack <= truth <= upper + slack)
    return Outcome(Key("coverage", quantity, method, activation_type, truth), held, float(upper - lower))


def rejects(
    quantity: str, method: str, activation_type: str, truth: float, rejected: bool | np.bool_, *, null: bool
) -> Outcome:
    """Whether a test rejected, counted as an error where the null hypothesis is true, and as power where it is not.

    Parameters
    ----------
    quantity, method, activation_type, truth
        See `Key`.
    rejected
        The test's answer.
    null
        Whether the null hypothesis is true.

    Returns
    -------
    Outcome
        A hit where it rejected; without a width (NaN).
    """
    return Outcome(Key("error" if null else "power", quantity, method, activation_type, truth), bool(rejected))


def reaches(
    quantity: str, method: str, activation_type: str, truth: float, reached: bool, *, width: float = np.nan
) -> Outcome:
    """Whether a run reached what it was planned for.

    Parameters
    ----------
    quantity, method, activation_type, truth
        See `Key`; the method is the goal.
    reached
        The run's answer.
    width
        Of its interval, where that was planned.

    Returns
    -------
    Outcome
        A hit where it did.
    """
    return Outcome(Key("planned", quantity, method, activation_type, truth), reached, width)
