"""KL divergence and Jensen-Shannon distance against hand-computed values, SciPy, and what defines them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor

from plateaulens import names
from plateaulens.scan import metrics, outputs
from plateaulens.scan.metrics import cosine, l2
from plateaulens.scan.outputs import Reference


def divergences(logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """KL divergence and Jensen-Shannon distance."""
    kl, js = metrics.divergences(logits, Reference(reference), ("kl", "js")).unbind(-1)
    return kl, js


LOGITS = hnp.arrays("float32", (2, 7), elements=st.floats(-30, 30, width=32))


def logits_of(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def random_logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_l2_distance_is_euclidean_and_per_path() -> None:
    read = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 2.0]]])
    assert l2.measure(read, read[:, 0]).tolist() == [[0.0, 5.0], [0.0, 1.0]]


class TestCosine:
    """1 minus the cosine of the activation and the reference's."""

    def test_by_hand(self) -> None:
        read = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [3.0, 3.0]])
        expected = [0.0, 1.0, 2.0, 1 - math.sqrt(0.5)]
        assert cosine.measure(read, read[0]).tolist() == pytest.approx(expected)

    def test_a_small_turn_keeps_its_precision(self) -> None:
        """1 - cos(a) is a**2 / 2 for small a, which subtracting a float32 cosine from 1 would lose."""
        angle = 1e-4
        read = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
        assert cosine.measure(read, read[0])[1].item() == pytest.approx(angle**2 / 2, rel=1e-3)

    def test_lengths_do_not_matter(self) -> None:
        read = random_logits(5, 8)
        lengths = torch.tensor([[1.0], [2.0], [0.1], [7.0], [30.0]])
        torch.testing.assert_close(cosine.measure(read * lengths, read[0]), cosine.measure(read, read[0]))

    @pytest.mark.parametrize("name", [name for name, each in names.METRICS.items() if each.place == "read"])
    def test_every_metric_of_the_read_site_is_0_at_the_reference(self, name: str) -> None:
        read = random_logits(2, 4, 8)
        measured = metrics.read_metric(name).measure(read, read[:, 0])
        assert measured.shape == (2, 4)
        assert (measured[:, 0] == 0).all()
        assert (measured[:, 1:] > 0).all()


class TestByHand:
    def test_kl_weighs_by_the_reference(self) -> None:
        p, q = logits_of(0.75, 0.25), logits_of(0.5, 0.5)
        assert divergences(q[None], p)[0].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
        assert divergences(p[None], q)[0].item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))

    def test_js_of_a_certain_and_an_even_distribution(self) -> None:
        # m = (3/4, 1/4): KL(p || m) = log2(4/3), KL(q || m) = log2(4/3) / 2 - 1/2 + 1
        certain, even = torch.tensor([0.0, -1000.0]).double(), logits_of(0.5, 0.5)
        bits = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
        assert divergences(certain[None], even)[1].item() == pytest.approx(math.sqrt(bits))
        assert divergences(even[None], certain)[1].item() == pytest.approx(math.sqrt(bits))

    def test_distributions_with_nothing_in_common(self) -> None:
        kl, js = divergences(torch.tensor([[0.0, -500.0, -500.0]]), torch.tensor([-500.0, 0.0, -500.0]))
        assert kl.item() == pytest.approx(500)
        assert js.item() == pytest.approx(1, rel=1e-5)

    def test_a_shift_of_all_logits_changes_nothing(self) -> None:
        p = random_logits(50)
        kl, js = divergences((p + torch.tensor([[-40.0], [0.5], [100.0]])).double(), p.double())
        assert kl.max() < 1e-9
        assert js.max() < 1e-5


class TestAgainstSciPy:
    @given(LOGITS)
    def test_kl_is_scipys_relative_entropy(self, logits: NDArray[np.float32]) -> None:
        p, q = softmax(logits.astype(np.float64), axis=1)
        kl, _ = divergences(torch.from_numpy(logits[1:]).double(), torch.from_numpy(logits[0]).double())
        assert kl.item() == pytest.approx(entropy(p, q), rel=1e-9, abs=1e-13)

    @given(LOGITS)
    def test_js_is_scipys_jensen_shannon_distance(self, logits: NDArray[np.float32]) -> None:
        p, q = softmax(logits.astype(np.float64), axis=1)
        _, js = divergences(torch.from_numpy(logits[1:]).double(), torch.from_numpy(logits[0]).double())
        # SciPy's own result is the root of what cancellation leaves, which may be below 0
        with np.errstate(invalid="ignore"):
            expected = float(np.nan_to_num(jensenshannon(p, q, base=2)))
        assert js.item() == pytest.approx(expected, rel=1e-9, abs=1e-7)

    @given(LOGITS)
    def test_float32_is_close(self, logits: NDArray[np.float32]) -> None:
        double = torch.from_numpy(logits).double()
        for single, exact in zip(
            divergences(torch.from_numpy(logits[1:]), torch.from_numpy(logits[0])),
            divergences(double[1:], double[0]),
            strict=True,
        ):
            assert single.item() == pytest.approx(exact.item(), rel=1e-4, abs=2e-5)


class TestProperties:
    @given(LOGITS)
    def test_bounds(self, logits: NDArray[np.float32]) -> None:
        kl, js = divergences(torch.from_numpy(logits), torch.from_numpy(logits[0]))
        assert (kl >= 0).all()
        assert (js >= 0).all()
        assert (js <= 1 + 1e-6).all()

    @given(LOGITS)
    def test_js_is_symmetric(self, logits: NDArray[np.float32]) -> None:
        p, q = torch.from_numpy(logits)
        assert divergences(q[None], p)[1].item() == pytest.approx(divergences(p[None], q)[1].item(), rel=1e-4, abs=2e-5)

    @given(hnp.arrays("float64", (3, 7), elements=st.floats(-30, 30)))
    def test_js_obeys_the_triangle_inequality(self, logits: NDArray[np.float64]) -> None:
        p, q, r = torch.from_numpy(logits)
        (direct, first), second = divergences(torch.stack([r, q]), p)[1], divergences(r[None], q)[1]
        assert direct <= first + second.item() + 1e-7

    @given(hnp.arrays("float32", 9, elements=st.floats(-300, 300, width=32)))
    def test_the_reference_itself_is_at_exactly_0(self, logits: NDArray[np.float32]) -> None:
        reference = torch.from_numpy(logits)
        kl, js = divergences(reference.expand(3, -1), reference)
        assert kl.tolist() == js.tolist() == [0, 0, 0]


class TestPrecision:
    @pytest.mark.parametrize("size", [1e-1, 1e-2, 1e-3])
    def test_small_changes_of_a_large_vocabulary(self, size: float) -> None:
        """A sum of differences of entropies would have lost everything at the smallest of them."""
        p = random_logits(50_000)
        q = p + size * random_logits(1, 50_000, seed=1)
        for single, exact in zip(divergences(q, p), divergences(q.double(), p.double()), strict=True):
            assert single.item() == pytest.approx(exact.item(), rel=5e-3)

    def test_a_token_that_only_the_perturbed_model_expects(self) -> None:
        """Its probability in the reference underflows: it adds half a bit to JSD all the same."""
        reference = torch.tensor([0.0, -150.0])
        _, js = divergences(torch.tensor([[-150.0, 0.0], [0.0, 0.0]]), reference)
        exact = divergences(torch.tensor([[-150.0, 0.0], [0.0, 0.0]]).double(), reference.double())[1]
        torch.testing.assert_close(js.double(), exact, rtol=1e-5, atol=0)

    def test_tokens_that_are_ruled_out_on_both_sides(self) -> None:
        kl, js = divergences(torch.tensor([[0.0, 0.0, -math.inf]]), torch.tensor([0.0, 0.0, -math.inf]))
        assert (kl.item(), js.item()) == (0, 0)


def test_the_cut_into_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = random_logits(9, 40)
    whole = divergences(logits, logits[0])
    monkeypatch.setattr(outputs, "NUMBERS_IN_CACHE", 100)
    cut = divergences(logits, logits[0])
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-7)
    assert cut[0].shape == (9,)


class TestTopToken:
    @given(hnp.arrays("float32", st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.integers(-2, 2)))
    def test_it_is_the_first_of_the_largest_logits(self, logits: NDArray[np.float32]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outputs, "GROUP", 4)
            assert outputs.top_token(torch.from_numpy(logits)).tolist() == logits.argmax(axis=1).tolist()

    @pytest.mark.parametrize("vocabulary", [255, 256, 257, 1000])
    def test_at_the_ends_of_the_groups(self, vocabulary: int) -> None:
        assert outputs.top_token(torch.eye(vocabulary)).tolist() == list(range(vocabulary))

    def test_a_logit_that_is_no_number_is_the_largest(self) -> None:
        logits = torch.zeros(1, 600)
        logits[0, [70, 300]] = torch.tensor([5.0, math.nan])
        assert outputs.top_token(logits).item() == 300


@pytest.mark.parametrize("name", [name for name, each in names.METRICS.items() if each.place == "output"])
def test_every_metric_of_the_output_is_0_at_the_reference(name: str) -> None:
    logits = random_logits(4, 50)
    measured = metrics.divergences(logits, Reference(logits[0]), [name])
    assert measured.shape == (4, 1)
    assert measured[0, 0] == 0
    assert (measured[1:] > 0).all()


def test_a_metric_changes_nothing_for_those_that_follow() -> None:
    logits = random_logits(4, 50)
    reference = Reference(logits[0])
    together = metrics.divergences(logits, reference, ("js", "kl", "js"))
    alone = [metrics.divergences(logits, reference, [name])[:, 0] for name in ("js", "kl", "js")]
    assert torch.equal(together, torch.stack(alone, dim=-1))


def test_no_metric_of_the_output_is_none() -> None:
    logits = random_logits(4, 50)
    assert metrics.divergences(logits, Reference(logits[0]), []).shape == (4, 0)
