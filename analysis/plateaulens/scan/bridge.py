"""Packed points through TransformerLens: the reference way, by the hooks that the sites are named after."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.scan.engine import Response
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import FINAL, Site


class BridgeForward:
    """Runs a `TransformerBridge` over sequences of a prompt's earlier tokens followed by packed points.

    Every point has the position of the last token. A four-dimensional attention mask lets it see the earlier tokens
    and itself, and hides it from its siblings.

    Parameters
    ----------
    subject
        The model, written and read at its sites.
    """

    concurrent = False  # the hooks of one run would see another one

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.reads: tuple[Site, ...] = (subject.read,)

    def run(
        self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step d_model"]
    ) -> Response:
        """Every path is a sequence of its own, as attention costs the square of a length.

        See `plateaulens.scan.engine.Forward.run`.
        """
        shared, steps = tokens.shape[1] - 1, points.shape[2]
        sequences = points.flatten(0, 1)
        kept: dict[str, Tensor] = {}

        def write(stream: Float[Tensor, "sequence token d_model"], hook: Any) -> Tensor:  # noqa: ARG001  passed by name
            return torch.cat([stream[:, :shared], sequences], dim=1)

        def keep(stream: Float[Tensor, "sequence token d_model"], hook: Any) -> None:
            kept[hook.name] = stream[:, shared:].unflatten(0, points.shape[:2]).clone()

        bridge = self._subject.bridge
        names = {name: str(bridge.hook_dict[name].name) for name in (*(site.hook for site in self.reads), FINAL)}
        tokens = tokens.repeat_interleave(points.shape[1], dim=0)
        bridge.run_with_hooks(
            torch.cat([tokens[:, :shared], tokens[:, -1:].expand(-1, steps)], dim=1),
            return_type=None,
            fwd_hooks=[(self._subject.write.hook, write), *((name, keep) for name in names)],
            attention_mask=packed_mask(len(tokens), shared, steps).to(points.device),
            position_ids=packed_positions(shared, steps).expand(len(tokens), -1).to(points.device),
            logits_to_keep=1,
        )
        read, *further = (kept[names[site.hook]] for site in self.reads)
        return Response(read, kept[names[FINAL]], tuple(further))

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """By the bridge's own unembedding. See `plateaulens.scan.engine.Forward.unembed`."""
        logits: Tensor = self._subject.bridge.unembed(final[None])
        return logits[0]


def packed_mask(sequences: int, shared: int, steps: int) -> Float[Tensor, "sequence 1 token token"]:
    """What is added to attention scores: 0 where a token may look, the most negative number elsewhere.

    Parameters
    ----------
    sequences
        Number of sequences, which all have the same mask.
    shared
        Number of earlier tokens of the prompt.
    steps
        Number of points that follow them.

    Returns
    -------
    Tensor
        A view shaped (sequence, 1, token, token): query token before key token.

    Examples
    --------
    >>> (packed_mask(1, 2, 2)[0, 0] == 0).int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    """
    visible = torch.eye(shared + steps, dtype=torch.bool)
    visible[:, :shared] = torch.ones(shared + steps, shared, dtype=torch.bool).tril()
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    return mask.expand(sequences, 1, -1, -1)


def packed_positions(shared: int, steps: int) -> Int[Tensor, " token"]:
    """Position ids: the earlier tokens count up, all points stand where the last token stood.

    Parameters
    ----------
    shared
        Number of earlier tokens of the prompt.
    steps
        Number of points that follow them.

    Returns
    -------
    Tensor
        Shaped (token,), on the CPU.

    Examples
    --------
    >>> packed_positions(2, 3).tolist()
    [0, 1, 2, 2, 2]
    """
    return torch.arange(shared + steps).clamp(max=shared)
