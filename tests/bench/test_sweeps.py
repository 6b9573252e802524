"""The arithmetic of whole sweeps, against the models' known sizes."""

import pytest

from bench.sweeps import GEMMA2_2B, GPT2_SMALL, Shape, sweep


@pytest.mark.parametrize(("shape", "parameters"), [(GPT2_SMALL, 124.4e6), (GEMMA2_2B, 2.61e9)])
def test_a_point_costs_two_operations_per_weight(shape: Shape, parameters: float) -> None:
    """Biases, norms and GPT-2's positions are no products: less than a hundredth of all parameters."""
    assert shape.per_point(0) / 2 == pytest.approx(parameters, rel=0.01)


def test_days_and_machines() -> None:
    one_day = sweep(GPT2_SMALL, 1.0)["operations"] / 86400
    assert sweep(GPT2_SMALL, one_day)["days"] == pytest.approx(1)
    assert sweep(GPT2_SMALL, one_day / 2.5)["machines_for_a_day"] == 3
    assert sweep(GPT2_SMALL, one_day * 10)["machines_for_a_day"] == 1
