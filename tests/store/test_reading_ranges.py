from hypothesis import given
from hypothesis import strategies as st

from plateaulens.store.reading import sample_ranges


@given(st.integers(0, 50), st.integers(1, 60))
def test_spans_cover_every_sample_once_in_order(samples: int, size: int) -> None:
    spans = list(sample_ranges(samples, size))
    assert [index for span in spans for index in range(samples)[span]] == list(range(samples))
    assert all(0 < span.stop - span.start <= size for span in spans)
