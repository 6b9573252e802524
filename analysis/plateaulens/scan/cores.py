"""Work on all cores, one item on each."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_per_core(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, with as many items under way as torch has threads, and each of them computed by one thread.

    Sharing every single tensor operation among the cores would have them wait for each other thousands of times per
    item, which takes far longer than the work itself as soon as another program wants one of the cores. It would also
    let the rounding depend on the number of cores.

    >>> list(one_per_core(lambda item: (item, torch.get_num_threads()), "ab"))
    [('a', 1), ('b', 1)]
    """
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(cores)
