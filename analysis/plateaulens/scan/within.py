"""Sites within a block: what a part of it adds to the stream, or is about to, replaced and read at the points' rows.

The block itself is transformers' own. Hooks on its modules put the points where the site is; what they put belongs to
the thread that runs, as several run one model at once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from plateaulens.subject.anatomy import Change, after, before, check_site, find_anatomy
from plateaulens.subject.sites import Site


@dataclass
class Passing:
    """What passes the two sites in one run."""

    shared: int
    points: Float[Tensor, "prompt point width"]
    stream: Float[Tensor, "prompt point d_model"] | None = None
    """At the points' rows, before the block that is read in its middle."""
    read: Float[Tensor, "prompt point width"] | None = None
    """At the points' rows; None before it has passed."""


class WithinBlocks:
    """Hooks at those of a model's two sites that are within a block.

    Parameters
    ----------
    model
        Keeps the hooks. It must still run as it was published, with attention that nothing has been done to.
    write, read
        The sites. One between blocks is left to the caller.

    Raises
    ------
    UsageError
        When the model has no such site.
    """

    def __init__(self, model: PreTrainedModel, write: Site, read: Site) -> None:
        self._of_thread = threading.local()
        anatomy = find_anatomy(model, sorted({write.block, read.block}))
        self._multiplier = anatomy.multiplier
        for site in (write, read):
            check_site(anatomy, site)
        assert anatomy.parts is not None
        # written first: what is read where it is written is what was written
        for site, is_written in ((write, True), (read, False)):
            parts = anatomy.parts[site.block]
            change: Change = self._put if is_written else self._keep
            if site.place == "z":
                assert parts.projection is not None
                before(parts.projection, change)
            elif site.place == "attn_out":
                after(parts.attention_end, change)
            elif site.place == "mlp_out":
                after(parts.mlp_end, change)
            elif site.place == "mid" and is_written:
                after(parts.attention_end, self._put_in_the_middle)
            elif site.place == "mid":
                before(parts.layer, self._keep_stream)
                after(parts.attention_end, self._keep_the_middle)

    @contextmanager
    def running(self, points: Float[Tensor, "prompt point width"], shared: int) -> Iterator[Passing]:
        """Have this thread write some points.

        Parameters
        ----------
        points
            Shaped (prompt, point, width).
        shared
            Number of earlier tokens, whose rows come before those of the points.

        Yields
        ------
        Passing
            Has what was read once the model has run.
        """
        self._of_thread.now = passing = Passing(shared, points)
        try:
            yield passing
        finally:
            del self._of_thread.now

    @property
    def _now(self) -> Passing:
        now: Passing = self._of_thread.now
        return now

    def _put(self, rows: Tensor) -> Tensor:
        return torch.cat([rows[:, : self._now.shared], self._now.points], dim=1)

    def _put_in_the_middle(self, added: Tensor) -> Tensor:
        """The caller has the points' rows enter the block as zeros, so that what is added to them is all there is."""
        return torch.cat([added[:, : self._now.shared], self._now.points / self._multiplier], dim=1)

    def _keep(self, rows: Tensor) -> Tensor:
        self._now.read = rows[:, self._now.shared :]
        return rows

    def _keep_stream(self, rows: Tensor) -> Tensor:
        self._now.stream = rows[:, self._now.shared :]
        return rows

    def _keep_the_middle(self, added: Tensor) -> Tensor:
        assert self._now.stream is not None
        self._now.read = self._now.stream + self._multiplier * added[:, self._now.shared :]
        return added
