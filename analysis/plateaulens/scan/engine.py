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
from plateaulens.scan.outputs import FUSED_METRICS, Reference, likely_tokens, top_token
from plateaulens.scan.split import has_kernels, on

ROWS_PER_HEAD = 128
"""Points whose logits are held at once: bounds memory by this many rows of the vocabulary."""


class Response(NamedTuple):
    """What the model made of each point."""

    read: Float[Tensor, "prompt path step d_model"]
    """The read site's activation."""
    final: Float[Tensor, "prompt path step d_model"]
    """What goes into the unembedding."""
    further: tuple[Float[Tensor, "prompt path step d_model"], ...] = ()
    """The activations at further read sites, of a way that `plateaulens.scan.choice.reading` made."""


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


class Telling:
    """A way of running a model, of every point of which `scan` tells the most likely next tokens as well.

    Parameters
    ----------
    forward
        The way itself.
    count
        How many tokens, more than none.
    """

    def __init__(self, forward: Forward, count: int) -> None:
        self.count = count
        self.concurrent: bool = forward.concurrent
        self._forward = forward

    def run(
        self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step d_model"]
    ) -> Response:
        """See `Forward.run`."""
        return self._forward.run(tokens, points)

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """See `Forward.unembed`."""
        return self._forward.unembed(final)


class Likely(NamedTuple):
    """The most likely next tokens of every point, the most likely first."""

    token: Int[Tensor, "prompt path step rank"]
    probability: Float[Tensor, "prompt path step rank"]


class PathCurves(NamedTuple):
    """The measured response along paths."""

    curve: Float[Tensor, "prompt path step metric"]
    top_token: Int[Tensor, "prompt path step"]
    """Id of the most likely next token; the lowest id in a tie."""
    likely: Likely | None = None
    """What is measured only where the way of running is `Telling`."""
    further: tuple[Float[Tensor, "prompt path step metric"], ...] = ()
    """`curve` at each further read site, of a way of running that has some."""


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
        The way of running the model; a `Telling` one has `likely` measured.
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
    at_output = [name for name in metrics if METRICS[name].place == "output"]
    _measure_read(curve, response.read, metrics)
    columns = [metrics.index(name) for name in at_output]
    count = forward.count if isinstance(forward, Telling) else 0
    token, probability = (likeliest.new_empty((*points.shape[:3], count)), curve.new_empty((*points.shape[:3], count)))
    of_paths = (part.flatten(0, 1) for part in (response.final, curve, likeliest, token, probability))
    final, path_curve, path_likeliest, path_token, path_probability = of_paths

    def look(logits: Tensor, paths: slice, rows: slice) -> None:
        if count:
            found = likely_tokens(logits, count)
            for kept, part in zip((path_token, path_probability), found, strict=True):
                kept[paths, rows] = part.unflatten(0, (-1, rows.stop - rows.start))

    if has_kernels(points.device) and set(at_output) <= set(FUSED_METRICS):
        from plateaulens.scan.fused import measure_outputs  # noqa: PLC0415  needs Triton

        with on(final.device):
            measured = measure_outputs(forward.unembed, final, look)
        for name in at_output:
            path_curve[..., metrics.index(name)] = getattr(measured, name)
        path_likeliest.copy_(measured.top_token)
    else:
        for path in range(len(final)):
            reference: Reference | None = None
            for start in range(0, final.shape[1], ROWS_PER_HEAD):
                rows = slice(start, min(start + ROWS_PER_HEAD, final.shape[1]))
                logits = forward.unembed(final[path, rows])
                reference = Reference(logits[0]) if reference is None else reference
                path_curve[path, rows, columns] = divergences(logits, reference, at_output)
                path_likeliest[path, rows] = top_token(logits)
                look(logits, slice(path, path + 1), rows)
    further = tuple(_measure_read(curve.clone(), read, metrics) for read in response.further)
    return PathCurves(curve, likeliest, Likely(token, probability) if count else None, further)


def _measure_read(
    curve: Float[Tensor, "prompt path step metric"],
    read: Float[Tensor, "prompt path step d_model"],
    metrics: Sequence[str],
) -> Float[Tensor, "prompt path step metric"]:
    """The very `curve`, with the metrics of a read site measured there."""
    for column, name in enumerate(metrics):
        if METRICS[name].place == "read":
            curve[..., column] = read_metric(name).measure(read, read[..., 0, :])
    return curve
