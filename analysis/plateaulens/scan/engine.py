"""From paths to curves: every point of a path replaces the activation of a token of the prompt, and the effect is read.

The points of a path are *packed*: where the last token is perturbed, no point sees another, and all of them can
be query tokens of one sequence that share the prompt's earlier tokens. That does the arithmetic of one token per point
where copying the prompt for each point does that of the whole prompt.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.names import DEFAULT_METRICS, METRICS
from plateaulens.scan.metrics import divergences, read_metric
from plateaulens.scan.outputs import Reference, top_token

ROWS_PER_HEAD = 128
"""Points whose logits are held at once: bounds memory by this many rows of the vocabulary."""


class Response(NamedTuple):
    """What the model made of each point."""

    read: Float[Tensor, "prompt path step d_model"]
    """The read site's activation."""
    final: Float[Tensor, "prompt path step d_model"]
    """What goes into the unembedding."""


class Forward(Protocol):
    """A way of running a model over packed points."""

    concurrent: bool
    """Whether several threads may use it at once, and gain by it."""

    def run(
        self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step d_model"]
    ) -> Response:
        """Replace the write site's activation of each prompt's last token by each of its points, separately.

        Parameters
        ----------
        tokens
            Token ids of the prompts, shaped (prompt, position).
        points
            Activations, shaped (prompt, path, step, d_model), on the model's device.

        Returns
        -------
        Response
            What the model made of each point, shaped (prompt, path, step, d_model) at either place.
        """
        ...

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """The logits of the next token.

        Parameters
        ----------
        final
            Some of a response's `final`, shaped (row, d_model).

        Returns
        -------
        Tensor
            Shaped (row, vocabulary).
        """
        ...


class PathCurves(NamedTuple):
    """The measured response along paths."""

    curve: Float[Tensor, "prompt path step metric"]
    top_token: Int[Tensor, "prompt path step"]
    """Id of the most likely next token; the lowest id in a tie."""


@torch.inference_mode()
def scan(
    forward: Forward,
    tokens: Int[Tensor, "prompt position"],
    points: Float[Tensor, "prompt path step d_model"],
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> PathCurves:
    """Measure every point against the first of its path, which is the reference: step 0 of every curve is 0.

    Parameters
    ----------
    forward
        The way of running the model.
    tokens
        The prompts, shaped (prompt, position).
    points
        What takes the place of the write site's last activation, shaped (prompt, path, step, d_model).
    metrics
        Names of `plateaulens.names.METRICS`.

    Returns
    -------
    PathCurves
        With metrics in the order of `metrics`.
    """
    response = forward.run(tokens, points)
    curve = points.new_empty((*points.shape[:3], len(metrics)))
    likeliest = torch.empty(points.shape[:3], dtype=torch.int32, device=points.device)
    at_read, at_output = ([name for name in metrics if METRICS[name].place == place] for place in ("read", "output"))
    for name in at_read:
        curve[..., metrics.index(name)] = read_metric(name).measure(response.read, response.read[..., 0, :])
    columns = [metrics.index(name) for name in at_output]
    paths = zip(response.final.flatten(0, 1), curve.flatten(0, 1), likeliest.flatten(0, 1), strict=True)
    for final, path_curve, path_likeliest in paths:
        reference: Reference | None = None
        for start in range(0, len(final), ROWS_PER_HEAD):
            rows = slice(start, start + ROWS_PER_HEAD)
            logits = forward.unembed(final[rows])
            reference = Reference(logits[0]) if reference is None else reference
            path_curve[rows, columns] = divergences(logits, reference, at_output)
            path_likeliest[rows] = top_token(logits)
    return PathCurves(curve, likeliest)
