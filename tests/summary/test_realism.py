from collections.abc import Collection

import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.multiplicity import adjust
from plateaulens.names import DETECTORS
from plateaulens.store.reading import open_run
from plateaulens.summary import realism as module
from plateaulens.summary.realism import realism_dataset
from plateaulens.testing import generate_run, synthetic_spec

TYPES = ("real", "real_control", "random", "isotropic")
HELD = ["neighbour_distance", "features", "activation"]
ADJUSTED = ["detector_p_holm", "detected", "best_detector"]


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERMUTATIONS", 250)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("realism") / "run.zarr"
    generate_run(path, synthetic_spec(40, activation_types=TYPES, experiments=("plateau",), steps=5, encoded=True))
    return open_run(path)["activations"].to_dataset().load()


@pytest.fixture
def activations(made: xr.Dataset) -> xr.Dataset:
    """`isotropic` lies far from the others, and the SAE makes much of `random`."""
    activations = made.copy(deep=True)
    activations["target"][3] += 200
    activations["target_error"][2] += 50
    return activations


def found_in(activations: xr.Dataset, controls: Collection[str] = ("real_control",)) -> xr.Dataset:
    return realism_dataset(activations, reference="real", controls=controls, seed=0, resamples=100, confidence=0.95)


def test_everything_is_described(activations: xr.Dataset) -> None:
    found = found_in(activations)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found["detector"].values.tolist() == list(DETECTORS)
    assert found["detector_auc_interval"].dims == ("detector", "activation_type", "bound")
    assert found["floor_auc_interval"].dims == ("detector", "bound")
    assert (found["realism_prompts"] == 40).all()
    assert found["is_control"].values.tolist() == [False, True, False, False]


def test_each_detector_sees_what_was_planted_for_it(activations: xr.Dataset) -> None:
    found = found_in(activations)
    seen = found["detected"].to_pandas()
    assert seen.loc[["norm", "neighbour_distance", "features", "activation"], "isotropic"].tolist() == ["seen"] * 4
    assert seen.loc["active_latents", "isotropic"] == "not seen"
    assert seen.loc[["sae_error", "features"], "random"].tolist() == ["seen", "seen"]
    assert seen.loc[["norm", "active_latents", "activation"], "random"].tolist() == ["not seen"] * 3
    assert found["best_detector"].values.tolist() == ["undefined", "none", "sae_error", "norm"]
    assert found["floor_detected"].values.tolist() == ["not seen"] * 6


def test_real_against_itself_is_chance(activations: xr.Dataset) -> None:
    found = found_in(activations).sel(activation_type="real")
    assert (found["detector_auc"] == 0.5).all()
    assert found["detector_p"].isnull().all()
    assert (found["detected"] == "undefined").all()
    assert found["novelty"] == 1
    assert found["frechet_ratio"] == pytest.approx(1)


def test_far_targets_are_new_and_moved_ones_far_by_frechet(activations: xr.Dataset) -> None:
    found = found_in(activations).sel(activation_type="isotropic")
    assert found["novelty"] > 2
    assert found["novelty_relation"] == "novel"
    assert found["frechet_ratio_interval"].sel(bound="lower") > 5
    assert found["density"] == 0
    assert found["coverage"] == 0
    assert found["copies"] == 0


def test_copies_are_found_and_real_ones_are_none(activations: xr.Dataset) -> None:
    """Copies of base activations, of real targets, and with a grain of noise; real draws may be the same prompt."""
    activations["target"][3, :10] = activations["base"].values[5:15]
    activations["target"][3, 10:15] = activations["target"].values[0, :5] * (1 + 1e-6)
    activations["target"][1, :5] = activations["target"].values[0, 10:15]
    found = found_in(activations)
    assert found["copies"].values.tolist() == [0, 0, 0, 15 / 40]


def test_targets_that_stay_near_their_own_source_are_marked(activations: xr.Dataset) -> None:
    """As a reconstruction does: it is near the real target it is made of, which says nothing of other activations."""
    noise = np.random.default_rng(3).normal(0, 1e-3, activations["target"].shape[1:]).astype(np.float32)
    activations["target"][2] = activations["target"].values[0] + noise
    found = found_in(activations)
    assert found["own_source"].sel(activation_type="random") == 1
    assert found["own_source"].sel(activation_type=["real", "real_control"]).isnull().all()
    assert found["own_source_most"].values.tolist() == [False, False, True, False]
    activations["target"][2] = activations["target"].values[0, ::-1] + noise
    other = found_in(activations).sel(activation_type="random")
    assert other["own_source"] == 0
    assert other["novelty_relation"] == "nearer"
    assert not other["own_source_most"]


@pytest.mark.parametrize(("scale", "expected"), [(1.0, "undecided"), (30.0, "false alarm")])
def test_a_control_far_from_all_others_is_a_false_alarm(activations: xr.Dataset, scale: float, expected: str) -> None:
    activations["target"][1] *= scale
    assert found_in(activations)["novelty_relation"].sel(activation_type="real_control") == expected


def test_novelty_beside_what_types_were_fitted_to_is_the_ratio_of_medians(activations: xr.Dataset) -> None:
    """The lower median of distances over that of real targets; a copy lies within a hundredth of the latter."""
    rng = np.random.default_rng(7)
    distance = rng.gamma(20.0, 0.5, (4, 40))
    distance[3] *= 4
    distance[2, :10] = 1e-6
    fitted = activations.assign(fit_distance=(("activation_type", "sample"), distance.astype(np.float32)))
    found = found_in(fitted)
    medians = np.sort(distance, axis=1)[:, 19]
    np.testing.assert_allclose(found["fit_novelty"], medians / medians[0], rtol=1e-5)
    lower, upper = (found["fit_novelty_interval"].sel(bound=end).to_numpy() for end in ("lower", "upper"))
    assert (lower <= found["fit_novelty"]).all()
    assert (found["fit_novelty"] <= upper).all()
    assert lower[0] == upper[0] == 1
    assert found["fit_copies"].values.tolist() == [0, 0, 0.25, 0]
    assert "fit_novelty" not in found_in(activations)


def test_nothing_is_known_of_latents_in_older_runs(activations: xr.Dataset) -> None:
    whole = found_in(activations)
    older = found_in(activations.drop_vars(["target_latents", "target_error"]))
    assert older["detector_auc"].sel(detector=["active_latents", "sae_error"], activation_type="random").isnull().all()
    assert (older["detected"].sel(detector="sae_error") == "undefined").all()
    same = {"detector": ["norm", "neighbour_distance", "activation"]}
    xr.testing.assert_equal(older["detector_auc"].sel(same), whole["detector_auc"].sel(same))


def test_a_type_does_not_depend_on_the_others_before_adjustment(activations: xr.Dataset) -> None:
    whole = found_in(activations).sel(activation_type=["real", "random"])
    part = found_in(activations.sel(activation_type=["real", "random"]))
    names = ["detector_auc", "detector_auc_interval", "detector_p", "density", "frechet_ratio"]
    xr.testing.assert_equal(part[names], whole[names])


def test_the_family_is_all_detectors_of_the_types_that_are_judged(activations: xr.Dataset) -> None:
    found = found_in(activations)
    p, adjusted = found["detector_p"].values, found["detector_p_holm"].values
    np.testing.assert_allclose(adjusted[:, 2:], adjust(p[:, 2:], "holm"))
    np.testing.assert_allclose(adjusted[:, 1], adjust(p[:, 1], "holm"))
    np.testing.assert_allclose(found["floor_p_holm"], adjusted[:, 1])


def test_several_controls_are_one_floor(activations: xr.Dataset) -> None:
    """One unlucky draw does not stand for chance."""
    found = found_in(activations, controls=("real_control", "random"))
    assert found["floor_auc"].attrs["control_draws"] == 2
    areas = found["detector_auc"].sel(activation_type=["real_control", "random"]).mean("activation_type")
    features = [name for name, detector in DETECTORS.items() if not detector.is_classifier]
    np.testing.assert_allclose(found["floor_auc"].sel(detector=features), areas.sel(detector=features))
    assert found["floor_detected"].sel(detector="sae_error") == "false alarm"
    assert found["detected"].sel(detector="sae_error", activation_type="random") == "false alarm"


def of_a_pool(seed: int, n: int, pool: int, held_out: int = 0) -> xr.Dataset:
    """Bases are the first of a pool that real targets are drawn from, and so is a type, or it is of no pool."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(pool + held_out, 24)).astype(np.float32)
    rows = rng.integers(1, pool, (2, n)) + np.arange(n)
    rows %= pool
    if held_out:
        rows[1] = pool + np.arange(n)
    dims = ("activation_type", "sample")
    return xr.Dataset(
        {
            "base": (("sample", "d_model"), points[:n]),
            "target": ((*dims, "d_model"), points[rows]),
            "source_row": (dims, np.where(rows < pool, rows, -1).astype(np.int32)),
        },
        coords={"activation_type": ["real", "random"]},
    )


@pytest.mark.slow
def test_held_out_activations_are_not_told_from_real_ones_that_are_bases() -> None:
    """The pool is the bases: described by these, a real target would lie nearer than one that is none of them."""
    found = [found_in(of_a_pool(seed, 100, 100, held_out=100), controls=()) for seed in range(6)]
    p = np.array([one["detector_p"].sel(activation_type="random", detector=HELD).values for one in found])
    assert np.isfinite(p).all()
    assert (p > 0.05).mean() > 0.79  # three standard errors of 18 tests at 5 %
    for one in found:
        assert set(one["best_detector"].values.tolist()) <= {"undefined", "none"}


def test_bases_that_are_draws_are_left_out_and_too_few_say_nothing() -> None:
    activations = of_a_pool(0, 40, 40, held_out=40)
    asked = found_in(activations, controls=()).sel(activation_type="random")
    left = 40 - len(np.unique(activations["source_row"].values[0]))
    assert 0 < left < module.LEAST_LEFT
    assert asked["detected"].sel(detector=["neighbour_distance", "activation"]).values.tolist() == ["undefined"] * 2
    assert asked["detected"].sel(detector=["norm", "features"]).values.tolist() == ["not seen"] * 2
    assert asked["frechet_ratio"].isnull()


@pytest.mark.slow
def test_exchangeable_draws_of_a_small_pool_are_as_far_by_frechet_as_real_ones() -> None:
    """An activation that is a target of both is never in both halves, where it would be compared with itself."""
    found = [found_in(of_a_pool(seed, 120, 360), controls=())["frechet_ratio"].values[1] for seed in range(20)]
    assert np.mean(found) == pytest.approx(1, abs=3 * np.std(found) / np.sqrt(20) + 1e-9)
    assert np.mean(found) > 0.93


def test_without_a_control_there_is_no_floor(activations: xr.Dataset) -> None:
    found = found_in(activations.sel(activation_type=["real", "random"]))
    assert found["floor_auc"].isnull().all()
    assert (found["floor_detected"] == "undefined").all()
    assert found["floor_auc"].attrs["control_draws"] == 0


def test_permutations_grow_with_the_tests(activations: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the least p-value can still be below the level once it is adjusted."""
    monkeypatch.setattr(module, "PERMUTATIONS", 50)
    found = found_in(activations)
    assert found["detector_p"].attrs["permutations"] == 250  # 12 tests at 5 %: 240 at least
    assert (found["detected"].sel(detector="norm", activation_type="isotropic") == "seen").all()


def test_incomplete_prompts_are_left_out(activations: xr.Dataset) -> None:
    activations["target"][2, 3] = np.nan
    assert (found_in(activations)["realism_prompts"] == 39).all()
    activations["base"][:] = np.nan
    nothing = found_in(activations)
    assert (nothing["realism_prompts"] == 0).all()
    for name in ("detector_p", "frechet_ratio", "novelty", "copies", "density", "coverage"):
        assert nothing[name].isnull().all()


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_few_prompts(activations: xr.Dataset, n: int) -> None:
    found = found_in(activations.isel(sample=slice(n)))
    assert (found["realism_prompts"] == n).all()
    assert set(np.ravel(found["detected"].values).tolist()) <= {"seen", "not seen", "undefined"}


def test_large_runs_are_cut(activations: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAXIMUM_PROMPTS", 12)
    assert (found_in(activations)["realism_prompts"] == 12).all()


def test_prompts_that_share_a_target_are_swapped_together(activations: xr.Dataset) -> None:
    rows = activations["source_row"]
    rows[0] = np.arange(40) // 10
    assert np.isnan(found_in(activations)["detector_p"].sel(activation_type="random")).all()  # four groups are too few
