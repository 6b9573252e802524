import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.errors import UsageError
from plateaulens.targets.dictionary import Code, Dictionary

ROWS = torch.randn((200, 16), generator=torch.Generator().manual_seed(3))


def test_encode_keeps_the_active_latents_in_order_of_id(transparent: Callable[..., Dictionary]) -> None:
    code = transparent([0.1] * 5).encode(torch.tensor([0.0, 3.0, -1.0, 0.0, 0.5]))
    assert code.latent.tolist() == [1, 4]
    assert code.activation.tolist() == [3.0, 0.5]
    assert len(code) == 2


def test_a_negative_activation_is_active() -> None:
    dictionary = Dictionary(torch.clone, torch.clone, torch.eye(2), torch.ones(2))
    assert dictionary.encode(torch.tensor([-2.0, 0.0])).latent.tolist() == [0]


def test_decode_inverts_encode_whatever_the_order_of_latents(relu_sae: Callable[..., Dictionary]) -> None:
    dictionary = relu_sae(8, 20)
    x = torch.linspace(-2, 2, 8)
    expected = dictionary.reconstructor(dictionary.encoder(x[None]))[0]
    code = dictionary.encode(x)
    assert len(code) > 1
    decoded = dictionary.decode(code)
    torch.testing.assert_close(decoded, expected)
    assert dictionary.decode(Code(code.latent[::-1].copy(), code.activation[::-1].copy())).equal(decoded)


@pytest.mark.parametrize(
    "own",
    [
        lambda f: (f @ ROWS).tanh(),
        lambda f: 1.001 * f @ ROWS,
        lambda f: f.clamp(max=5) @ ROWS,
        lambda f: f.relu() @ ROWS,
        lambda f: f @ (ROWS * torch.tensor([1.0, 2.0]).repeat(100)[:, None]),
    ],
    ids=["bent", "stronger", "bounded", "one sign", "every other one"],
)
def test_what_adds_up_more_than_decoder_rows_decodes_by_itself(own: Callable[[torch.Tensor], torch.Tensor]) -> None:
    code = Code(np.array([0, 17]), np.array([1.0, 20.0], np.float32))
    dense = torch.zeros(1, 200)
    dense[0, [0, 17]] = torch.tensor([1.0, 20.0])
    dictionary = Dictionary(torch.clone, own, ROWS, torch.ones(200))
    assert dictionary.decode(code).equal(own(dense)[0])
    with pytest.raises(UsageError, match="more than adding up decoder rows"):
        dictionary.with_decoder(ROWS)


def test_rows_that_cancel_are_added_up() -> None:
    rows = torch.cat([ROWS, -ROWS])
    dictionary = Dictionary(torch.clone, lambda f: f @ rows, rows, torch.ones(400))
    assert dictionary.with_decoder(rows).decoder is rows


def test_codes_are_decoded_together_as_alone_none_too(relu_sae: Callable[..., Dictionary]) -> None:
    def frames(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.norm(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)

    plain = relu_sae(8, 20)
    for dictionary in (plain, dataclasses.replace(plain, frames=frames)):
        codes = dictionary.encode_each(torch.linspace(-2, 3, 160).reshape(20, 8), range(5, 25))
        together = dictionary.decode_each(codes)
        assert together.equal(torch.stack([dictionary.decode(code) for code in codes]))
        assert dictionary.decode_each([]).shape == (0, 8)


def test_decode_of_no_latent_is_the_decoder_of_zeros(relu_sae: Callable[..., Dictionary]) -> None:
    dictionary = relu_sae(8, 20)
    empty = Code(np.empty(0, np.int64), np.empty(0, np.float32))
    assert dictionary.decode(empty).equal(dictionary.reconstructor(torch.zeros(1, 20))[0])


def test_decode_refuses_a_latent_twice(transparent: Callable[..., Dictionary]) -> None:
    with pytest.raises(AssertionError, match="twice"):
        transparent([0.1] * 3).decode(Code(np.array([1, 1]), np.ones(2, np.float32)))


def test_no_gradient_is_kept(relu_sae: Callable[..., Dictionary]) -> None:
    weight = torch.nn.Parameter(torch.eye(3))
    dictionary = Dictionary(lambda x: x @ weight, lambda f: f @ weight, weight, torch.ones(3))
    assert not dictionary.decode(dictionary.encode(torch.ones(3))).requires_grad
    assert dictionary.cosines(0).tolist() == [1, 0, 0]


def test_mean_code_norm_is_the_same_however_many_activations(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.1] * 2)
    assert dictionary.mean_code_norm(torch.tensor([[3.0, 4.0], [-1.0, 1.0]])) == 3.0
    assert dictionary.mean_code_norm(torch.tensor([[3.0, 4.0]]).expand(600, 2)) == 5.0


def test_live_latents_have_a_frequency_above_zero(transparent: Callable[..., Dictionary]) -> None:
    assert transparent([0.0, 1e-9, 0.0, 0.5]).live.tolist() == [1, 3]


def test_cosines_by_hand_and_without_a_direction(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.1] * 4, torch.tensor([[2.0, 0], [3, 3], [0, 0], [-1, 0]]))
    np.testing.assert_allclose(dictionary.cosines(0), [1, np.sqrt(0.5), np.nan, -1], atol=1e-12)
    np.testing.assert_allclose(dictionary.cosines(1, np.array([3, 0])), [-np.sqrt(0.5), np.sqrt(0.5)], atol=1e-12)
    assert np.isnan(dictionary.cosines(2)).all()
    assert dictionary.pointing.tolist() == [True, True, False, True]


def test_nearest_in_frequency_by_hand(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.5, 0.25, 0.0, 0.75, 0.5, 0.375])
    assert dictionary.nearest_in_frequency(0, 3).tolist() == [4, 5, 1]  # 1 and 3 are equally far: the lower id
    assert dictionary.nearest_in_frequency(0, 99).tolist() == [4, 5, 1, 3, 2]
    excluded = np.array([False, True, False, False, True, False])
    assert dictionary.nearest_in_frequency(0, 2, excluded=excluded).tolist() == [5, 3]
    assert dictionary.nearest_in_frequency(0, 1, excluded=np.ones(6, bool)).tolist() == []


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    latent=st.integers(0, 29),
    size=st.integers(1, 32),
    seed=st.integers(0, 99),
)
def test_nearest_in_frequency_sorts_by_distance_then_id(
    transparent: Callable[..., Dictionary], counts: list[int], latent: int, size: int, seed: int
) -> None:
    latent %= len(counts)
    excluded = np.random.default_rng(seed).random(len(counts)) < 0.3
    others = [j for j in range(len(counts)) if j != latent and not excluded[j]]
    expected = sorted(others, key=lambda j: (abs(counts[j] - counts[latent]), j))[:size]
    dictionary = transparent([count / 64 for count in counts])
    assert dictionary.nearest_in_frequency(latent, size, excluded).tolist() == expected


@pytest.mark.parametrize(
    ("decoder", "frequency", "message"),
    [
        (torch.eye(3), torch.ones(2), r"3 decoder rows but firing frequencies of shape \(2,\)"),
        (torch.tensor([[1.0], [torch.nan]]), torch.ones(2), "decoder row of latent 1"),
        (torch.eye(2), torch.tensor([torch.inf, 0]), "frequency of latent 0"),
        (torch.eye(2), torch.tensor([0.5, -0.1]), "frequency of latent 1"),
    ],
)
def test_unusable_weights_are_refused(decoder: torch.Tensor, frequency: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Dictionary(torch.clone, torch.clone, decoder, frequency)


class TestResidue:
    def test_it_counts_latents_and_what_is_lacking(self, transparent: Callable[..., Dictionary]) -> None:
        """Negative parts are no latents of this SAE, and are lacking."""
        found = transparent([0.1] * 3).residue(torch.tensor([[3.0, 0.0, 4.0], [0.0, -3.0, -4.0]]), range(2))
        assert found.latents.tolist() == [2, 0]
        assert found.error.tolist() == [0.0, 5.0]

    @given(first=st.integers(0, 30), count=st.integers(1, 30), cut=st.integers(0, 30))
    def test_rows_do_not_depend_on_the_company(
        self, relu_sae: Callable[..., Dictionary], first: int, count: int, cut: int
    ) -> None:
        dictionary, cut = relu_sae(8, 20), min(cut, count - 1)
        rows = torch.linspace(-2, 3, 8 * count).reshape(count, 8)
        number = range(first, first + count)
        whole, rest = dictionary.residue(rows, number), dictionary.residue(rows[cut:], number[cut:])
        assert whole.error[cut:].tolist() == rest.error.tolist()
        assert whole.latents[cut:].tolist() == rest.latents.tolist()
        assert whole.latents.tolist() == [len(dictionary.encode(row)) for row in rows]

    def test_an_error_beyond_single_precision_is_its_largest_number(
        self, transparent: Callable[..., Dictionary]
    ) -> None:
        row = torch.full((1, 3), -3e38)
        assert transparent([0.1] * 3).residue(row, [0]).error.tolist() == [float(np.finfo(np.float32).max)]
