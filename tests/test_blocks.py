from hypothesis import given
from hypothesis import strategies as st

from plateaulens.blocks import sample_blocks


@given(st.integers(0, 50), st.integers(1, 60))
def test_blocks_cover_every_sample_once_in_order(samples: int, size: int) -> None:
    blocks = list(sample_blocks(samples, size))
    assert [index for block in blocks for index in range(samples)[block]] == list(range(samples))
    assert all(0 < block.stop - block.start <= size for block in blocks)
