from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.config import TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.structured import Structured, replace_by_cosine


def at_angles(*degrees: float) -> torch.Tensor:
    """Decoder rows in a plane, so that a cosine is that of the difference of two angles."""
    radians = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def chosen(dictionary: Dictionary, code: dict[int, float], **config: float) -> dict[int, float]:
    latents = np.array(sorted(code), np.int64)
    activations = np.array([code[latent] for latent in latents], np.float32)
    settings = TargetConfig.model_validate({"types": ("real",), **config})
    result = replace_by_cosine(Code(latents, activations), dictionary, settings)
    return dict(zip(result.latent.tolist(), result.activation.tolist(), strict=True))


def reference(
    decoder: np.ndarray, frequency: list[float], code: dict[int, float], anchor_cosine: float, anchor_pool: int
) -> dict[int, float]:
    """The recipe, word by word; a cosine of a zero row is infinite, so that it is nearest to nothing."""

    def cosine(i: int, j: int) -> float:
        lengths = float(np.linalg.norm(decoder[i]) * np.linalg.norm(decoder[j]))
        return float(decoder[i] @ decoder[j]) / lengths if lengths else float("inf")

    code = {i: value for i, value in code.items() if decoder[i].any()}
    if not code:
        return {}
    top = max(sorted(code), key=lambda i: code[i])
    others = [j for j in range(len(decoder)) if j != top and decoder[j].any()]
    pool = sorted(others, key=lambda j: (abs(frequency[j] - frequency[top]), j))[:anchor_pool]
    anchor = min(sorted(pool), key=lambda j: abs(cosine(top, j) - anchor_cosine))
    result: dict[int, float] = {}
    for i in sorted(code):
        unused = [j for j in range(len(decoder)) if j not in result]
        if i == top and anchor in unused:
            result[anchor] = code[i]
        else:
            similarity = 1.0 if i == top else cosine(top, i)
            result[min(unused, key=lambda j: abs(cosine(anchor, j) - similarity))] = code[i]
    return result


@given(
    seed=st.integers(0, 10**6),
    latents=st.integers(2, 30),
    anchor_pool=st.integers(1, 40),
    anchor_cosine=st.floats(-1, 1),
)
def test_agrees_with_the_recipe_written_naively(
    transparent: Callable[..., Dictionary], seed: int, latents: int, anchor_pool: int, anchor_cosine: float
) -> None:
    rng = np.random.default_rng(seed)
    decoder = rng.standard_normal((latents, min(6, latents)))
    decoder[rng.random(latents) < 0.1] = 0
    decoder[:2] = rng.standard_normal((2, decoder.shape[1]))
    frequency = (rng.integers(0, 10, latents) / 64).tolist()
    active = rng.choice(latents, size=rng.integers(0, latents + 1), replace=False)
    code = {int(i): float(rng.integers(1, 9)) / 2 for i in active}
    expected = reference(decoder, frequency, code, anchor_cosine, anchor_pool)
    dictionary = transparent(frequency, torch.tensor(decoder))
    found = chosen(dictionary, code, anchor_cosine=anchor_cosine, anchor_pool=anchor_pool)
    assert found == expected
    assert sorted(found.values()) == sorted(code[i] for i in code if decoder[i].any())


def test_by_hand(transparent: Callable[..., Dictionary]) -> None:
    """Top 2 at 0 degrees; anchor 0 at 65 (cosine .423); latent 3 has cosine .866, so 1 (.906) and not 3 (.819)."""
    dictionary = transparent([0.5] * 6, at_angles(65, 90, 0, 30, 180, 120))
    assert chosen(dictionary, {2: 5.0, 3: 1.0}) == {0: 5.0, 1: 1.0}


def test_anchor_comes_from_the_latents_nearest_in_frequency(transparent: Callable[..., Dictionary]) -> None:
    """Latent 0 has the wanted cosine but not the frequency; of the pool {3, 4}, 3 (.866) is nearer to .42."""
    dictionary = transparent([0.0, 0.125, 0.5, 0.5, 0.625, 0.25], at_angles(65, 90, 0, 30, 180, 120))
    assert chosen(dictionary, {2: 5.0}, anchor_pool=2) == {3: 5.0}
    assert chosen(dictionary, {2: 5.0}, anchor_pool=5) == {0: 5.0}
    assert chosen(dictionary, {2: 5.0}, anchor_pool=100) == {0: 5.0}


def test_anchor_cosine_is_configured(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.5] * 4, at_angles(0, 90, 60, 180))
    assert chosen(dictionary, {0: 1.0}, anchor_cosine=-0.9) == {3: 1.0}
    assert chosen(dictionary, {0: 1.0}, anchor_cosine=0.1) == {1: 1.0}


def test_ties_go_to_the_lowest_id(transparent: Callable[..., Dictionary]) -> None:
    """Tops 1 and 3 tie; anchors 0 and 2 tie in cosine; 4 and 5, copies of one row, tie for latent 3."""
    dictionary = transparent([0.5] * 6, torch.tensor([[0.0, 1], [1, 0], [0, -1], [-1, 0], [-1, -2], [-1, -2]]))
    assert chosen(dictionary, {1: 2.0, 3: 2.0}, anchor_cosine=0.0) == {0: 2.0, 2: 2.0}
    assert chosen(dictionary, {1: 2.0, 2: 1.0, 3: 1.0}, anchor_cosine=0.0) == {0: 2.0, 1: 1.0, 2: 1.0}


def test_anchor_pool_ties_go_to_the_lowest_id(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.25, 0.75, 0.5, 0.25], at_angles(65, 65, 0, 65))
    assert chosen(dictionary, {2: 1.0}, anchor_pool=1) == {0: 1.0}


def test_anchors_of_equal_cosine_go_to_the_lowest_id_not_the_nearest_frequency(
    transparent: Callable[..., Dictionary],
) -> None:
    dictionary = transparent([0.25, 0.5, 0.5], torch.tensor([[0.0, 1], [1, 0], [0, -1]]))
    assert chosen(dictionary, {1: 1.0}, anchor_cosine=0.0) == {0: 1.0}


def test_the_anchor_can_be_taken_before_the_top_latent_is_reached(transparent: Callable[..., Dictionary]) -> None:
    """Latent 0 is 1 degree from top 3 and comes first, so it takes anchor 1; the top takes 2, next to the anchor."""
    dictionary = transparent([0.5] * 5, at_angles(1, 65, 70, 0, 200))
    assert chosen(dictionary, {0: 1.0, 3: 9.0}) == {1: 1.0, 2: 9.0}


def test_the_top_latent_goes_to_the_anchor_and_not_to_a_copy_of_it(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.5, 0.125, 0.5], at_angles(0, 65, 65))
    assert chosen(dictionary, {0: 1.0}, anchor_pool=1) == {2: 1.0}


def test_latents_without_a_direction_are_never_chosen(transparent: Callable[..., Dictionary]) -> None:
    """Latents 0 and 3 are zero rows; active, 3 is left out although strongest. Top 1 at 0 degrees, anchor 4 at 60;
    2 has cosine -.17 and takes 1 (.5) rather than itself (.77), which is left for 4."""
    rows = torch.cat([torch.zeros((1, 2)), at_angles(0, 100).float(), torch.zeros((1, 2)), at_angles(60).float()])
    dictionary = transparent([0.5] * 5, rows)
    assert chosen(dictionary, {1: 2.0, 2: 1.0, 3: 9.0, 4: 0.5}) == {4: 2.0, 1: 1.0, 2: 0.5}
    assert chosen(dictionary, {3: 9.0}) == {}


def test_every_latent_active_uses_every_latent_once(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.5] * 4, at_angles(0, 50, 120, 230))
    found = chosen(dictionary, {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})
    assert sorted(found) == [0, 1, 2, 3]
    assert sorted(found.values()) == [1.0, 2.0, 3.0, 4.0]


def test_strength_is_compared_among_active_latents_only() -> None:
    """With negative activations only, an inactive latent (0) is not the top one."""
    dictionary = Dictionary(torch.clone, torch.clone, at_angles(0, 65), torch.ones(2))
    assert chosen(dictionary, {1: -2.0}) == {0: -2.0}


def test_a_single_direction_is_an_error(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.ones((1, 2)), transparent([0.5, 0.5], torch.tensor([[1.0, 0], [0, 0]])))
    with pytest.raises(UsageError, match="'structured', sample 4: no latent but 0 has a decoder direction"):
        draw(Structured(), context.bases(torch.tensor([[1.0, 0]]), [4], [0]), context)


def test_target_decodes_the_replacement(context_of: Callable[..., TargetContext]) -> None:
    rows = at_angles(65, 90, 0, 30).float()
    dictionary = Dictionary(
        lambda x: x @ torch.tensor([[0, 0, 5.0, 1.0], [0, 0, 0, 0]]), lambda f: f @ rows + 7, rows, torch.ones(4)
    )
    context = context_of(torch.ones((1, 2)), dictionary)
    result = draw(Structured(), context.bases(torch.ones((1, 2)), [0], [0]), context)
    torch.testing.assert_close(result.activation[0], 5 * rows[0] + rows[1] + 7)
    assert result.source_row.tolist() == [-1]


def test_no_active_latent_gives_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    dictionary = Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.ones(2))
    context = context_of(torch.ones((1, 2)), dictionary)
    result = draw(Structured(), context.bases(torch.tensor([[-1.0, 0.0]]), [0], [0]), context)
    assert result.activation.tolist() == [[7.0, 7.0]]
