import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.multiplicity import adjust
from plateaulens.summary import distinguish as module
from plateaulens.summary.distinguish import distinguish_dataset, with_detectors

ADJUSTED = ["classifier_p_holm", "mmd_p_holm", "told"]


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERMUTATIONS", 49)


@pytest.fixture
def activations(run: xr.DataTree) -> xr.Dataset:
    """`isotropic` moved away from the others."""
    activations = run["activations"].to_dataset().load().copy(deep=True)
    activations["target"][2] += 40
    return activations


def distinguish(activations: xr.Dataset) -> xr.Dataset:
    return distinguish_dataset(activations, reference="real", seed=0, resamples=50, confidence=0.95)


def test_variables(activations: xr.Dataset) -> None:
    found = distinguish(activations)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found.auc.dims == ("classifier", "activation_type")
    assert found.auc_interval.dims == ("classifier", "activation_type", "bound")
    assert found.mmd.dims == ("activation_type",)


def test_what_was_moved_is_told_apart(activations: xr.Dataset) -> None:
    found = distinguish(activations)
    assert (found.auc.sel(activation_type="isotropic") > 0.95).all()
    assert (found.classifier_p.sel(activation_type="isotropic") == 1 / 50).all()
    assert found.mmd_p.sel(activation_type="isotropic") == 1 / 50
    assert (found.classifier_p.sel(activation_type="random") > 1 / 50).all()


def test_real_against_itself_is_chance(activations: xr.Dataset) -> None:
    found = distinguish(activations).sel(activation_type="real")
    assert (found.auc == 0.5).all()
    assert found.mmd == 0
    assert (found.classifier_p == 1).all()


def test_a_type_does_not_depend_on_the_others_before_adjustment(activations: xr.Dataset) -> None:
    whole, part = (
        distinguish(activations.isel(activation_type=types)).drop_vars(ADJUSTED) for types in ([0, 1, 2], [0, 2])
    )
    xr.testing.assert_identical(part, whole.isel(activation_type=[0, 2]))


def test_the_family_is_all_tests_of_the_types_that_are_judged(activations: xr.Dataset) -> None:
    names = np.array(["real", "real_control", "isotropic"], dtype=np.dtypes.StringDType())
    found = distinguish(
        activations.assign_coords(activation_type=("activation_type", names, {"long_name": "type", "units": "1"}))
    )
    p = np.vstack([found.classifier_p, found.mmd_p])
    adjusted = np.vstack([found.classifier_p_holm, found.mmd_p_holm])
    assert np.isnan(adjusted[:, 0]).all()
    np.testing.assert_allclose(adjusted[:, 1], adjust(p[:, 1], "holm"))  # the control is a family of its own
    np.testing.assert_allclose(adjusted[:, 2], adjust(p[:, 2], "holm"))
    assert found.told.values.tolist() == ["undefined", "not told apart", "not told apart"]  # 3 / 50 is not below 0.05
    assert found.told.attrs["alpha"] == pytest.approx(0.05)


def test_incomplete_prompts_are_left_out(activations: xr.Dataset) -> None:
    activations["target"][1, 3] = np.nan
    found = distinguish(activations)
    assert found.prompts.values.tolist() == [20, 19, 20]
    activations["target"][:] = np.nan
    nothing = distinguish(activations)
    assert (nothing.prompts == 0).all()
    assert (nothing.auc == 0.5).all()


def test_prompts_with_one_real_target_are_one_group(activations: xr.Dataset) -> None:
    rows = activations["source_row"]
    rows[0] = np.arange(20)
    rows[0, 5] = rows[0, 4]
    assert distinguish(activations).prompt_groups.sel(activation_type="random") == 19


def test_so_are_prompts_with_one_part_of_a_mixture(activations: xr.Dataset) -> None:
    activations["source_row"][:] = -1
    parts = np.full((3, 20, 2), -1)
    parts[1] = np.arange(40).reshape(20, 2)
    parts[1, 5, 0] = parts[1, 4, 1]
    activations["mixed_row"] = (("activation_type", "sample", "mixed"), parts)
    assert distinguish(activations).prompt_groups.sel(activation_type="random") == 19


def test_large_runs_are_cut(activations: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAXIMUM_PROMPTS", 12)
    assert (distinguish(activations).prompts == 12).all()


@pytest.mark.parametrize(
    ("told", "detected", "together"),
    [
        ("told apart", ("not seen", "undefined"), "told apart"),
        ("told apart", ("seen", "seen"), "told apart"),
        ("not told apart", ("not seen", "seen"), "by detectors alone"),
        ("not told apart", ("not seen", "undefined"), "not told apart"),
        ("undefined", ("undefined", "seen"), "by detectors alone"),
        ("undefined", ("undefined", "not seen"), "not told apart"),
        ("undefined", ("undefined", "undefined"), "undefined"),
        ("not told apart", ("not seen", "false alarm"), "false alarm"),
        ("false alarm", ("not seen", "not seen"), "false alarm"),
    ],
)
def test_one_conclusion_over_all_tests(told: str, detected: tuple[str, ...], together: str) -> None:
    words = np.dtypes.StringDType()
    tests = xr.Dataset(
        {
            "told": ("activation_type", np.array([told], dtype=words), {"alpha": 0.05}),
            "detected": (("detector", "activation_type"), np.array(detected, dtype=words)[:, np.newaxis]),
        }
    )
    found = with_detectors(tests)["told"]
    assert found.values.tolist() == [together]
    assert found.attrs["alpha"] == 0.05
