"""What fitted types learn from: distances by brute force, means of tokens and SAE errors against what made them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.fitting import SAME, Codes, Corpus, Fitting, SaeError, Tokens, regress


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def corpus_of(activation: torch.Tensor) -> Corpus:
    return Corpus(activation, np.arange(len(activation)), torch.zeros_like(activation))


class TestCorpus:
    def test_without_activations(self) -> None:
        with pytest.raises(UsageError, match="no activations to fit types to; supply more prompts"):
            corpus_of(torch.zeros((0, 3)))

    def test_with_one_that_is_not_finite(self) -> None:
        with pytest.raises(UsageError, match="fitted to is not finite"):
            corpus_of(torch.tensor([[1.0], [torch.inf]]))

    @pytest.mark.parametrize("far", [0.0, 1e4])
    def test_distances_are_those_of_brute_force(self, far: float) -> None:
        """More activations than are compared at once, far from the origin too, and targets that are copies."""
        corpus = corpus_of(normal(4500, 24) + far)
        targets = torch.cat([normal(20, 24, seed=1) + far, corpus.activation[[0, 4096, 4499]], normal(2, 24) + 3 * far])
        expected = (targets[:, None].double() - corpus.activation.double()).norm(dim=2).amin(dim=1)
        np.testing.assert_allclose(corpus.distance(targets), expected, rtol=1e-6)
        assert (corpus.distance(targets)[20:23] == 0).all()
        for part in (slice(0, 1), slice(19, 22)):
            np.testing.assert_array_equal(corpus.distance(targets[part]), corpus.distance(targets)[part])

    def test_the_nearest_is_passed_over_where_it_is_the_same(self) -> None:
        corpus = corpus_of(torch.tensor([[1000.0, 0], [1000, 0.9 * SAME], [1000, 0.01], [0, 0], [1000, -0.5]]))
        assert corpus.nearest(corpus.activation[0]) == 2
        assert corpus.nearest(corpus.activation[2]) == 1
        assert corpus.nearest(torch.tensor([1.0, 0.0])) == 3

    def test_the_first_where_all_are_the_same(self) -> None:
        assert corpus_of(torch.ones((3, 2))).nearest(torch.ones(2)) == 0

    def test_the_nearest_by_brute_force(self) -> None:
        corpus = corpus_of(normal(300, 8))
        for row in range(40):
            apart = (corpus.activation - corpus.activation[row]).norm(dim=1)
            apart[row] = torch.inf
            assert corpus.nearest(corpus.activation[row]) == int(apart.argmin())


class TestRegression:
    @given(seed=st.integers(0, 10**6), rows=st.integers(3, 30), inputs=st.integers(1, 12))
    def test_each_row_is_predicted_by_the_regression_of_the_others(self, seed: int, rows: int, inputs: int) -> None:
        """With the ridge that was chosen and their own weights: solved anew without the row, as the formula says."""
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((rows, inputs)), rng.standard_normal((rows, 2))
        weights = rng.uniform(0.1, 3, rows)
        found = regress(x, y, weights=weights)
        share = weights / weights.sum()
        centred = x - share @ x
        gram = centred.T @ (share[:, None] * centred)
        ridge = min(
            10.0 ** np.arange(-6, 5) * np.trace(gram) / inputs,
            key=lambda each: np.abs(_solved(x, y, share, each)[0] - found.line.weight).max(),
        )
        weight, bias = _solved(x, y, share, ridge)
        np.testing.assert_allclose(found.line.weight, weight, atol=1e-6)
        np.testing.assert_allclose(found.line(x), x @ weight + bias, atol=1e-6)
        for row in range(rows):
            others = np.arange(rows) != row
            weight, bias = _solved(x[others], y[others], share[others], ridge)
            np.testing.assert_allclose(found.without[row], x[row] @ weight + bias, atol=1e-4)

    def test_inputs_that_say_nothing_are_ridged_away(self) -> None:
        """And with them the noise: of 40 inputs to 60 rows, least squares would follow most of it."""
        rng = np.random.default_rng(0)
        found = regress(rng.standard_normal((60, 40)), rng.standard_normal((60, 5)))
        assert np.square(found.line.weight).sum() < 0.05

    def test_a_line_is_found(self) -> None:
        rng = np.random.default_rng(0)
        x, w = rng.standard_normal((50, 3)), rng.standard_normal((3, 4))
        found = regress(x, x @ w + 7)
        np.testing.assert_allclose(found.line.weight, w, atol=1e-4)
        np.testing.assert_allclose(found.without, x @ w + 7, atol=1e-4)

    @pytest.mark.parametrize("rows", [1, 2, 5])
    def test_inputs_without_variance_leave_the_mean(self, rows: int) -> None:
        y = np.arange(rows, dtype=np.float64)[:, None]
        found = regress(np.ones((rows, 3)), y)
        np.testing.assert_allclose(found.line(np.ones((1, 3))), y.mean())
        others = (y.sum() - y) / (rows - 1) if rows > 1 else y
        np.testing.assert_allclose(found.without, others)


def _solved(x: np.ndarray, y: np.ndarray, share: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted ridge regression by its normal equations, the intercept as a column without a ridge."""
    wide = np.column_stack([x, np.ones(len(x))])
    gram = wide.T @ (share[:, None] * wide) + ridge * np.diag([1.0] * x.shape[1] + [0.0])
    found = np.linalg.solve(gram, wide.T @ (share[:, None] * y))
    return found[:-1], found[-1]


@dataclass(frozen=True)
class World:
    """Tokens with true means m = embedding W + N(0, a / d), and activations m + N(0, s / d)."""

    context: TargetContext
    truth: np.ndarray
    count: np.ndarray
    token: np.ndarray
    within: float
    around: float

    @classmethod
    def make(cls, fitted_to: Callable[..., TargetContext], *, within: float, around: float, seed: int = 0) -> Self:
        rng, d, tokens = np.random.default_rng(seed), 16, 600
        count = np.maximum(1, (400 / np.arange(1, tokens + 1)).astype(int))
        embedding = rng.standard_normal((tokens, d))
        truth = embedding @ rng.standard_normal((d, d)) / 2
        truth += rng.standard_normal((tokens, d)) * np.sqrt(around / d)
        token = np.repeat(np.arange(tokens), count)
        made = truth[token] + rng.standard_normal((len(token), d)) * np.sqrt(within / d)
        context = fitted_to(
            torch.from_numpy(made).float(), token=token.tolist(), embedding=torch.from_numpy(embedding[token]).float()
        )
        return cls(context, truth, count, token, within, around)


class TestTokens:
    @pytest.mark.parametrize(("within", "around"), [(4.0, 4.0), (9.0, 1.0), (1.0, 6.0)])
    def test_means_are_shrunk_by_n_over_n_plus_k(
        self, within: float, around: float, fitted_to: Callable[..., TargetContext]
    ) -> None:
        """The weight w of a token's own mean is where the mean lies between the prediction and it. k = s / a, and the
        error of the prediction, here of 17 coefficients by 600 tokens, belongs to a."""
        world = World.make(fitted_to, within=within, around=around)
        found = world.context.learned(Tokens)
        activation = world.context.corpus.activation.double().numpy()
        bare = np.array([activation[world.token == each].mean(axis=0) for each in range(len(world.count))])
        single = world.count == 1
        k = within / around
        # E|mean - truth|^2 of the best mean is a s / (n a + s); of the bare one s / n, of the prediction alone a
        best = (around * within / (world.count * around + within))[single].mean()
        error = np.square(found.mean - world.truth).sum(axis=1)[single].mean()
        assert error == pytest.approx(best, rel=0.15)
        assert error < np.square(bare - world.truth).sum(axis=1)[single].mean()
        # the weight itself, by regression of (mean - truth-free) on the noise that a single activation has
        noise = (bare - world.truth)[single]
        slope = float(((found.mean - world.truth)[single] * noise).sum() / np.square(noise).sum())
        assert slope == pytest.approx(1 / (1 + k), abs=0.08)

    @pytest.mark.parametrize(("within", "around"), [(4.0, 4.0), (9.0, 1.0), (1.0, 6.0)])
    def test_what_is_left_is_as_long_as_what_new_activations_leave(
        self, within: float, around: float, fitted_to: Callable[..., TargetContext]
    ) -> None:
        """Of seldom and of frequent tokens: as if the token's mean did not have the activation in it."""
        world = World.make(fitted_to, within=within, around=around, seed=1)
        found = world.context.learned(Tokens)
        rng = np.random.default_rng(9)
        for least, most in ((1, 1), (2, 3), (4, 20), (21, 400)):
            tokens = np.flatnonzero((world.count >= least) & (world.count <= most))
            noise = rng.standard_normal((60, len(tokens), 16)) * np.sqrt(within / 16)
            new = np.square(world.truth[tokens] + noise - found.mean[tokens]).sum(axis=2)
            own = np.square(found.left[np.isin(world.token, tokens)]).sum(axis=1)
            by_token = np.bincount(world.token[np.isin(world.token, tokens)], own)[tokens] / world.count[tokens]
            assert by_token.mean() == pytest.approx(new.mean(), rel=0.12), (least, most)

    def test_both_together_have_the_variance_of_the_corpus(self, fitted_to: Callable[..., TargetContext]) -> None:
        world = World.make(fitted_to, within=4.0, around=4.0, seed=2)
        found, activation = world.context.learned(Tokens), world.context.corpus.activation.numpy()
        means = found.mean[found.of]
        total = np.square(means - means.mean(axis=0)).sum(axis=1).mean() + np.square(found.left).sum(axis=1).mean()
        assert total == pytest.approx(np.square(activation - activation.mean(axis=0)).sum(axis=1).mean(), rel=0.03)

    def test_where_no_token_occurs_twice_only_predictions_are_left(
        self, fitted_to: Callable[..., TargetContext]
    ) -> None:
        context = fitted_to(normal(30, 4), embedding=normal(30, 4, seed=1))
        found = context.learned(Tokens)
        expected = regress(context.corpus.embedding.double().numpy(), context.corpus.activation.double().numpy())
        np.testing.assert_allclose(found.mean, expected.without, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.left, context.corpus.activation.numpy() - found.mean, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("token", [[0] * 6, [0, 0, 0, 1, 1, 1]])
    def test_activations_that_are_their_token_s_mean_leave_nothing(
        self, token: list[int], fitted_to: Callable[..., TargetContext]
    ) -> None:
        context = fitted_to(torch.tensor(token)[:, None].float() + torch.ones(2), token=token)
        found = context.learned(Tokens)
        np.testing.assert_allclose(found.mean[found.of], context.corpus.activation, atol=1e-5)
        np.testing.assert_allclose(found.left, 0, atol=1e-4)


class TestCodes:
    @pytest.fixture(scope="class")
    @staticmethod
    def codes(transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> Codes:
        made = torch.tensor([[0.0, 2, 1, -1], [0, 4, 0, 0], [-1, -1, 0, 0], [0, 0, 5, -2]])
        return fitted_to(made, transparent([0.5] * 4)).learned(Codes)

    def test_by_hand(self, codes: Codes) -> None:
        assert codes.size.tolist() == [2, 1, 0, 1]
        assert codes.fired.tolist() == [1, 2]
        assert codes.frequency.tolist() == [0, 0.5, 0.5, 0]
        assert codes.mean_strength.tolist() == [0, 3, 3, 0]
        assert codes.top.tolist() == [1, 1, -1, 2]
        assert sorted(codes.strengths_of(2)) == [1, 5]
        assert codes.code(0).latent.tolist() == [1, 2]
        assert codes.code(0).activation.tolist() == [2, 1]
        assert len(codes.code(2)) == 0

    def test_strengths_are_drawn_from_the_latent_s_own(self, codes: Codes) -> None:
        rng = np.random.default_rng(0)
        drawn = np.array([codes.draw_strengths([2, 1], rng) for _ in range(400)])
        # 400 draws of two: mean 200, standard deviation 10
        assert set(drawn[:, 0]) == {1, 5}
        assert set(drawn[:, 1]) == {2, 4}
        assert (np.abs((drawn == [5, 4]).sum(axis=0) - 200) < 50).all()

    def test_they_are_the_dictionary_s_one_by_one(
        self, relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
    ) -> None:
        context = fitted_to(2 * normal(600, 12), relu_sae(12, 60))
        codes = context.learned(Codes)
        for row in (0, 1, 255, 256, 599):
            own, found = context.sae.encode(context.corpus.activation[row]), codes.code(row)
            assert np.array_equal(own.latent, found.latent)
            np.testing.assert_allclose(own.activation, found.activation, rtol=1e-4, atol=1e-5)

    def test_an_sae_that_is_never_active(self, fitted_to: Callable[..., TargetContext]) -> None:
        dead = Dictionary(torch.zeros_like, torch.clone, torch.eye(3), torch.ones(3))
        with pytest.raises(UsageError, match="no latent of the SAE is active"):
            fitted_to(normal(4, 3), dead).learned(Codes)

    def test_odds_give_frequencies_over_sizes_that_are_unequal(self) -> None:
        """By the definition: tilted to each size, expected sizes are the sizes, and frequencies the frequencies."""
        rng = np.random.default_rng(0)
        chance = np.array([0.9, 0.6, *np.linspace(0.3, 0.01, 60)])
        active = rng.random((3000, 62)) < np.clip(chance * rng.lognormal(0, 0.8, (3000, 1)), 0, 1)
        active[:, 61] = False
        codes = Codes(sparse.csr_array(active.astype(np.float32)), active.sum(axis=1))
        assert codes.size.std() > 3
        assert codes.log_odds[61] == -np.inf
        found, fired = np.zeros(62), codes.fired
        for size in codes.size[codes.size > 0]:
            low, high = -50.0, 50.0
            for _ in range(60):
                middle = (low + high) / 2
                total = (1 / (1 + np.exp(-codes.log_odds[fired] - middle))).sum()
                low, high = (middle, high) if total < size else (low, middle)
            found[fired] += 1 / (1 + np.exp(-codes.log_odds[fired] - low))
        np.testing.assert_allclose(found / 3000, codes.frequency, atol=5e-4)

    @pytest.mark.parametrize("active", [np.eye(3), np.ones((4, 3)), [[1, 1, 0], [0, 0, 0]], [[1, 0, 0]]])
    def test_odds_of_few_codes_are_numbers(self, active: np.ndarray) -> None:
        made = np.array(active, dtype=np.float32)
        codes = Codes(sparse.csr_array(made), (made > 0).sum(axis=1))
        assert np.isfinite(codes.log_odds[codes.fired]).all()
        for count in range(len(codes.fired) + 1):
            assert len(codes.draw_latents(count, codes.fired, np.random.default_rng(0))) == count

    def test_latents_are_drawn_as_if_each_were_active_by_itself(self) -> None:
        """The chance of each, given how many are active, is that of independent ones, found by listing all sets."""
        frequency = np.array([0.95, 0.6, 0.3, 0.2, 0.05])
        active = np.random.default_rng(1).random((2000, 5)) < frequency
        codes = Codes(sparse.csr_array(active.astype(np.float32)), active.sum(axis=1))
        sets = (np.arange(32)[:, None] >> np.arange(5)) & 1
        chance = np.exp(sets @ codes.log_odds)
        rng = np.random.default_rng(2)
        assert codes.draw_latents(0, np.arange(5), rng).tolist() == []
        assert codes.draw_latents(5, np.arange(5), rng).tolist() == [0, 1, 2, 3, 4]
        for count in (1, 2, 3, 4):
            alike = sets.sum(axis=1) == count
            expected = (chance[alike, None] * sets[alike]).sum(axis=0) / chance[alike].sum()
            drawn = [codes.draw_latents(count, np.arange(5), rng) for _ in range(1000)]
            assert all(each.tolist() == sorted(set(each.tolist())) and len(each) == count for each in drawn)
            found = np.bincount(np.concatenate(drawn), minlength=5) / 1000
            np.testing.assert_allclose(found, expected, atol=4 * 0.5 / 1000**0.5)


class TestSaeError:
    @pytest.fixture(scope="class")
    @staticmethod
    def context(relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> TargetContext:
        return fitted_to(2 * normal(400, 12), relu_sae(12, 60))

    @staticmethod
    def errors(context: TargetContext) -> tuple[torch.Tensor, torch.Tensor]:
        own = context.corpus.activation
        made = torch.stack([context.sae.decode(context.sae.encode(row)) for row in own])
        return made.double(), own.double() - made.double()

    def test_drawn_ones_have_the_moments_of_real_ones(self, context: TargetContext) -> None:
        made, error = self.errors(context)
        found = context.learned(SaeError)
        torch.testing.assert_close(found.plain.mean, error.mean(dim=0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.plain.covariance, error.T.cov(correction=0), rtol=1e-3, atol=1e-3)
        rng = np.random.default_rng(0)
        drawn = torch.stack([found.added(made[0], rng, predicted=False) - made[0] for _ in range(1500)])
        spread = error.T.cov(correction=0)
        # of 1500 draws, to 5 standard deviations of a mean and of a variance
        most = float(spread.diagonal().max())
        torch.testing.assert_close(drawn.mean(dim=0), error.mean(dim=0), rtol=0, atol=5 * (most / 1500) ** 0.5)
        torch.testing.assert_close(drawn.T.cov(), spread, rtol=0, atol=5 * most * (2 / 1500) ** 0.5)

    def test_predicted_ones_have_them_over_the_corpus(self, context: TargetContext) -> None:
        """Covariance of predictions plus that of what is drawn is the errors', to rounding."""
        made, error = self.errors(context)
        found = context.learned(SaeError)
        predictions = torch.from_numpy(found.predicted(made.numpy()))
        torch.testing.assert_close(predictions.mean(dim=0), error.mean(dim=0), rtol=1e-3, atol=1e-3)
        total = predictions.T.cov(correction=0) + found.around.covariance
        torch.testing.assert_close(total, error.T.cov(correction=0), rtol=1e-3, atol=1e-3)
        assert float(torch.linalg.eigvalsh(found.around.covariance).min()) > -1e-9
        rng = np.random.default_rng(0)
        drawn = torch.stack([found.added(row, rng, predicted=True) - row for row in made.repeat(8, 1)])
        torch.testing.assert_close(drawn.T.cov(), error.T.cov(), rtol=0, atol=0.3)

    def test_the_share_is_of_errors_that_were_left_out(self, fitted_to: Callable[..., TargetContext]) -> None:
        """An SAE that gives back half of everything has an error that follows from it; a rotation of noise has none."""
        halved = Dictionary(torch.clone, lambda f: 0.5 * f, torch.eye(6), torch.ones(6))
        assert fitted_to(normal(80, 6), halved).learned(SaeError).share == pytest.approx(1, abs=1e-6)
        blind = Dictionary(torch.clone, lambda f: f * torch.tensor([1.0, 0, 0, 0, 0, 0]), torch.eye(6), torch.ones(6))
        assert abs(fitted_to(normal(80, 6), blind).learned(SaeError).share) < 0.1

    def test_an_sae_without_error(self, fitted_to: Callable[..., TargetContext]) -> None:
        perfect = Dictionary(torch.clone, torch.clone, torch.eye(3), torch.ones(3))
        found = fitted_to(normal(20, 3), perfect).learned(SaeError)
        made = torch.ones(3)
        for predicted in (False, True):
            torch.testing.assert_close(found.added(made, np.random.default_rng(0), predicted=predicted), made.double())
        assert found.share == 0

    def test_of_an_sae_with_a_scale_for_each_activation(self, fitted_to: Callable[..., TargetContext]) -> None:
        """It reads (x - mean) / scale; what it leaves out of x is counted in x's own units."""
        framed = scaled_sae()
        context = fitted_to(3 * normal(300, 8) + 1, framed)
        made, error = self.errors(context)
        found = context.learned(SaeError)
        torch.testing.assert_close(found.plain.mean, error.mean(dim=0), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.plain.covariance, error.T.cov(correction=0), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(
            torch.from_numpy(found.predicted(made.numpy())).mean(dim=0), error.mean(dim=0), rtol=1e-3, atol=1e-3
        )


def scaled_sae() -> Dictionary:
    """Takes mean and deviation out of each activation, and is blind to its first dimension."""

    def frames(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.std(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)

    def encode(x: torch.Tensor) -> torch.Tensor:
        scale, mean = frames(x)
        z = (x - mean) / scale
        return torch.cat([z, -z], dim=1).relu()

    decoder = torch.cat([torch.eye(8), -torch.eye(8)])
    decoder[:, 0] = 0
    return Dictionary(encode, lambda f: f @ decoder, decoder, torch.full((16,), 0.5), frames)


class Counted:
    """Learned, and counts how often."""

    times = 0

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        del fitting
        cls.times += 1
        return cls()


class TestFitting:
    def test_everything_is_learned_once_and_when_asked_for(self) -> None:
        asked = []

        def find() -> Corpus:
            asked.append(1)
            return corpus_of(normal(5, 2))

        fitting = Fitting(find, None, 0)
        assert not asked
        Counted.times = 0
        assert fitting.learned(Counted) is fitting.learned(Counted)
        assert Counted.times == len(asked) == 1
        again = fitting.with_dictionary(None)
        again.learned(Counted)
        assert (Counted.times, len(asked)) == (2, 1)
        assert again.corpus is fitting.corpus

    def test_without_an_sae(self) -> None:
        with pytest.raises(UsageError, match="needs an SAE"):
            Fitting(lambda: corpus_of(normal(5, 2)), None, 0).learned(Codes)

    def test_a_context_without_any(self, context_of: Callable[..., TargetContext]) -> None:
        context = context_of(normal(5, 2))
        for ask in (lambda: context.corpus, lambda: context.learned(Tokens)):
            with pytest.raises(UsageError, match="there are none set aside"):
                ask()

    def test_the_identity_tells_every_number(
        self, relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
    ) -> None:
        """The same of the same, another of one last bit, of tokens, and of the SAE only where it is learned from."""
        made, sae = 2 * normal(40, 12), relu_sae(12, 60)
        token = [0, 1] * 20

        def identity(context: TargetContext) -> dict[str, str]:
            assert context.fitting is not None
            return context.fitting.identity([Tokens, Codes, SaeError])

        first = identity(fitted_to(made, sae, token=token))
        assert sorted(first) == ["Codes", "Corpus", "SaeError", "Tokens"]
        assert len(set(first.values())) == 4
        assert identity(fitted_to(made.clone(), relu_sae(12, 60), token=token)) == first
        moved = made.clone()
        moved[3, 3] = torch.nextafter(moved[3, 3], torch.tensor(torch.inf))
        assert identity(fitted_to(moved, sae, token=token))["Corpus"] != first["Corpus"]
        others = identity(fitted_to(made, sae, token=[1, 0, 0, 1] * 10))
        assert {name for name in first if first[name] != others[name]} == {"Corpus", "Tokens"}
        shuffled = identity(fitted_to(made, sae.shuffled(np.random.default_rng(0)), token=token))
        assert {name for name in first if first[name] != shuffled[name]} == {"SaeError"}

    def test_a_variant_s_dictionary_has_codes_of_its_own(
        self, relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
    ) -> None:
        context = fitted_to(2 * normal(40, 12), relu_sae(12, 60))
        assert context.fitting is not None
        other = replace(context, fitting=context.fitting.with_dictionary(relu_sae(12, 60, seed=1)))
        assert other.learned(Codes).strength.nnz != context.learned(Codes).strength.nnz
