"""Plans from a summary: what `plateaulens plan` prints, one row per activation type."""

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.dataset import REFERENCE
from plateaulens.compare.planning import ks_power, ks_width, least_prompts, mean_power, mean_width, pair_codes
from plateaulens.errors import UsageError

Quantity = Literal["mean_difference", "ks"]


class Plan(NamedTuple):
    """What one type's pilot says: pairs, the estimate, the width that its interval has, and the prompts needed.

    `prompts` is None when a million are not enough, or the type has no pair to go by.
    """

    activation_type: str
    pairs: int
    estimate: float
    width: float
    prompts: int | None


def plans(
    experiment: xr.Dataset,
    *,
    statistic: str,
    metric: str,
    quantity: Quantity,
    confidence: float,
    seed: int,
    width: float | None = None,
    power: float | None = None,
    effect: float | None = None,
) -> list[Plan]:
    """For every type but real, the base prompts that give intervals of `width`, or tests of that `power`.

    `experiment` is a group of a summary, whose corrected steps are the pilot. With `power`, `effect` is the mean
    difference in steps to be found, by default each type's own in the pilot; the distance (`quantity` "ks") is always
    the pilot's own. See `plateaulens.compare.planning` for what is exact and what is simulated.

    Raises `UsageError` for a statistic or metric that the summary does not have, and for an effect with "ks".
    """
    for name, wanted in (("statistic", statistic), ("metric", metric)):
        known = [str(each) for each in experiment[name].to_numpy()]
        if wanted not in known:
            raise UsageError(f"the summary has no {name} {wanted!r}: choose one of {', '.join(known)}")
    if quantity == "ks" and effect is not None:
        raise UsageError("--effect is a mean difference: with --quantity ks the effect is the pilot's own distance")
    cell = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
    types = [str(name) for name in cell["activation_type"].to_numpy()]
    value, censored = (
        cell[name].transpose("activation_type", "sample").to_numpy() for name in ("step_value", "censored")
    )
    found = []
    for t, name in enumerate(types):
        if name == REFERENCE:
            continue
        both = [t, types.index(REFERENCE)]
        pilot: _Pilot
        if quantity == "ks":
            pilot = _KsPilot(pair_codes(value[both], censored[both]), confidence, [seed, *name.encode()])
        else:
            change = value[t] - value[both[1]]
            pilot = _MeanPilot(change[np.isfinite(change)], confidence, effect)
        found.append(_plan(name, pilot, width, power))
    return found


class _MeanPilot:
    """The paired differences of one type, and what they say of other numbers of pairs."""

    def __init__(self, change: NDArray[np.float64], confidence: float, effect: float | None) -> None:
        self.pairs = len(change)
        self.estimate = float(change.mean()) if self.pairs else float("nan")
        self._sd = float(change.std(ddof=1)) if self.pairs > 1 else float("nan")
        self._effect = self.estimate if effect is None else effect
        self._confidence = confidence

    def width(self, prompts: int) -> float:
        return mean_width(self._sd, prompts, self._confidence)

    def power(self, prompts: int) -> float:
        return mean_power(self._effect, self._sd, prompts, self._confidence)


class _KsPilot:
    """The pairs of one type as codes, and what samples from them say of other numbers of pairs."""

    def __init__(self, codes: NDArray[np.int_], confidence: float, seed: list[int]) -> None:
        self.pairs = len(codes)
        own, real = (np.bincount(column, minlength=codes.max(initial=0) + 1) for column in codes.T)
        self.estimate = float(np.abs(np.cumsum(own - real)).max() / self.pairs) if self.pairs else float("nan")
        self._codes, self._confidence, self._seed = codes, confidence, seed

    def width(self, prompts: int) -> float:
        return ks_width(self._codes, prompts, self._confidence, self._rng())

    def power(self, prompts: int) -> float:
        return ks_power(self._codes, prompts, self._confidence, self._rng())

    def _rng(self) -> np.random.Generator:
        # The same random numbers for every size, so that the bisection compares sizes and not luck.
        return np.random.default_rng(self._seed)


_Pilot = _MeanPilot | _KsPilot


def _plan(name: str, pilot: _Pilot, width: float | None, power: float | None) -> Plan:
    if pilot.pairs < 2:
        return Plan(name, pilot.pairs, pilot.estimate, float("nan"), None)

    def enough(prompts: int) -> bool:
        if width is not None:
            return pilot.width(prompts) <= width
        assert power is not None
        return pilot.power(prompts) >= power

    return Plan(name, pilot.pairs, pilot.estimate, pilot.width(pilot.pairs), least_prompts(enough))
