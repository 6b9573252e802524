import numpy as np
import pytest

from plateaulens.compare.resampling import Resampling, shared_targets
from plateaulens.errors import UsageError


def test_links_run_over_types_and_from_one_to_the_next() -> None:
    source = np.arange(120).reshape(2, 60)
    source[1, 5] = source[0, 3]  # the control's target of 5 is the real target of 3
    source[0, 9] = source[1, 5 + 1]  # 9 and 6 share one
    source[1, 9] = source[1, 3]  # and so do 9 and 3
    found = shared_targets(source)
    groups = {frozenset(np.flatnonzero(found == cluster).tolist()) for cluster in np.unique(found)}
    assert {group for group in groups if len(group) > 1} == {frozenset({3, 5, 6, 9})}
    assert found.max() + 1 == len(groups) == 57


def test_synthetic_targets_link_nothing() -> None:
    assert shared_targets(np.full((2, 4), -1)).tolist() == [0, 1, 2, 3]


def test_one_large_group_is_refused() -> None:
    with pytest.raises(UsageError, match=r"resample_targets: shared targets link 10 of 20 base prompts"):
        shared_targets(np.array([[7] * 10 + list(range(20, 30))]))


def test_whole_groups_are_drawn_and_left_out() -> None:
    clusters = np.array([0, 1, 0, 2, 3])
    resampling = Resampling.draw(np.random.default_rng(0), samples=5, resamples=50, clusters=clusters)
    assert (resampling.of_prompts[:, 0] == resampling.of_prompts[:, 2]).all()
    drawn = resampling.of_prompts[1:][:, [0, 1, 3, 4]].sum(axis=1)
    assert (drawn == 4).all()
    expected = [[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [1, 0, 1, 1, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 0]]
    assert resampling.jackknife.of_prompts.tolist() == expected


def test_shared_targets_widen_the_interval_of_a_mean() -> None:
    """Twenty prompts' worth of pairs with the same value twice: the standard error of 20, not of 40."""
    values = np.repeat(np.random.default_rng(0).normal(size=20), 2)
    clusters = np.repeat(np.arange(20), 2)
    spread = []
    for linked in (None, clusters):
        resampling = Resampling.draw(np.random.default_rng(1), samples=40, resamples=4000, clusters=linked)
        spread.append((resampling.sums(values) / resampling.sums(np.ones(40)))[1:].std())
    assert spread[1] / spread[0] == pytest.approx(np.sqrt(2), rel=0.1)
