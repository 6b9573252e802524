"""Targets moved to the real one's norm and distances: exact, nearest of all such points, refused without any."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from plateaulens.errors import UsageError
from plateaulens.targets.matching import matched


def points(seed: int, d: int) -> torch.Tensor:
    """Target, real, base and mean, of unequal lengths."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((4, d)) * rng.uniform(0.1, 30, (4, 1)))


@given(seed=st.integers(0, 10**6), d=st.integers(3, 20))
def test_norm_and_both_distances_are_those_of_the_real_target(seed: int, d: int) -> None:
    target, real, base, mean = points(seed, d)
    found = matched(target, real, base, mean)
    for origin in (torch.zeros(d), base, mean):
        torch.testing.assert_close((found - origin).norm(), (real - origin).norm(), rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 10**6), d=st.integers(4, 12))
def test_no_other_such_point_is_nearer_to_the_target(seed: int, d: int) -> None:
    """Others are made by turning what is outside of the plane of base and mean, which keeps all three numbers."""
    target, real, base, mean = points(seed, d)
    found = matched(target, real, base, mean)
    plane, _ = torch.linalg.qr(torch.stack([base, mean], dim=1))
    inside = plane @ (plane.T @ found)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 0.1, 10.0):
        moved = found + size * torch.from_numpy(rng.standard_normal(d))
        rest = moved - plane @ (plane.T @ moved)
        other = inside + rest * ((found - inside).norm() / rest.norm())
        torch.testing.assert_close((other - base).norm(), (real - base).norm(), rtol=1e-9, atol=1e-9)
        assert (other - target).norm() >= (found - target).norm() - 1e-9


@given(seed=st.integers(0, 10**6), d=st.integers(3, 9), case=st.sampled_from(["zero mean", "zero base", "alike"]))
def test_where_base_and_mean_span_a_line(seed: int, d: int, case: str) -> None:
    """Nothing but the line is held, so that what is across keeps its direction in all of its dimensions."""
    target, real, base, mean = points(seed, d)
    if case == "zero mean":
        mean = torch.zeros(d)
    elif case == "zero base":
        base = torch.zeros(d)
    else:
        mean = -2 * base
    axis = torch.nn.functional.normalize(base if base.any() else mean, dim=0)
    found = matched(target, real, base, mean)
    rest, wanted = (each.double() - axis * (axis @ each.double()) for each in (target, real))
    expected = axis * (axis @ real) + rest * (wanted.norm() / rest.norm())
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


def test_the_real_target_stays() -> None:
    _, real, base, mean = points(3, 8)
    torch.testing.assert_close(matched(real, real, base, mean), real, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10**6), along=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_a_target_in_the_plane_is_refused(seed: int, along: tuple[float, float]) -> None:
    """What is left of it is a rounding error, which no length makes a direction of."""
    _, real, base, mean = points(seed, 6)
    assume(max(map(abs, along)) > 1e-3)
    cosine = torch.nn.functional.cosine_similarity(base, mean, dim=0)
    assume(abs(float(cosine)) < 0.99)
    with pytest.raises(UsageError, match=r"lies in the plane of the base and the mean.*leave out `matched`"):
        matched(along[0] * base + along[1] * mean, real, base, mean)
