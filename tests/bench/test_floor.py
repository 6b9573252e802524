"""Operations, counted by hand and by PyTorch."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import floor
from bench.floor import Products, arithmetic
from bench.subjects import written_at
from bench.work import Size
from plateaulens.subject.model import Subject

SIZE = Size(samples=1, types=3, steps=7, length=5)
ROWS = 3 * 7 + 4


def test_llama_by_hand(subject_at: Callable[..., Subject]) -> None:
    """d_model 32, four query heads and two key heads of 8, d_mlp 64, vocabulary 101, two of three blocks."""
    counted = arithmetic(written_at(subject_at("llama"), 1), SIZE)
    weights = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64
    assert sum(product.operations for product in counted.blocks) == 2 * 2 * ROWS * weights
    assert sum(product.operations for product in counted.head) == 2 * 3 * 7 * 32 * 101
    # 21 points see 5 tokens each, 4 earlier tokens see 1 to 4; scores and values are two products over 32 numbers
    assert counted.attention == 2 * 2 * 2 * 32 * (21 * 5 + 10)


def test_long_paths_are_cut_where_the_engine_cuts_them(
    subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = written_at(subject_at("gpt2"), 1)
    whole = arithmetic(subject, SIZE)
    monkeypatch.setattr(floor, "ROWS_PER_HEAD", 3)
    cut = arithmetic(subject, SIZE)
    assert [(product.rows, product.calls) for product in cut.head] == [(3, 6), (1, 3)]
    assert cut.operations == whole.operations


def test_pytorch_counts_the_same_for_the_products_that_are_timed(tiny: Subject) -> None:
    counted = arithmetic(tiny, SIZE)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        Products(counted, torch.device("cpu"), floor.LIBRARIES["PyTorch's own"])._one(0)
    assert counter.get_total_flops() == counted.operations - counted.attention


@pytest.mark.parametrize("library", floor.LIBRARIES)
def test_either_library_runs(library: str, tiny: Subject) -> None:
    Products(arithmetic(tiny, SIZE), torch.device("cpu"), floor.LIBRARIES[library]).run(2)
