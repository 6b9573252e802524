"""Packed attention against the formula, written out for one query at a time; and against transformers' own."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as gpt_oss

from plateaulens.scan.attention import attend, packed_attention

HEADS, KV_HEADS, WIDTH, POINTS = 4, 2, 8, 5
SCALING = 0.6
OPTIONS: list[dict[str, Any]] = [
    {},
    {"window": 1},
    {"window": 3},
    {"window": 6},
    {"cap": 1.5},
    {"sinks": True},
    {"window": 3, "cap": 1.5},
    {"window": 1, "sinks": True},
    {"window": 3, "cap": 1.5, "sinks": True},
]


def parts(shared: int, points: int = POINTS, **options: Any) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
    """Query, key and value of two sequences, and options whose sinks are numbers."""
    rng = torch.Generator().manual_seed(shared)
    query, key, value = (
        torch.randn((2, heads, shared + points, WIDTH), generator=rng) for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    if "sinks" in options:
        options["sinks"] = torch.randn(HEADS, generator=rng)
    return (query, key, value), options


def by_formula(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shared: int,
    *,
    window: int | None = None,
    cap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """One query, one head and one key at a time, in double precision."""
    sequences, heads, tokens, width = query.shape
    result = torch.zeros((sequences, tokens, heads, width), dtype=torch.float64)
    query, key, value = query.double(), key.double(), value.double()
    for sequence in range(sequences):
        for head in range(heads):
            kv_head = head * key.shape[1] // heads
            for token in range(tokens):
                position = min(token, shared)
                seen = [*range(position), token]
                if window is not None:
                    seen = [other for other in seen if position - min(other, shared) < window]
                scores = []
                for other in seen:
                    score = float(query[sequence, head, token] @ key[sequence, kv_head, other]) * SCALING
                    scores.append(score if cap is None else cap * math.tanh(score / cap))
                total = sum(map(math.exp, scores)) + (0.0 if sinks is None else math.exp(float(sinks[head])))
                for other, score in zip(seen, scores, strict=True):
                    result[sequence, token, head] += math.exp(score) / total * value[sequence, kv_head, other]
    return result


@pytest.mark.parametrize("shared", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_the_formula(options: dict[str, Any], shared: int) -> None:
    made, options = parts(shared, **options)
    found = attend(*made, scaling=SCALING, shared=shared, **options)
    torch.testing.assert_close(found.double(), by_formula(*made, shared, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_point_is_what_it_is_alone(options: dict[str, Any]) -> None:
    """However many stand beside it: no window counts them."""
    shared = 5
    made, options = parts(shared, points=60, **options)
    together = attend(*made, scaling=SCALING, shared=shared, **options)
    for point in (0, 31, 59):
        rows = [*range(shared), shared + point]
        query, key, value = (part[:, :, rows] for part in made)
        alone = attend(query, key, value, scaling=SCALING, shared=shared, **options)
        torch.testing.assert_close(together[:, shared + point], alone[:, -1], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together[:, :shared], alone[:, :-1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("window", [None, 1, 2, 4, 9])
@pytest.mark.parametrize(("own", "options"), [(gemma2, {"softcap": 1.5}), (gemma2, {}), (gpt_oss, {"s_aux": True})])
def test_it_is_transformers_own(own: Any, options: dict[str, Any], window: int | None) -> None:
    """With one point, packed tokens are a plain prompt: its mask is what transformers makes of a window."""
    shared = 6
    (query, key, value), made = parts(shared, points=1, **({"sinks": True} if "s_aux" in options else {}))
    given = options | ({"s_aux": made["sinks"]} if "s_aux" in options else {})
    rows, columns = torch.arange(shared + 1)[:, None], torch.arange(shared + 1)
    sees = (columns <= rows) & (columns > rows - (window or shared + 1))
    mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)[None, None]
    module = SimpleNamespace(
        num_key_value_groups=HEADS // KV_HEADS, training=False, head_dim=WIDTH, sinks=made.get("sinks")
    )
    expected, _ = own(module, query, key, value, mask, scaling=SCALING, **given)
    settings: dict[str, Any] = given | {"scaling": SCALING, "sliding_window": window, "dropout": 0.0}
    found, weights = packed_attention(torch.nn.Module(), query, key, value, None, shared=shared, **settings)
    assert weights is None
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
