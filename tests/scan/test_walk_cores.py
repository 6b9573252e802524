"""One item per core: order, failure, and torch's own threads left as they were."""

import threading
from collections.abc import Iterator

import pytest
import torch

from plateaulens.scan.walk import one_per_core


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
class TestOnePerCore:
    def test_results_come_in_order_and_items_run_side_by_side(self) -> None:
        meeting = threading.Barrier(2, timeout=60)

        def meet(item: int) -> tuple[int, int]:
            meeting.wait()
            return item, torch.get_num_threads()

        assert list(one_per_core(meet, range(4))) == [(0, 1), (1, 1), (2, 1), (3, 1)]

    def test_torch_has_its_threads_back(self) -> None:
        list(one_per_core(str, range(3)))
        assert torch.get_num_threads() == 2

    def test_a_failure_is_raised_and_leaves_nothing_behind(self) -> None:
        with pytest.raises(ZeroDivisionError):
            list(one_per_core(lambda item: 1 / item, (1, 0, 2)))
        assert torch.get_num_threads() == 2
        assert [thread.name for thread in threading.enumerate() if "ThreadPool" in thread.name] == []
