"""The experiments: from where to where an activation is walked, one file each by its name.

What an experiment is called and by which rule it steps stands in `plateaulens.names`; the file of that name has the
function `ends`.
"""

from importlib import import_module
from typing import Any, Protocol, cast

from jaxtyping import Float
from torch import Tensor

from plateaulens import names
from plateaulens.config import ExperimentConfig
from plateaulens.scan.walk import PathMaker, fixed, relative
from plateaulens.targets.base import TargetContext


class Experiment(Protocol):
    """Where the paths of an experiment start and end."""

    def ends(
        self,
        base: Float[Tensor, "sample d_model"],
        target: Float[Tensor, "type sample d_model"],
        samples: range,
        context: TargetContext,
    ) -> tuple[Float[Tensor, "type sample d_model"], Float[Tensor, "type sample d_model"]]:
        """The first point of every path, and the point that it leads to.

        Parameters
        ----------
        base
            Base activations A of the samples, shaped (sample, d_model).
        target
            Their targets T, shaped (type, sample, d_model).
        samples
            The samples' numbers in the run: what random choices are keyed by.
        context
            The real activations, their moments, the SAE and the run's seed.

        Returns
        -------
        tuple of Tensor
            Starts and ends, each shaped (type, sample, d_model).
        """
        ...


def find(name: str) -> Experiment:
    """The experiment of that name.

    Parameters
    ----------
    name
        A key of `plateaulens.names.EXPERIMENTS`.

    Returns
    -------
    Experiment
        The module of that name.
    """
    assert name in names.EXPERIMENTS
    module: Experiment = cast("Any", import_module(f"{__name__}.{name}"))
    return module


def path_maker(name: str, settings: ExperimentConfig) -> PathMaker:
    """The step rule of the experiment of that name.

    Parameters
    ----------
    name
        A key of `plateaulens.names.EXPERIMENTS`.
    settings
        Its section of the configuration.

    Returns
    -------
    Callable
        From starts and ends, each shaped (prompt, path, d_model), to points shaped (prompt, path, step, d_model).
    """
    length = settings.step_length
    assert (length is None) == (names.EXPERIMENTS[name].steps == "relative"), "the configuration has been checked"

    def points(start: Tensor, end: Tensor) -> Tensor:
        if length is None:
            return relative(start, end, settings.steps)
        return fixed(start, end, settings.steps, length)

    return points


def spread(base: Float[Tensor, "sample d_model"], target: Float[Tensor, "type sample d_model"]) -> Tensor:
    """The same base for the targets of all types, shaped as these are.

    Parameters
    ----------
    base
        Shaped (sample, d_model).
    target
        Shaped (type, sample, d_model).

    Returns
    -------
    Tensor
        A view of `base`, shaped (type, sample, d_model).

    Examples
    --------
    >>> import torch
    >>> spread(torch.zeros(3, 2), torch.zeros(4, 3, 2)).shape
    torch.Size([4, 3, 2])
    """
    return base.expand_as(target)
