"""Paths: their ends to the last bit, even spacing, and the step length in the activation's own units."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from plateaulens.scan.walk import fixed, relative

ENDS = hnp.arrays("float32", (2, 5), elements=st.integers(-8000, 8000).map(lambda eighths: eighths / 8)).map(
    torch.from_numpy
)


class TestRelative:
    @given(ENDS, st.integers(2, 101))
    def test_the_ends_are_base_and_target_to_the_last_bit(self, ends: Tensor, steps: int) -> None:
        path = relative(ends[0], ends[1], steps)
        assert path.shape == (steps, 5)
        assert torch.equal(path[0], ends[0])
        assert torch.equal(path[-1], ends[1])

    @given(ENDS, st.integers(2, 101))
    def test_points_are_evenly_spaced_on_the_line(self, ends: Tensor, steps: int) -> None:
        base, target = ends.double()
        expected = torch.stack([base + (target - base) * step / (steps - 1) for step in range(steps)])
        torch.testing.assert_close(relative(ends[0], ends[1], steps).double(), expected, rtol=1e-5, atol=1e-3)

    def test_a_base_that_is_the_target_stays_put(self) -> None:
        point = torch.tensor([0.1, -0.3, 7.7])
        torch.testing.assert_close(relative(point, point, 11), point.expand(11, 3), rtol=2e-7, atol=0)

    def test_any_number_of_leading_dimensions(self) -> None:
        base, target = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
        path = relative(base, target, 7)
        assert path.shape == (3, 4, 7, 5)
        assert torch.equal(path[2, 1], relative(base[2, 1], target[2, 1], 7))


class TestFixed:
    @given(ENDS, st.floats(0.01, 10))
    def test_the_distance_from_the_base_is_step_times_length(self, ends: Tensor, length: float) -> None:
        path = fixed(ends[0], ends[1], 11, length)
        assert torch.equal(path[0], ends[0])
        moved = (path - ends[0]).double().norm(dim=1)
        expected = 0 if torch.equal(ends[0], ends[1]) else length
        torch.testing.assert_close(moved, torch.arange(11).double() * expected, rtol=1e-3, atol=1e-3)

    def test_the_target_is_passed_when_the_steps_reach_further(self) -> None:
        base, target = torch.tensor([1.0, 1.0]), torch.tensor([4.0, 5.0])
        path = fixed(base, target, 4, 2.5)
        assert path.tolist() == [[1.0, 1.0], [2.5, 3.0], [4.0, 5.0], [5.5, 7.0]]

    @pytest.mark.parametrize("distance", [1e-10, 1e10])
    def test_the_direction_does_not_depend_on_how_far_the_target_is(self, distance: float) -> None:
        path = fixed(torch.zeros(2), torch.tensor([distance, distance]), 2, 1.0)
        torch.testing.assert_close(path[1], torch.full((2,), math.sqrt(0.5)))

    def test_without_a_direction_the_path_stays_at_the_base(self) -> None:
        base = torch.tensor([1.0, -2.0])
        assert torch.equal(fixed(base, base, 5, 3.0), base.expand(5, 2))

    def test_any_number_of_leading_dimensions(self) -> None:
        base, target = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
        path = fixed(base, target, 7, 0.5)
        assert path.shape == (3, 4, 7, 5)
        torch.testing.assert_close(path[2, 1], fixed(base[2, 1], target[2, 1], 7, 0.5))
