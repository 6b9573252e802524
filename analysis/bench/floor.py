"""The least that a packed scan has to do: its matrix products, counted and timed by themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from bench.work import Size
from plateaulens.scan.direct import VERIFIED
from plateaulens.scan.engine import ROWS_PER_HEAD
from plateaulens.scan.linear import prepare
from plateaulens.scan.walk import one_per_core
from plateaulens.subject.model import Subject

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Product:
    """A linear layer that so many rows of a prompt go through, `calls` times."""

    layer: torch.nn.Module
    rows: int
    calls: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Width of the input and of the output."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        first, second = weight.shape
        return (first, second) if isinstance(self.layer, Conv1D) else (second, first)

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        width, out = self.shape
        return 2 * self.rows * self.calls * width * out


@dataclass(frozen=True)
class Arithmetic:
    """What the scan of one prompt multiplies."""

    blocks: tuple[Product, ...]
    head: tuple[Product, ...]
    attention: int
    """Operations of scores and weighted values: not the product of two matrices of any size."""

    @property
    def operations(self) -> int:
        """Floating-point operations per prompt."""
        return sum(product.operations for product in (*self.blocks, *self.head)) + self.attention


def arithmetic(subject: Subject, size: Size) -> Arithmetic:
    """The products of one prompt, its earlier tokens included, from the write site on.

    Parameters
    ----------
    subject
        The model, of an architecture that the engine runs directly.
    size
        How much work the prompt is part of.

    Returns
    -------
    Arithmetic
        Counted, not run.
    """
    model = subject.model
    assert model is not None, "there is no model beside the bridge"
    points, shared = size.types * size.steps, size.length - 1
    all_blocks: Any = getattr(model.base_model, VERIFIED[model.config.model_type].blocks)
    blocks = all_blocks[subject.write.boundary :]
    linear = [part for block in blocks for part in block.modules() if isinstance(part, torch.nn.Linear | Conv1D)]
    width = subject.config.num_attention_heads * (
        getattr(subject.config, "head_dim", None) or subject.d_model // subject.config.num_attention_heads
    )
    # each point looks at the earlier tokens and itself, each earlier token at those up to itself
    pairs = points * (shared + 1) + shared * (shared + 1) // 2
    head = model.get_output_embeddings()
    whole, rest = divmod(size.steps, ROWS_PER_HEAD)
    heads = [Product(head, ROWS_PER_HEAD, whole * size.types), Product(head, rest, size.types)]
    return Arithmetic(
        tuple(Product(layer, points + shared) for layer in linear),
        tuple(product for product in heads if product.rows and product.calls),
        4 * width * pairs * len(blocks),
    )


class Products:
    """Runs the products of a scan and nothing else, the cores sharing the prompts as the engine has them do.

    Parameters
    ----------
    work
        The products of one prompt.
    device
        Where the model is.
    prepared
        Makes of a linear layer what multiplies; see `LIBRARIES`.
    dtype
        What it multiplies.
    """

    def __init__(
        self,
        work: Arithmetic,
        device: torch.device,
        prepared: Callable[[torch.nn.Module], Layer],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._device = device
        self._calls = [
            (
                prepared(product.layer),
                torch.randn(product.rows, product.shape[0], device=device, dtype=dtype),
                product.calls,
            )
            for product in (*work.blocks, *work.head)
        ]

    def run(self, samples: int) -> None:
        """Multiply once for every prompt.

        Parameters
        ----------
        samples
            The number of prompts.
        """
        for _ in (one_per_core if self._device.type == "cpu" else map)(self._one, range(samples)):
            pass

    @torch.inference_mode()
    def _one(self, _: int) -> None:
        for layer, x, calls in self._calls:
            for _ in range(calls):
                layer(x)


LIBRARIES: dict[str, Callable[[torch.nn.Module], Layer]] = {
    "the engine's prepared layers": lambda layer: prepare(layer, "float32"),
    "PyTorch's own": lambda layer: layer,
}
"""Ways to multiply; the faster one is the floor."""
