"""Walking through the base prompts of a run in pieces that fit in memory."""

from collections.abc import Iterator

SAMPLES_PER_BLOCK = 512
"""With nine activation types, three metrics and 101 steps, a block of curves is 11 MB in double precision."""


def sample_blocks(samples: int, size: int = SAMPLES_PER_BLOCK) -> Iterator[slice]:
    """Consecutive ranges that together cover `samples` base prompts, each of at most `size`.

    >>> list(sample_blocks(5, size=2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(start, min(start + size, samples)) for start in range(0, samples, size))
