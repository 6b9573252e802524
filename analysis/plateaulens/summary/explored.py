"""What a reader of a report looks up of single prompts: their curves, and the next tokens along each path.

A jump is a curve's max-slope step: its largest rise leads from the step before to that one.
"""

from bisect import bisect_right
from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.store.schema import LIKELY
from plateaulens.summary.attributes import attrs

MOST_NUMBERS = 2_000_000
"""Numbers of curves that are carried over, of all experiments together: the default run has 1.9 million."""
JUMP = "max_slope"
"""The step statistic whose step is the jump, as the convention `corrected` has it."""
SIDES = ("base", "before", "after", "target")
"""Along the path of a jump: its base, the step before the jump, the one that it arrives at, and its target. From one
step to the next the most likely token seldom changes; between the ends of a path it mostly does."""
_TYPED = ("explored", "activation_type", "metric")


def most_explored(experiments: Mapping[str, xr.Dataset]) -> int:
    """How many base prompts of each experiment are carried over.

    Parameters
    ----------
    experiments
        Groups of a run by name.

    Returns
    -------
    int
        The largest number, at least 1, for which the curves have no more than `MOST_NUMBERS` numbers.

    Examples
    --------
    >>> curve = (("activation_type", "sample", "step", "metric"), np.zeros((9, 300, 101, 3), np.float32))
    >>> group = xr.Dataset({"curve": curve})
    >>> most_explored({"one": group}), most_explored({"one": group, "two": group, "three": group})
    (300, 244)
    """
    curves = [group["curve"] for group in experiments.values()]
    samples = [curve.sizes["sample"] for curve in curves]

    def numbers(prompts: int) -> int:
        return sum(min(prompts, own) * curve.size // own for own, curve in zip(samples, curves, strict=True))

    return max(bisect_right(range(max(samples) + 1), MOST_NUMBERS, key=numbers) - 1, 1)


def explored_dataset(experiment: xr.Dataset, steps: xr.Dataset, prompts: int) -> xr.Dataset:
    """The curves of the first complete base prompts, and the most likely next tokens along their paths.

    Base prompts are in random order, so that the first ones are a random sample, which nobody has chosen.

    Parameters
    ----------
    experiment
        An experiment's group of a run.
    steps
        What `plateaulens.steps.dataset.step_dataset` finds of it.
    prompts
        How many base prompts, at most.

    Returns
    -------
    xarray.Dataset
        `explored_sample(explored)`, the numbers of the base prompts, and `explored_curve(explored, activation_type,
        step, metric)`. Where there are jumps (`JUMP` is among the statistics) also
        `jump_token(explored, activation_type, metric, side, rank)`: -1 beside the jump of a curve that has none; and
        `jump_text` and `jump_probability` in a run that stores likely tokens. In others `rank` has the most likely
        token alone.
    """
    chosen = np.flatnonzero(experiment["completed"].all("activation_type").to_numpy())[:prompts]
    part = experiment.isel(sample=chosen).rename(sample="explored")
    curve = part["curve"].load()
    found = {
        "explored_sample": ("explored", chosen, attrs("base prompt that can be explored", "1")),
        "explored_curve": curve.transpose("explored", "activation_type", "step", "metric").assign_attrs(
            attrs("its curve", curve.attrs["units"])
        ),
    }
    dataset = xr.Dataset(found)
    if JUMP not in steps["statistic"].to_numpy():
        return dataset
    at = steps["step_value"].sel(statistic=JUMP, convention="corrected").isel(sample=chosen)
    jump = at.transpose("sample", "activation_type", "metric").to_numpy()
    sides = np.array(SIDES, dtype=np.dtypes.StringDType())
    described = attrs("of a jump: the base, the step before, the one that it arrives at, and the target", "1")
    return dataset.assign(_around(part, jump)).assign_coords(side=("side", sides, described))


def _around(part: xr.Dataset, jump: NDArray[np.float64]) -> dict[str, xr.Variable]:
    """The variables of the tokens at the `SIDES` of each jump, (explored, activation_type, metric)."""
    stored = [one.name for one in LIKELY if one.name in part] or ["top_token"]
    is_there = np.isfinite(jump)
    arrival = np.where(is_there, jump, 1).astype(np.intp)
    places = (np.zeros_like(arrival), arrival - 1, arrival, np.full_like(arrival, part.sizes["step"] - 1))
    beside = [SIDES.index(side) for side in ("before", "after")]
    prompt, kind = np.ogrid[: jump.shape[0], : jump.shape[1]]
    found = {}
    for name in stored:
        own = part[name] if "rank" in part[name].dims else part[name].expand_dims("rank")
        values = own.transpose("explored", "activation_type", "step", "rank").to_numpy()
        sides = np.stack([values[prompt[..., None], kind[..., None], place] for place in places], axis=3)
        missing = {"i": -1, "f": np.nan}.get(values.dtype.kind, "")
        for side in beside:
            sides[:, :, :, side][~is_there] = missing
        described = attrs(f"{part[name].attrs['long_name']}, along a path with a jump", "1")
        found["jump_" + name.rpartition("_")[2]] = xr.Variable((*_TYPED, "side", "rank"), sides, described)
    return found
