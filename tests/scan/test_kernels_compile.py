"""The Triton kernels compile for cards from Ampere to Hopper and fit into their memory, which needs no card."""

import importlib.util
import os
from itertools import product
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1",
    reason="needs Triton, not interpreted: `nox -s kernels`",
)
MEMORY = {80: 163 * 1024, 86: 99 * 1024, 90: 227 * 1024}
"""Bytes that a program may share, by a card's capability: A100, RTX 30 and A40, H100."""
PLANES = {0: "*fp16", 1: "*fp32", 2: "*bf16", 3: "*fp32"}
"""Pointers by kind of planes, see `plateaulens.scan.kernels`."""


def compiled(name: str, arguments: dict[str, str], constants: dict[str, Any], capability: int, **options: int) -> Any:
    """The kernel's machine code; raises what Triton does when it is not one."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from plateaulens.scan import kernels

    signature = arguments | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=getattr(kernels, name), signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.parametrize("capability", MEMORY)
@pytest.mark.parametrize("kind", PLANES)
def test_rows(kind: int, capability: int) -> None:
    plane = PLANES[kind]
    row = {"out": plane, "out_low": plane}
    common = {"BLOCK": 64, "KIND": kind}
    pointer = {"stream": "*fp32"} | row | {"weights": "*fp32", "factor": "fp32", "eps": "fp32"}
    for weighted in (False, True):
        assert compiled("norm_kernel", pointer, common | {"D": 48, "WEIGHTED": weighted}, capability).asm["ptx"]
    pointer = {"x": "*fp32"} | row | {"back": "*fp32"}
    assert compiled("scale_kernel", pointer, common | {"K": 48, "TOP": 14}, capability).asm["ptx"]
    pointer = {"both": "*fp32"} | row | {"scale": "*fp32"}
    assert compiled("gate_kernel", pointer, common | {"F": 48}, capability).asm["ptx"]


@pytest.mark.parametrize("capability", MEMORY)
@pytest.mark.parametrize(("kind", "then"), [*product((0, 1, 2), (0, 1, 2))])
def test_products(kind: int, then: int, capability: int) -> None:
    """With and without what is optional, of depths that are whole tiles, and that are not and longer than a sum."""
    from plateaulens.scan.split import KINDS, SPAN, tile_of

    layout = next(each for each in KINDS.values() if each.number == kind)
    tile = tile_of(layout, MEMORY[capability])
    plane = PLANES[kind]
    outs = dict.fromkeys(("out", "out_low"), plane if then == 2 else "*fp32")
    pointers = dict.fromkeys(("a", "a_low", "b", "b_low"), plane) | outs
    numbers = dict.fromkeys(("by_row", "by_column", "bias", "other"), "*fp32") | {"rows": "i32", "columns": "i32"}
    for depth, optional in ((192, True), (2200, False)):
        constants: dict[str, Any] = {"K": depth, "SPAN": SPAN, "KIND": kind, "THEN": then, "GROUP": 8}
        constants |= {"BY_ROW": optional, "BIAS": optional, "BM": tile.rows, "BK": tile.depth}
        constants |= {"BN": tile.columns // (2 if then == 2 else 1)}
        made = compiled(
            "product_kernel", pointers | numbers, constants, capability, num_warps=tile.warps, num_stages=tile.stages
        )
        assert made.metadata.shared <= MEMORY[capability]


@pytest.mark.parametrize("capability", MEMORY)
@pytest.mark.parametrize(("kind", "early", "norm"), [*product(PLANES, (True, False), (True, False))])
def test_attention(kind: int, early: bool, norm: bool, capability: int) -> None:
    assert attention(16, 64, capability, kind=kind, early=early, norm=norm) <= MEMORY[capability]


@pytest.mark.parametrize("capability", MEMORY)
@pytest.mark.parametrize(("keys", "size"), [(None, 128), (16, 256), (64, 64)])
def test_large_attention_fits(keys: int | None, size: int, capability: int) -> None:
    """What the kernel shares is no more than `queries_of` takes it for, nor than there is."""
    from plateaulens.scan.fused import MOST_KEYS
    from plateaulens.scan.split import queries_of

    most = keys or MOST_KEYS
    queries = queries_of(most, size, MEMORY[capability])
    if queries is None:  # PyTorch's operations take over
        assert 8 * size * (most + 16) > MEMORY[capability]
        return
    taken_for = (12 if queries == 64 else 8) * size * (most + queries)
    assert attention(most, size, capability, kind=0, early=False, norm=True) <= taken_for <= MEMORY[capability]


def attention(keys: int, size: int, capability: int, *, kind: int, early: bool, norm: bool) -> int:
    """Bytes that the attention kernel shares."""
    from plateaulens.scan.split import queries_of

    plane, queries = PLANES[kind], queries_of(keys, size, MEMORY[capability])
    pointers = {"qkv": "*fp32", "out": plane, "out_low": plane}
    pointers |= dict.fromkeys(("cosines", "sines", "factors", "q_weight", "k_weight"), "*fp32")
    pointers |= {"eps": "fp32", "scaling": "fp32", "tokens": "i32", "shared": "i32", "window": "i32"}
    constants = {"HEADS": 6, "KV": 2, "D": size, "WIDE": size, "KEYS": keys, "BLOCK": 16 if early else queries}
    constants |= {"EARLY": early, "NORM": norm, "KIND": kind}
    return int(compiled("attention_kernel", pointers, constants, capability).metadata.shared)


@pytest.mark.parametrize("capability", MEMORY)
def test_metrics(capability: int) -> None:
    pointers = {"logits": "*fp32", "stats": "*fp32", "top": "*i32"}
    assert compiled("stats_kernel", pointers, {"V": 5000, "BLOCK": 2048}, capability, num_warps=8).asm["ptx"]
    pointers = dict.fromkeys(("logits", "reference", "stats", "reference_stats", "kl", "js"), "*fp32")
    constants = {"STEPS": 101, "V": 5000, "BLOCK": 2048}
    assert compiled("divergence_kernel", pointers, constants, capability, num_warps=8).asm["ptx"]
