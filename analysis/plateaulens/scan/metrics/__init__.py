"""The metrics: how far the response at a point is from that at the path's first point, one file each by its name.

What a metric is called and where it is measured stands in `plateaulens.names`; the file of that name has the function
`measure`, of the one or the other kind.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from plateaulens import names
from plateaulens.scan.outputs import Outputs, Reference


class ReadMetric(Protocol):
    """A metric of the activations at the read site."""

    def measure(
        self, read: Float[Tensor, "*path step d_model"], reference: Float[Tensor, "*path d_model"]
    ) -> Float[Tensor, "*path step"]:
        """The distance of every point's activation from the reference's, 0 where they are equal.

        Parameters
        ----------
        read
            Activations at the read site, shaped (..., step, d_model).
        reference
            That of each path's first point, shaped (..., d_model).

        Returns
        -------
        Tensor
            Shaped (..., step).
        """
        ...


class OutputMetric(Protocol):
    """A metric of the next-token distributions."""

    def measure(self, outputs: Outputs) -> Float[Tensor, " step"]:
        """The distance of every point's distribution from the reference's, 0 where their logits are equal.

        Parameters
        ----------
        outputs
            Of some points; not to be changed, but for its scratch memory.

        Returns
        -------
        Tensor
            Shaped (step,).
        """
        ...


def read_metric(name: str) -> ReadMetric:
    """The metric of that name, which `plateaulens.names` places at the read site.

    Parameters
    ----------
    name
        A key of `plateaulens.names.METRICS`.

    Returns
    -------
    ReadMetric
        The module of that name.
    """
    assert names.METRICS[name].place == "read"
    metric: ReadMetric = _module(name)
    return metric


def output_metric(name: str) -> OutputMetric:
    """The metric of that name, which `plateaulens.names` places at the output.

    Parameters
    ----------
    name
        A key of `plateaulens.names.METRICS`.

    Returns
    -------
    OutputMetric
        The module of that name.
    """
    assert names.METRICS[name].place == "output"
    metric: OutputMetric = _module(name)
    return metric


def divergences(
    logits: Float[Tensor, "step vocabulary"], reference: Reference, metrics: Sequence[str]
) -> Float[Tensor, "step metric"]:
    """Output metrics of some points, all of them computed from the same quotients.

    Parameters
    ----------
    logits
        Of the points, shaped (step, vocabulary).
    reference
        The distribution that they are compared with.
    metrics
        Names of output metrics.

    Returns
    -------
    Tensor
        Shaped (step, metric), in the order of `metrics`.
    """
    chosen = [output_metric(name) for name in metrics]
    found = logits.new_empty((len(logits), len(chosen)))
    if chosen:
        parts = [torch.stack([metric.measure(own) for metric in chosen], dim=-1) for own in reference.beside(logits)]
        torch.cat(parts, out=found)
    return found


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{name}")
