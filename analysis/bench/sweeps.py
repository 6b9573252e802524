"""What a measured rate comes to in a day, and for whole sweeps over models, layers and types."""

from dataclasses import dataclass
from typing import TypedDict

SECONDS_PER_DAY = 86400


@dataclass(frozen=True)
class Shape:
    """A published model by the sizes that its arithmetic depends on."""

    name: str
    blocks: int
    d_model: int
    d_mlp: int
    gated: bool
    query_width: int
    """Heads times their width."""
    key_width: int
    """Of the heads that have keys of their own."""
    vocabulary: int

    @property
    def per_block(self) -> int:
        """Operations of one point in one block, attention's few aside."""
        attention = 2 * self.query_width + 2 * self.key_width
        return 2 * self.d_model * (attention + (3 if self.gated else 2) * self.d_mlp)

    def per_point(self, write: int) -> int:
        """Operations of one point.

        Parameters
        ----------
        write
            The block that it is written before.

        Returns
        -------
        int
            Multiplications and additions.
        """
        return self.per_block * (self.blocks - write) + 2 * self.d_model * self.vocabulary


GPT2_SMALL = Shape("GPT-2 small", 12, 768, 3072, gated=False, query_width=768, key_width=768, vocabulary=50257)
GEMMA2_2B = Shape("Gemma 2 2B", 26, 2304, 9216, gated=True, query_width=2048, key_width=1024, vocabulary=256000)
TYPES, SAMPLES, STEPS = 9, 10_000, 101


class Sweep(TypedDict):
    """A sweep over every write layer of a model, in relative steps."""

    model: str
    layers: int
    points: int
    operations: float
    days: float
    """On one machine like the one measured, at the share of its product rate that the engine reached."""
    machines_for_a_day: int


def sweep(shape: Shape, rate: float) -> Sweep:
    """All layers x 9 types x 10,000 samples x 101 steps.

    Parameters
    ----------
    shape
        The model's.
    rate
        Operations per second.

    Returns
    -------
    Sweep
        What it comes to.

    Examples
    --------
    >>> sweep(GPT2_SMALL, 1e12)["points"]
    109080000
    """
    points = TYPES * SAMPLES * STEPS
    operations = float(points * sum(shape.per_point(write) for write in range(shape.blocks)))
    days = operations / rate / SECONDS_PER_DAY
    return Sweep(
        model=shape.name,
        layers=shape.blocks,
        points=points * shape.blocks,
        operations=operations,
        days=days,
        machines_for_a_day=max(1, -int(-days // 1)),
    )
