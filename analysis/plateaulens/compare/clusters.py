"""Base prompts that share a real target, for resampling that keeps them together.

Two base prompts whose real targets come from the same prompt are not independent: what is peculiar to that target is in
both of their curves. With the graph that links two base prompts whenever they share a target prompt, in the same type
or in two different ones, its connected components are independent of each other, and the bootstrap draws components.

The alternative for crossed designs, to draw base prompts and target prompts separately and to multiply their counts
(the pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1:386), does not need components to be small, but
counts the variance of what belongs to a single pair of prompts three times: where most targets serve one base, as here,
its intervals are up to 1.7 times too wide.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plateaulens.errors import UsageError

LARGEST_SHARE = 0.1
"""A bootstrap that draws one block of the data as a whole, or not at all, has few effective draws of the rest."""


def shared_targets(source_row: NDArray[np.integer]) -> NDArray[np.int_]:
    """Number the groups of base prompts that are linked by shared targets: (type, sample) to (sample,).

    `source_row` is the row of the prompt file that a target came from, negative where it came from none.

    Raises `UsageError` when one group holds more than a tenth of the base prompts (and more than one of them), where
    drawing groups no longer works.

    >>> shared_targets(np.array([[*range(19), 0], [-1] * 20]))
    array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16,
           17, 18,  0])
    """
    clusters = linked_prompts(source_row)
    samples, largest = len(clusters), int(np.bincount(clusters).max(initial=0))
    if largest > max(1, LARGEST_SHARE * samples):
        raise UsageError(
            f"analysis.resample_targets: shared targets link {largest} of {samples} base prompts to one group, too "
            "many to resample by group: use more prompts in the prompt file, or fewer samples, or switch it off"
        )
    return clusters


def linked_prompts(source_row: NDArray[np.integer]) -> NDArray[np.int_]:
    """The same numbers, however large a group is.

    >>> linked_prompts(np.array([[7, 8, 9], [9, 7, 5]]))
    array([0, 0, 0])
    """
    samples = source_row.shape[1]
    _, sample = np.nonzero(source_row >= 0)
    rows, row = np.unique(source_row[source_row >= 0], return_inverse=True)
    size = samples + len(rows)
    links = coo_array((np.ones(len(sample)), (sample, samples + row)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return np.unique(component[:samples], return_inverse=True)[1].astype(np.int_)
