"""The authors' way of scanning, written as plainly as possible: the whole prompt copied once per step."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.subject.model import Subject


def plain_scan(
    subject: Subject, tokens: Int[Tensor, " position"], points: Float[Tensor, "step d_model"]
) -> dict[str, Tensor]:
    """L2, KL and Jensen-Shannon distance by the textbook formulas, and the top token, along one path."""
    kept = {}

    def write(stream: Tensor, hook: object) -> Tensor:
        stream = stream.clone()
        stream[:, -1] = points
        return stream

    def keep(stream: Tensor, hook: object) -> None:
        kept["read"] = stream[:, -1].clone()

    with torch.inference_mode():
        logits = subject.bridge.run_with_hooks(
            tokens.expand(len(points), -1), fwd_hooks=[(subject.write.name, write), (subject.read.name, keep)]
        )[:, -1].double()
    q = logits.softmax(-1)
    p, m = q[0], (q[0] + q) / 2

    def kl(a: Tensor, b: Tensor) -> Tensor:
        return (a * (a / b).log()).sum(-1)

    return {
        "l2": (kept["read"] - kept["read"][0]).norm(dim=-1),
        "kl": kl(p, q),
        "js": ((kl(p, m) + kl(q, m)) / 2 / torch.tensor(2.0).log()).clamp(min=0).sqrt(),
        "top_token": logits.argmax(-1),
    }
