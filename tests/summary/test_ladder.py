"""The ladder of a summary: its rungs and their order, what they gain, and when one is as good as real."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import RunConfig, TargetConfig
from plateaulens.summary.ladder import (
    ABSOLUTE,
    LEAST_PLATEAU,
    PLATEAU,
    RELATIVE,
    PlateauDraws,
    best_gain,
    doses_of,
    ladder_dataset,
    matched_of,
    own_token_of,
    steps_of,
)
from plateaulens.summary.realism import NOVEL


def targets_with(summary: xr.DataTree, **variants: dict[str, Any]) -> dict[str, Any]:
    """The section of a configuration that has these variants."""
    targets = RunConfig.model_validate_json(summary.attrs["config"]).targets
    types = [name for name in targets.types if name not in variants]
    own = targets.model_dump(mode="json") | {"types": types, "variants": variants}
    return TargetConfig.model_validate(own).model_dump(mode="json")


def of(summary: xr.DataTree, **variants: dict[str, Any]) -> xr.Dataset:
    """The ladder of a summary whose run had these variants."""
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    return ladder_dataset(groups, targets_with(summary, **variants))


def as_good_as_real(summary: xr.DataTree, rung: str, **wrong: float | str) -> xr.DataTree:
    """The summary with everything that is asked of a rung in place, but for what is given."""
    groups = {name: node.to_dataset().copy(deep=True) for name, node in summary.children.items()}
    for name in (RELATIVE, ABSOLUTE):
        groups[name]["conclusion"].loc[{"activation_type": rung, "convention": "corrected"}] = "equivalent"
    if "metric" in wrong:
        where = {"activation_type": rung, "convention": "corrected", "statistic": "max_slope"}
        groups[ABSOLUTE]["conclusion"].loc[where | {"metric": wrong["metric"]}] = "undecided"
    plateau = groups[PLATEAU]
    real = plateau["mean"].sel(activation_type="real", convention="corrected", statistic="plateau_length", metric="l2")
    lower = float(real) * (float(wrong.get("plateau", 0.9)) - 1)
    where = {"activation_type": rung, "convention": "corrected", "statistic": "plateau_length", "metric": "l2"}
    plateau["mean_difference"].loc[where] = lower + 1
    plateau["mean_difference_interval"].loc[where | {"bound": "lower"}] = lower
    novelty = float(wrong.get("novelty", 2.5))
    types = groups["distinguish"]["activation_type"]
    shape = (types.size,)
    groups["distinguish"] = groups["distinguish"].assign(
        fit_novelty=("activation_type", np.full(shape, novelty + 1)),
        fit_novelty_interval=(("activation_type", "bound"), np.tile([novelty, novelty + 2], (*shape, 1))),
        fit_copies=("activation_type", np.full(shape, float(wrong.get("copies", 0.0)))),
    )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = summary.attrs
    return tree


OWN = {"type": "random", "own_token": True}
"""What `isotropic` stands for in the tests of tokens."""


def with_own_token(summary: xr.DataTree, shift: float, *, kept: int | None = None, spread: float = 0.0) -> xr.Dataset:
    """The ladder of a summary whose `isotropic` is `random` for the own token, with plateaus longer by so many steps.

    From prompt to prompt the shift differs by a hundredth of itself, every other one has the spread added and the rest
    have it taken away, and the first prompt has no plateau.
    """
    groups = {name: node.to_dataset().copy(deep=True) for name, node in summary.children.items()}
    values = groups[PLATEAU]["step_value"]
    where = {"convention": "corrected", "statistic": "plateau_length", "metric": "l2"}
    samples = values.sizes["sample"]
    moved = values.sel(where | {"activation_type": "random"}) + shift * (1 + np.arange(samples) % 2 / 100)
    moved = moved + spread * (-1) ** np.arange(samples)
    moved[0] = np.nan
    values.loc[where | {"activation_type": "isotropic"}] = moved.transpose(
        *values.sel(where | {"activation_type": "isotropic"}).dims
    )
    rng = np.random.default_rng(0)
    draws = PlateauDraws(
        Resampling.draw(rng, samples=samples, resamples=200), Swaps.draw(rng, samples=samples, swaps=500)
    )
    targets = targets_with(summary, isotropic=OWN)
    return ladder_dataset(groups, targets, draws, {} if kept is None else {"isotropic": kept})


class TestOwnToken:
    @pytest.mark.parametrize("shift", [4.0, -2.0])
    def test_the_gain_is_the_paired_difference_over_real_s_mean(
        self, shift: float, synthetic_summary: xr.DataTree
    ) -> None:
        ladder = with_own_token(synthetic_summary, shift, kept=18).sel(rung="random")
        where = {"convention": "corrected", "statistic": "plateau_length", "metric": "l2"}
        real = float(synthetic_summary[PLATEAU]["mean"].sel(where | {"activation_type": "real"}))
        gain, (lower, upper) = float(ladder["own_token_gain"]), ladder["own_token_gain_interval"].values.tolist()
        step = synthetic_summary[PLATEAU]["step_value"].sel(where | {"activation_type": "random"})
        factor = (1 + np.arange(step.size) % 2 / 100)[np.isfinite(step.to_numpy()) & (np.arange(step.size) > 0)].mean()
        assert gain == pytest.approx(shift * factor / real)
        assert min(gain, shift / real) - 1e-2 < lower < gain < upper < max(gain, shift / real) + 1e-2
        assert float(ladder["own_token_gain_p_holm"]) < 0.05
        assert ladder["own_token_verdict"].item() == ("longer" if shift > 0 else "shorter")
        assert float(ladder["own_token_kept"]) == 18 / 24

    def test_the_share_is_that_of_the_variant(self, synthetic_summary: xr.DataTree) -> None:
        ladder = with_own_token(synthetic_summary, 1.0)
        plain = of(synthetic_summary)
        for name in ("share", "share_interval"):
            np.testing.assert_array_equal(
                ladder[f"own_token_{name}"].sel(rung="random"), plain[f"plateau_{name}"].sel(rung="isotropic")
            )
        assert float(ladder["own_token_kept"].sel(rung="random")) == 1
        assert ladder["own_token_gain"].drop_sel(rung="random").isnull().all()
        assert (ladder["own_token_verdict"].drop_sel(rung="random") == "").all()

    def test_without_a_difference_none_is_shown(self, synthetic_summary: xr.DataTree) -> None:
        ladder = with_own_token(synthetic_summary, 0.0).sel(rung="random")
        assert float(ladder["own_token_gain"]) == 0
        assert float(ladder["own_token_gain_p_holm"]) == 1
        assert ladder["own_token_verdict"].item() == "undecided"
        apart = with_own_token(synthetic_summary, 0.0, spread=400.0).sel(rung="random")
        lower, upper = apart["own_token_gain_interval"].to_numpy()
        assert lower < 0 < upper
        assert apart["own_token_verdict"].item() == "undecided"

    def test_such_a_variant_is_no_rung_nor_matched(self, synthetic_summary: xr.DataTree) -> None:
        targets = targets_with(
            synthetic_summary,
            own=OWN,
            error={**OWN, "sae_error": "drawn"},
            level={**OWN, "matched": True},
            only_level={"type": "random", "matched": True},
        )
        types = ["real", "random", "own", "error", "level", "only_level"]
        assert [step.name for step in steps_of(targets, types)] == ["random"]
        assert own_token_of(targets, types) == {"random": "own"}
        assert matched_of(targets, types) == {"random": "only_level"}

    def test_a_ladder_without_any_has_no_such_values(self, synthetic_summary: xr.DataTree) -> None:
        assert not [name for name in of(synthetic_summary) if str(name).startswith("own_token")]


def test_the_order_is_from_below_and_errors_stand_on_what_they_vary(synthetic_summary: xr.DataTree) -> None:
    types = ["real", "reconstruction", "with_error", "random", "isotropic", "level"]
    targets = targets_with(
        synthetic_summary,
        with_error={"type": "random", "sae_error": "drawn"},
        level={"type": "random", "matched": True},
    )
    steps = steps_of(targets, types)
    assert [step.name for step in steps] == ["isotropic", "random", "with_error", "reconstruction"]
    assert [step.above for step in steps] == [None, "isotropic", "random", None]
    assert steps[2].adds == "an SAE error like real ones"
    assert matched_of(targets, types) == {"random": "level"}
    # without what it stands on, a rung stands on none
    assert [step.above for step in steps_of(targets, ["real", "random"])] == [None]


def test_doses_are_ascending_and_have_the_type_s_own_share(synthetic_summary: xr.DataTree) -> None:
    targets = targets_with(
        synthetic_summary,
        most={"type": "latents_kept", "kept_share": 0.75},
        none={"type": "latents_kept", "kept_share": 0.0},
        alone={"type": "strengths_kept", "kept_share": 0.0},
    )
    types = ["real", "latents_kept", "most", "none", "alone"]
    assert doses_of(targets, types) == {"latents_kept": {0.0: "none", 0.5: "latents_kept", 0.75: "most"}}


def test_a_gain_is_the_difference_of_two_distances(synthetic_summary: xr.DataTree) -> None:
    ladder = of(synthetic_summary)
    own = ladder["ks"].sel(experiment=RELATIVE)
    np.testing.assert_allclose(
        ladder["gain"].sel(rung="random"), own.sel(rung="isotropic") - own.sel(rung="random"), atol=1e-12
    )
    assert ladder["gain"].sel(rung="isotropic").isnull().all()


def test_gains_are_adjusted_together(synthetic_summary: xr.DataTree) -> None:
    """Holm over all rungs and metrics of the site: 0.01, 0.02 and 0.04 of three tests become 0.03, 0.04 and 0.04."""
    tree = synthetic_summary.copy(deep=True)
    where = {
        "convention": "corrected",
        "statistic": "max_slope",
        "activation_type": "isotropic",
        "other_type": "random",
    }
    for metric, p in zip(("l2", "kl", "js"), (0.01, 0.02, 0.04), strict=True):
        tree[RELATIVE]["ks_difference_p"].loc[where | {"metric": metric}] = p
        for bound, end in (("lower", 0.1), ("upper", 0.3)):
            tree[RELATIVE]["ks_difference_interval"].loc[where | {"metric": metric, "bound": bound}] = end
    own = of(tree).sel(rung="random", metric=["l2", "kl", "js"])
    np.testing.assert_allclose(own["gain_p_holm"], [0.03, 0.04, 0.04])
    np.testing.assert_allclose(own["gain_interval"].sel(bound=["lower", "upper"]), [[0.1, 0.3]] * 3)


def test_a_rung_that_has_everything_is_as_good_as_real(synthetic_summary: xr.DataTree) -> None:
    tree = as_good_as_real(synthetic_summary, "random")
    ladder = of(tree).sel(rung="random")
    assert ladder["standing"].item() == "reached"
    assert not ladder["lacks"].item()


@pytest.mark.parametrize(
    ("wrong", "lacks"),
    [
        ({"novelty": NOVEL - 0.01}, "a novelty of 2"),
        ({"plateau": LEAST_PLATEAU - 0.01}, "plateaus at least 0.8 as long as real's"),
        ({"copies": 0.01}, "freedom from copies"),
        ({"metric": "kl"}, "equivalence in absolute steps on KL"),
    ],
)
def test_one_thing_that_is_not_shown_is_what_it_lacks(
    wrong: dict[str, Any], lacks: str, synthetic_summary: xr.DataTree
) -> None:
    tree = as_good_as_real(synthetic_summary, "random", **wrong)
    ladder = of(tree).sel(rung="random")
    assert (ladder["standing"].item(), ladder["lacks"].item()) == ("not reached", lacks)


def test_what_changes_a_real_target_is_not_as_good_however_near_it_is(synthetic_summary: xr.DataTree) -> None:
    ladder = of(as_good_as_real(synthetic_summary, "reconstruction")).sel(rung="reconstruction")
    assert (ladder["standing"].item(), ladder["lacks"].item()) == ("not reached", "targets of its own")
    assert bool(ladder["borrows"])
    assert not bool(ladder["is_new"])


@pytest.mark.parametrize(("error", "borrows"), [("real", True), ("drawn", False), ("predicted", False)])
def test_and_so_does_the_real_target_s_own_error(error: str, borrows: bool, synthetic_summary: xr.DataTree) -> None:
    targets = targets_with(synthetic_summary, with_error={"type": "random", "sae_error": error})
    steps = {step.name: step.borrows for step in steps_of(targets, ["real", "random", "with_error"])}
    assert steps == {"random": False, "with_error": borrows}


def test_the_closest_is_new_where_any_is(synthetic_summary: xr.DataTree) -> None:
    """What is made of the real target itself is near to real for nothing."""
    groups = {
        name: node.to_dataset().copy(deep=True)
        for name, node in as_good_as_real(synthetic_summary, "random").children.items()
    }
    ks, where = groups[RELATIVE]["ks"], {"convention": "corrected", "statistic": "max_slope"}
    ks.loc[where | {"activation_type": "random"}] = 0.1
    ks.loc[where | {"activation_type": "reconstruction"}] = 0.01
    interval = groups["distinguish"]["fit_novelty_interval"]

    def closest() -> str:
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = synthetic_summary.attrs
        return str(of(tree).attrs["closest"])

    assert closest() == "random"  # whatever the novelty of the other
    interval.loc[{"bound": "lower"}] = 1.9
    assert closest() == "reconstruction"


def test_what_was_not_measured_is_undefined(synthetic_summary: xr.DataTree) -> None:
    ladder = of(synthetic_summary)
    assert ladder["novelty"].isnull().all()
    assert (ladder["standing"] == "undefined").all()


@pytest.mark.parametrize(
    ("other", "upper", "is_most"),
    [(0.05, 0.09, True), (0.05, 0.11, False), (np.nan, np.nan, True), (-0.1, 0.0, True)],
)
def test_a_gain_is_most_where_no_other_comes_near(other: float, upper: float, is_most: bool) -> None:
    """On one metric the two are far apart; on the other the intervals decide."""
    gain = np.array([[np.nan, np.nan], [0.3, 0.2], [0.01, other]])
    interval = np.stack([gain - 0.1, gain + 0.1], axis=-1)
    interval[2, 1] = other - 0.1, upper
    ladder = xr.Dataset(
        {
            "gain": (("rung", "metric"), gain),
            "gain_interval": (("rung", "metric", "bound"), interval),
            "gain_p_holm": (("rung", "metric"), np.where(gain > 0.1, 0.001, 1.0)),
        },
        coords={"rung": ["isotropic", "random", "token_mean"], "metric": ["l2", "kl"], "bound": ["lower", "upper"]},
        attrs={"confidence": 0.95},
    )
    assert best_gain(ladder) == ("random", is_most)
    assert best_gain(ladder.assign(gain_p_holm=ladder["gain_p_holm"] + 0.1)) == ("", False)
