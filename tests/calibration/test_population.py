import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from tests.distance import ks_distance

from calibration import truth
from calibration.designs import (
    AT_MARGIN,
    CORNER_DESIGNS,
    INTERVAL_DESIGNS,
    MARGIN,
    SAME,
    SHARED_DESIGNS,
    SURVIVAL_DESIGNS,
    TEST_DESIGNS,
)
from calibration.population import LAST_STEP, Draw, PlantedType, Population, Shape

MANY = 200_000

kinds = st.builds(
    PlantedType,
    st.just("any"),
    centre=st.floats(5, 95),
    sd=st.floats(1, 30),
    never=st.floats(0, 0.5),
    shape=st.sampled_from(["normal", "gamma", "lognormal", "two peaks"]),
    likeness=st.floats(0, 0.99),
)


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(
        (
            PlantedType("real", 50, 12),
            PlantedType("other", 60, 15, never=0.2, shape="gamma", likeness=0.8),
            PlantedType("few values", 4, 1.5, likeness=0.3),
        )
    )


@pytest.fixture(scope="module")
def data(population: Population) -> Draw:
    return population.draw(np.random.default_rng(0), MANY)


@given(kinds)
def test_a_distribution_is_one(kind: PlantedType) -> None:
    assert kind.probability.shape == (LAST_STEP + 2,)
    assert (kind.probability >= 0).all()
    assert kind.probability.sum() == pytest.approx(1)
    assert kind.probability[0] == 0, "an event at step 0 would come before any step"
    assert kind.probability[-1] >= kind.never - 1e-12


def test_a_skewed_type_has_the_mean_and_the_deviation_that_it_names() -> None:
    kind = PlantedType("real", 30, 6, shape="gamma")
    assert truth.mean(kind) == pytest.approx(30, abs=0.01)
    assert truth.sd(kind) == pytest.approx(np.sqrt(36 + 1 / 12), abs=0.01)  # rounding adds the variance of a step
    steps = np.arange(LAST_STEP + 1) - 30.0
    assert (kind.probability[:-1] @ steps**3) / 6**3 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", ["lognormal", "two peaks"])
def test_other_shapes_have_the_mean_and_the_deviation_that_they_name(shape: Shape) -> None:
    kind = PlantedType("real", 30, 6, shape=shape)
    assert truth.mean(kind) == pytest.approx(30, abs=0.02)
    assert truth.sd(kind) == pytest.approx(np.sqrt(36 + 1 / 12), abs=0.05)


def test_two_peaks_have_a_valley_between_them() -> None:
    share = PlantedType("real", 50, 20, shape="two peaks").probability
    assert share[50] < 0.25 * share[32]
    assert share[32] == pytest.approx(share[68], rel=1e-6)


@pytest.mark.parametrize("design", CORNER_DESIGNS.values(), ids=CORNER_DESIGNS)
def test_corners_have_the_distributions_and_the_pairing_that_they_name(design: Population) -> None:
    data = design.draw(np.random.default_rng(0), 50_000)
    placed = np.where(data.censored, np.inf, data.value)
    for kind, own in zip(design.types[1:], placed[1:], strict=True):
        assert truth.ks(kind, design.reference) == pytest.approx(ks_distance(own, placed[0]), abs=0.012)
        differ, exact = float((own != placed[0]).mean()), design.joint(kind)
        assert 1 - np.trace(exact) == pytest.approx(differ, abs=0.01)


def test_equally_near_types_of_the_corners_are() -> None:
    for design, first, second in (("copies", "0 % changed", "same"), ("opposite sides", "later", "earlier")):
        own = CORNER_DESIGNS[design]
        near = {kind.name: truth.ks(kind, own.reference) for kind in own.types}
        assert near[first] == pytest.approx(near[second], abs=1e-6)


def test_steps_are_whole_and_censored_ones_have_no_value(data: Draw) -> None:
    assert (np.isnan(data.value) == data.censored).all()
    values = data.value[~data.censored]
    assert (values == np.rint(values)).all()
    assert values.min() >= 1
    assert values.max() <= LAST_STEP


class TestTruthIsThatOfAHugeSample:
    """The estimates are SciPy's or one line; each is within five standard errors or so."""

    def test_per_type(self, population: Population, data: Draw) -> None:
        for kind, value, censored in zip(population.types, data.value, data.censored, strict=True):
            assert truth.mean(kind) == pytest.approx(np.nanmean(value), abs=0.2)
            assert truth.sd(kind) == pytest.approx(np.nanstd(value), abs=0.15)
            assert truth.censored_fraction(kind) == pytest.approx(censored.mean(), abs=0.005)
            end = np.where(censored, LAST_STEP, value)
            assert truth.restricted_mean(kind) == pytest.approx(end.mean(), abs=0.3)

    def test_against_the_reference(self, population: Population, data: Draw) -> None:
        placed = np.where(data.censored, np.inf, data.value)
        end = np.minimum(placed, LAST_STEP)
        for kind, own, cut in zip(population.types[1:], placed[1:], end[1:], strict=True):
            reference = population.reference
            assert truth.ks(kind, reference) == pytest.approx(ks_distance(own, placed[0]), abs=0.006)
            assert truth.wasserstein(kind, reference) == pytest.approx(wasserstein_distance(cut, end[0]), abs=0.3)
            shuffled = np.random.default_rng(1).permutation(placed[0])
            delta = np.sign(np.where(own == shuffled, 0.0, np.where(own > shuffled, 1.0, -1.0))).mean()
            assert truth.cliffs_delta(kind, reference) == pytest.approx(delta, abs=0.01)
            for probability in (0.1, 0.5):
                quantiles = [np.quantile(values, probability, method="inverted_cdf") for values in (own, placed[0])]
                assert truth.quantile_shift(kind, reference, probability) == quantiles[0] - quantiles[1]

    def test_paired(self, population: Population, data: Draw) -> None:
        placed = np.where(data.censored, np.inf, data.value)
        for kind, value, own in zip(population.types[1:], data.value[1:], placed[1:], strict=True):
            differences = truth.Differences(population, kind)
            assert differences.mean() == pytest.approx(np.nanmean(value - data.value[0]), abs=0.2)
            later, earlier = (own > placed[0]).mean(), (own < placed[0]).mean()
            assert differences.delta() == pytest.approx(later - earlier, abs=0.01)
            change = np.where(np.isinf(own) & np.isinf(placed[0]), 0.0, own - np.where(np.isinf(own), 0.0, placed[0]))
            assert differences.median() == np.quantile(change, 0.5, method="inverted_cdf")

    def test_pairing(self, data: Draw) -> None:
        both = ~data.censored.any(axis=0)
        correlation = np.atleast_2d(np.corrcoef(data.value[:, both]))[0]
        assert correlation[1] > 0.6
        assert 0.2 < correlation[2] < 0.35


def test_quantiles_beyond_the_window_have_no_shift() -> None:
    often, never = PlantedType("often", 50, 5, never=0.6), PlantedType("real", 50, 5)
    assert truth.quantile_shift(often, never, 0.5) == np.inf
    assert np.isnan(truth.quantile_shift(often, often, 0.5))


@settings(max_examples=15)
@given(kinds, kinds)
@pytest.mark.slow
def test_joint_distributions_have_the_two_margins(reference: PlantedType, kind: PlantedType) -> None:
    joint = Population((reference, kind)).joint(kind)
    np.testing.assert_allclose(joint.sum(axis=1), reference.probability, atol=1e-4)
    np.testing.assert_allclose(joint.sum(axis=0), kind.probability, atol=1e-3)


def test_shared_targets_are_alike_and_keep_the_distribution() -> None:
    population = SHARED_DESIGNS["shared targets"]
    data = population.draw(np.random.default_rng(0), 20_000)
    own = np.concatenate(data.value[:2])
    assert np.nanmean(own) == pytest.approx(truth.mean(population.reference), abs=0.4)
    _, first, counts = np.unique(data.target[:2], return_index=True, return_counts=True)
    assert (counts > 1).sum() > 500
    pairs = [
        np.flatnonzero(data.target[:2].ravel() == own)[:2] for own in data.target[:2].ravel()[first[counts > 1]][:800]
    ]
    same = np.atleast_2d(np.corrcoef(own[np.array(pairs)].T))[0, 1]
    assert same == pytest.approx(population.target_share, abs=0.12)
    assert (data.target[2:] == -1).all()


@pytest.mark.parametrize("design", [*TEST_DESIGNS.values(), *SURVIVAL_DESIGNS.values()])
def test_types_of_a_test_design_are_as_far_from_real_as_they_say(design: Population) -> None:
    distance = {kind.name: truth.ks(kind, design.reference) for kind in design.types}
    assert all(distance[name] == 0 for name in SAME)
    assert all(distance[name] == pytest.approx(MARGIN, abs=1e-6) for name in AT_MARGIN)


@pytest.mark.parametrize("design", INTERVAL_DESIGNS.values())
def test_interval_designs_reach_from_equal_to_far(design: Population) -> None:
    distance = [truth.ks(kind, design.reference) for kind in design.types]
    assert distance[:2] == [0, 0]
    assert 0 < distance[2] < 0.06
    assert max(distance) > 0.3
