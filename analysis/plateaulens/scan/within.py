"""Sites within a block: what a part of it adds to the stream, or is about to, replaced, read or held at points' rows.

The block itself is transformers' own. Hooks on its modules put the points where the site is; what they put belongs to
the thread that runs, as several run one model at once.
"""

import threading
from collections.abc import Iterator, Sequence
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

    first: int
    """The first of the points' rows."""
    points: Float[Tensor, "prompt point width"]
    stream: Float[Tensor, "prompt point d_model"] | None = None
    """At the points' rows, before the block that is read in its middle."""
    read: Float[Tensor, "prompt point width"] | None = None
    """At the points' rows; None before it has passed."""


class WithinBlocks:
    """Hooks at those of a model's sites that are within a block.

    Parameters
    ----------
    model
        Keeps the hooks. It must still run as it was published, with attention that nothing has been done to.
    write, read
        The sites. One between blocks is left to the caller.
    frozen
        What parts of blocks add to the stream, which at the points' rows is held at what it is in the row before them.

    Raises
    ------
    UsageError
        When the model has no such site.
    """

    def __init__(self, model: PreTrainedModel, write: Site, read: Site, frozen: Sequence[Site] = ()) -> None:
        self._of_thread = threading.local()
        between = not (write.is_within_block or read.is_within_block)
        ends = () if between else (write, read)
        anatomy = find_anatomy(model, sorted({site.block for site in (*ends, *frozen)}))
        self._multiplier = anatomy.multiplier
        for site in (*ends, *frozen):
            check_site(anatomy, site)
        assert anatomy.parts is not None
        # in this order: what is read is what was written, and what was held
        held: list[tuple[Site, Change]] = [(site, self._hold) for site in frozen]
        for site, change in [(write, self._put), *held, (read, self._keep)]:
            is_written = change == self._put
            parts = anatomy.parts[site.block]
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
    def running(self, points: Float[Tensor, "prompt point width"], first: int) -> Iterator[Passing]:
        """Have this thread write some points.

        Parameters
        ----------
        points
            Shaped (prompt, point, width).
        first
            The first of the points' rows.

        Yields
        ------
        Passing
            Has what was read once the model has run.
        """
        self._of_thread.now = passing = Passing(first, points)
        try:
            yield passing
        finally:
            del self._of_thread.now

    @property
    def _now(self) -> Passing:
        now: Passing = self._of_thread.now
        return now

    def _put(self, rows: Tensor) -> Tensor:
        return torch.cat([rows[:, : self._now.first], self._now.points], dim=1)

    def _put_in_the_middle(self, added: Tensor) -> Tensor:
        """The caller has the points' rows enter the block as zeros, so that what is added to them is all there is."""
        return torch.cat([added[:, : self._now.first], self._now.points / self._multiplier], dim=1)

    def _hold(self, rows: Tensor) -> Tensor:
        first = self._now.first
        held = rows[:, first - 1 : first].expand(-1, rows.shape[1] - first, -1)
        return torch.cat([rows[:, :first], held], dim=1)

    def _keep(self, rows: Tensor) -> Tensor:
        self._now.read = rows[:, self._now.first :]
        return rows

    def _keep_stream(self, rows: Tensor) -> Tensor:
        self._now.stream = rows[:, self._now.first :]
        return rows

    def _keep_the_middle(self, added: Tensor) -> Tensor:
        assert self._now.stream is not None
        self._now.read = self._now.stream + self._multiplier * added[:, self._now.first :]
        return added
