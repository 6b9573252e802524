"""SAEs on one scale: over runs without a model, as a sweep has them; the words, the ranking, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import plateaulens as pl
from plateaulens.compare.distances import FEWEST
from plateaulens.config import AnalysisConfig, RunConfig, SweepConfig
from plateaulens.errors import UsageError
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.manifest import NO_SAE, Entry, Manifest, config_of
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import analyze_open
from plateaulens.summary.sae_evidence import Evidence, check_paired, evidence_of, scaled_types
from plateaulens.summary.sae_scale import GROUP, _standing, ranking, ranks_saes, sae_scale_dataset
from plateaulens.summary.sweep import summarize_sweep
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

TYPES = ("real", "real_control", "random", "reconstruction", "baseline", "structured")
SPEC = synthetic_spec(
    48, activation_types=TYPES, experiments=("sensitivity", "plateau"), steps=51, samples_per_chunk=48
)
CONFIG = RunConfig.model_validate_json(str(synthetic_attributes(SPEC, 0)["config"]))
STATISTICS = ("max_slope", "plateau_length")
SETTINGS = AnalysisConfig(resamples=120, statistics=STATISTICS)
SAES = ("saes/a", "release:b", "c")


def write_run(folder: Path, entry: Entry, seed: int) -> None:
    """A run whose curves are of this seed; bases and what it says of its targets are the same in all."""
    attributes = {**synthetic_attributes(SPEC, 0, entry.name), "config": config_of(CONFIG, entry).model_dump_json()}
    with RunStore.create(folder / entry.run, SPEC, attributes, synthetic_prompts(SPEC, 0)) as store:
        for group in ("activations", "sensitivity", "plateau"):
            for span in store.pending(group):
                store.write(group, span, synthetic_values(SPEC, group, span, seed))
        store.seal()


def entry(sae: str, state: Any = "complete") -> Entry:
    sites = {"write": CONFIG.sites.write, "read": CONFIG.sites.read}
    return Entry(
        name=f"sae={sae.replace('/', '-').replace(':', '-')}", model="m", sae=sae, **sites, seed=0, state=state
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over three SAEs, two of which give the same activations; read only."""
    folder = tmp_path_factory.mktemp("saes")
    for sae, seed in zip(SAES, (1, 2, 1), strict=True):
        write_run(folder, entry(sae), seed)
    return folder


def manifest(*entries: Entry) -> Manifest:
    changes = {"name": "saes", "sweep": SweepConfig(sae=SAES), "experiments": ("sensitivity",)}
    config = CONFIG.model_copy(update=changes)
    return Manifest(config=config, cells=entries or tuple(map(entry, SAES)))


@pytest.fixture(scope="module")
def evidence(folder: Path) -> dict[str, Evidence]:
    found = {}
    for sae in SAES:
        with open_run(folder / entry(sae).run) as run:
            found[sae] = evidence_of(run.load(), SETTINGS)
    return found


@pytest.fixture(scope="module")
def scale(evidence: dict[str, Evidence]) -> xr.Dataset:
    return sae_scale_dataset(evidence, SETTINGS)


def cut(evidence: Evidence, samples: int) -> Evidence:
    """The first base prompts of it."""
    part = {name: getattr(evidence, name).isel(sample=slice(samples)) for name in ("steps", "plateaus")}
    return replace(evidence, **part, tokens=evidence.tokens[:samples])


class TestScale:
    def test_shares_are_quotients_of_distances(self, scale: xr.Dataset, evidence: dict[str, Evidence]) -> None:
        steps = {sae: each.steps.sel(metric="kl") for sae, each in evidence.items()}
        real, random = (
            np.where(steps[SAES[0]].censored, np.inf, steps[SAES[0]].step_value).astype(float)[TYPES.index(kind)]
            for kind in ("real", "random")
        )
        for sae in SAES:
            own = np.where(steps[sae].censored, np.inf, steps[sae].step_value).astype(float)[TYPES.index("structured")]
            grid = np.append(np.arange(51), np.inf)
            far = [np.max(np.abs([(x <= k).mean() - (real <= k).mean() for k in grid])) for x in (own, random)]
            found = scale.sel(sae=sae, metric="kl", activation_type="structured")
            assert float(found["share"]) == pytest.approx(1 - far[0] / far[1])
            assert float(found["ks"]) == pytest.approx(far[0])
        assert float(scale["scale_length"].sel(metric="kl")) == pytest.approx(far[1])

    def test_every_variable_says_what_it_is(self, scale: xr.Dataset) -> None:
        for name, variable in scale.variables.items():
            assert {"long_name", "units"} <= set(variable.attrs), name
        for name in ("share", "ks", "behind", "plateau_share", "scale_length", "control_share"):
            assert {"confidence", "resamples", "method"} <= set(scale[f"{name}_interval"].attrs)

    def test_two_equal_saes_are_tied(self, scale: xr.Dataset) -> None:
        same = scale.sel(sae=[SAES[0], SAES[2]])
        assert (same["share"].isel(sae=0) == same["share"].isel(sae=1)).all()
        assert (same["rank"].isel(sae=0) == same["rank"].isel(sae=1)).all()
        words = same["standing"].values
        assert set(words[0].ravel()) <= {"tied for best", "not shown worse", "worse"}
        assert (words[0] == words[1]).all()

    def test_a_type_that_one_sae_lacks(self, evidence: dict[str, Evidence]) -> None:
        part = evidence[SAES[1]]
        less = Evidence(**{**vars(part), "steps": part.steps.drop_sel(activation_type="baseline"),
                           "plateaus": part.plateaus.drop_sel(activation_type="baseline")})  # fmt: skip
        found = sae_scale_dataset({SAES[0]: evidence[SAES[0]], SAES[1]: less}, SETTINGS).sel(activation_type="baseline")
        assert found["share"].notnull().values[:, 0].tolist() == [True, False]
        assert found["standing"].values[:, 0].tolist() == ["only one", "undefined"]
        assert found["n"].values[:, 0].tolist() == [48, 0]

    def test_where_random_is_like_real_nothing_is_defined(self, evidence: dict[str, Evidence]) -> None:
        moved = {}
        for sae, each in evidence.items():
            steps = each.steps.copy(deep=True)
            for name in ("step_value", "censored"):
                steps[name].loc[{"activation_type": "random"}] = steps[name].sel(activation_type="real_control").values
            moved[sae] = Evidence(**{**vars(each), "steps": steps})
        found = sae_scale_dataset(moved, SETTINGS)
        for name in ("share", "share_interval", "control_share", "rank", "behind", "behind_interval", "behind_p"):
            assert found[name].isnull().all(), name
        assert set(found["standing"].values.ravel()) == {"undefined"}
        assert found["ks"].notnull().all()
        assert found["plateau_share"].sel(metric="l2").notnull().all()

    def test_targets_that_are_shared_are_drawn_together(self, evidence: dict[str, Evidence]) -> None:
        settings = AnalysisConfig(resamples=120, statistics=STATISTICS, resample_targets=True)
        rows = np.arange(48) // 3
        linked = {sae: Evidence(**{**vars(each), "linked": rows[np.newaxis]}) for sae, each in evidence.items()}
        found, alone = (sae_scale_dataset(linked, each) for each in (settings, SETTINGS))
        assert found["share"].equals(alone["share"])
        assert not found["share_interval"].equals(alone["share_interval"])
        unknown = {sae: Evidence(**{**vars(each), "linked": None}) for sae, each in evidence.items()}
        with pytest.raises(UsageError, match="a summary does not say which targets are shared: give the runs"):
            sae_scale_dataset(unknown, settings)

    @pytest.mark.parametrize(
        ("rank", "first", "saes", "p", "ordered", "word"),
        [
            (np.nan, 1, 3, 0.5, True, "undefined"),
            (1, 1, 1, np.nan, False, "only one"),
            (1, 1, 3, np.nan, True, "best"),
            (1, 1, 3, np.nan, False, "too few"),
            (1, 2, 3, 1.0, True, "tied for best"),
            (1, 2, 2, np.nan, False, "too few"),
            (2, 1, 3, np.nan, True, "too few"),
            (2, 1, 3, np.nan, False, "too few"),
            (2, 1, 3, 0.05, True, "worse"),
            (2, 1, 3, 0.051, True, "not shown worse"),
        ],
    )
    def test_words(self, rank: float, first: int, saes: int, p: float, ordered: bool, word: str) -> None:
        assert _standing(rank, first, saes, p, 0.05, ordered=ordered) == word

    @pytest.mark.parametrize(("samples", "is_order"), [(FEWEST - 1, False), (FEWEST, True)])
    def test_too_few_base_prompts_order_no_sae(
        self, samples: int, is_order: bool, evidence: dict[str, Evidence]
    ) -> None:
        part = {sae: cut(each, samples) for sae, each in evidence.items()}
        found = sae_scale_dataset(part, SETTINGS)
        words = set(found["standing"].values.ravel()) - {"undefined"}
        assert words
        assert words.isdisjoint({"too few"}) if is_order else words == {"too few"}

    def test_how_far_behind_is_said_to_be_unadjusted(self, scale: xr.Dataset) -> None:
        assert scale["behind_interval"].attrs["method"].endswith("not adjusted for the choice of the best")


@pytest.fixture(scope="module")
def with_sae(folder: Path) -> xr.DataTree:
    """A run; read only."""
    with open_run(folder / entry(SAES[0]).run) as opened:
        return opened.load()


@pytest.fixture(scope="module")
def groups(with_sae: xr.DataTree) -> dict[str, xr.Dataset]:
    """Its steps."""
    return {name: step_dataset(with_sae[name].to_dataset(), SETTINGS, name) for name in ("sensitivity", "plateau")}


class TestEvidence:
    @pytest.mark.slow
    def test_a_summary_says_what_its_run_says(self, folder: Path, evidence: dict[str, Evidence]) -> None:
        with open_run(folder / entry(SAES[1]).run) as opened:
            run = opened.load()
        summary = analyze_open(run, SETTINGS)
        alone = sae_scale_dataset({"one": evidence[SAES[1]]}, SETTINGS)
        xr.testing.assert_identical(sae_scale_dataset({"one": evidence_of(summary, SETTINGS)}, SETTINGS), alone)
        xr.testing.assert_identical(pl.score_sae({"one": summary}).data, alone)
        xr.testing.assert_identical(pl.score_sae({"one": run}, resamples=120, statistics=STATISTICS).data, alone)
        assert pl.score_sae(summary).data["sae"].values.tolist() == [run.attrs["name"]]
        options: tuple[dict[str, Any], ...] = ({"plateau_threshold": {"l2": 5.0}}, {"nonlinearity_tolerance": 0.3})
        for option in options:
            with pytest.raises(UsageError, match=rf"{next(iter(option))} is of no use to the summary .*one.*: give"):
                pl.score_sae({"one": summary}, **option)
        other = SETTINGS.model_copy(update={"nonlinearity_tolerance": 0.3})
        with pytest.raises(UsageError, match=r"steps of the summary .* were made with another nonlinearity_tolerance"):
            evidence_of(summary, other)
        config = json.loads(str(run.attrs["config"]))
        config["analysis"]["nonlinearity_tolerance"] = 0.3
        run.attrs["config"] = json.dumps(config)
        with pytest.raises(UsageError, match="another nonlinearity_tolerance: give its run, or analyse that again"):
            pl.score_sae({"run": run, "summary": summary})
        with pytest.raises(UsageError, match=r"score_sae: confidence: .*from 1e-06"):
            pl.score_sae({"one": summary}, confidence=2.0)

    def test_other_prompts_or_seeds_are_refused(self, evidence: dict[str, Evidence]) -> None:
        one = evidence[SAES[0]]
        for change, word in (
            ({"tokens": one.tokens + 1}, "base prompts"),
            ({"settings": {**one.settings, "seed": 5}}, "seed"),
            ({"settings": {**one.settings, "model": "another"}}, "model"),
            ({"steps": one.steps.isel(metric=[0])}, "metrics"),
        ):
            with pytest.raises(UsageError, match=f"'?one'? and .*two.* cannot be compared, the {word} of their runs"):
                sae_scale_dataset({"one": one, "two": Evidence(**{**vars(one), **change})}, SETTINGS)

    @pytest.mark.parametrize(
        ("attribute", "section", "change", "word"),
        [
            ("config", "plateau", {"step_length": 0.25}, "step lengths"),
            ("config", "model", {"processing": "folded"}, "processing"),
            ("config", "model", {"dtype": "bfloat16"}, "dtype"),
            ("config", "sites", {"frozen": ["blocks.2.hook_mlp_out"]}, "sites"),
            ("config", "sites", {"frozen": []}, None),
            ("config", "sites", {"frozen": None}, None),  # as before it was written down
            ("identity", None, {"precision": "tf32x3"}, "precision"),
            ("identity", None, {"activation_types": {"random": {"module": "mine"}}}, "definition of random"),
            ("definitions", None, {"real": "something else"}, "definition of real"),
            ("definitions", None, {"structured": "something else"}, None),
            ("config", "targets", {"anchor_pool": 7}, None),
        ],
    )
    def test_other_ends_or_numerics_are_refused(
        self,
        attribute: str,
        section: str | None,
        change: dict[str, Any],
        word: str | None,
        with_sae: xr.DataTree,
        groups: dict[str, xr.Dataset],
    ) -> None:
        stored = json.loads(with_sae.attrs[attribute])
        values = {**stored, section: stored[section] | change} if section else stored | change
        changed = with_sae.copy()
        changed.attrs = with_sae.attrs | {attribute: json.dumps(values)}
        both = {
            name: evidence_of(tree, SETTINGS, groups=groups) for name, tree in (("one", with_sae), ("two", changed))
        }
        if word is None:
            check_paired(both)
            return
        with pytest.raises(UsageError, match=f"one.* and .*two.* cannot be compared, the {word} of their runs differ"):
            check_paired(both)

    def test_other_step_constants_are_refused(self, with_sae: xr.DataTree, groups: dict[str, xr.Dataset]) -> None:
        other = SETTINGS.model_copy(update={"plateau_threshold": {"l2": 5.0}})
        both = {name: evidence_of(with_sae, each, groups=groups) for name, each in (("one", SETTINGS), ("two", other))}
        with pytest.raises(UsageError, match="the step constants of their runs differ"):
            check_paired(both)

    def test_ends_and_experiments_that_are_not_there(self, folder: Path) -> None:
        with open_run(folder / entry(SAES[0]).run) as run:
            with pytest.raises(UsageError, match=r"no experiment .*absolute.* here, there is sensitivity, plateau"):
                evidence_of(run, SETTINGS, experiment="sensitivity_absolute")
            tree = run.load()
        tree["sensitivity"] = tree["sensitivity"].to_dataset().drop_sel(activation_type="random")
        with pytest.raises(UsageError, match="the run has no random, an end of the scale"):
            evidence_of(tree, SETTINGS)

    def test_which_types_are_placed(self, evidence: dict[str, Evidence]) -> None:
        assert scaled_types(evidence) == ("reconstruction", "baseline", "structured")
        assert scaled_types(evidence, ["structured", "bag"]) == ("structured",)
        one = evidence[SAES[0]]
        about = {**one.about, "targets": {**one.about["targets"], "variants": {"real_control": {"type": "structured"}}}}
        assert "real_control" in scaled_types({"a": Evidence(**{**vars(one), "about": about})})
        with pytest.raises(UsageError, match="nothing to place on the scale: have one of bag in the run"):
            sae_scale_dataset(evidence, SETTINGS, types=["bag"])


@pytest.fixture(scope="module")
def summary(folder: Path) -> xr.DataTree:
    return summarize_sweep(folder, manifest(), SETTINGS)


@pytest.mark.slow
class TestSweep:
    def test_the_group_has_what_the_scale_says(self, summary: xr.DataTree, scale: xr.Dataset) -> None:
        group = summary[GROUP].to_dataset()
        assert group["share"].dims == ("model", "sae", "write", "read", "seed", "activation_type", "metric")
        assert group["scale_length"].dims == ("model", "write", "read", "seed", "metric")
        own = group.squeeze(["model", "write", "read", "seed"], drop=True)
        for name in scale.data_vars:
            np.testing.assert_array_equal(own[name].transpose(*scale[name].dims), scale[name], err_msg=str(name))
        assert ranks_saes(summary)
        scores = pl.score_sae(summary, types=["structured"])
        assert list(scores.data["activation_type"].values) == ["structured"]
        with pytest.raises(UsageError, match="resamples is the sweep's own"):
            pl.score_sae(summary, resamples=10)
        with pytest.raises(UsageError, match=r"does not place .*bag"):
            pl.score_sae(summary, types=["bag"])

    def test_a_run_that_is_missing_leaves_a_gap(self, folder: Path) -> None:
        cells = (entry(SAES[0]), entry(SAES[1], "pending"), entry(SAES[2]))
        found = summarize_sweep(folder, manifest(*cells), SETTINGS)[GROUP].to_dataset().squeeze(drop=True)
        missing = found.sel(sae=SAES[1])
        assert missing["share"].isnull().all()
        assert set(missing["standing"].values.ravel()) == {""}
        assert set(ranking(found)["sae"]) == {SAES[0], SAES[2]}

    def test_without_saes_there_is_no_scale(self, tmp_path: Path) -> None:
        write_run(tmp_path, entry(NO_SAE), 1)
        found = summarize_sweep(tmp_path, manifest(entry(NO_SAE)), SETTINGS)
        assert GROUP not in found.children
        assert not ranks_saes(found)
        with pytest.raises(UsageError, match="the sweep has no SAEs with random and one of reconstruction"):
            pl.score_sae(found)


def test_the_ranking(scale: xr.Dataset) -> None:
    frame = ranking(scale)
    assert len(frame) == 3 * 3 * 3
    assert list(frame.columns[:4]) == ["activation_type", "metric", "sae", "rank"]
    for _, own in frame.groupby(["activation_type", "metric"], sort=False):
        assert own["rank"].is_monotonic_increasing
        assert own["share"].is_monotonic_decreasing
        first = own.iloc[0]
        assert first["behind"] == 0
        for _, row in own.iterrows():
            cell = scale.sel(sae=row["sae"], metric=row["metric"], activation_type=row["activation_type"])
            assert row["share"] == float(cell["share"])
            np.testing.assert_array_equal([row["share_lower"], row["share_upper"]], cell["share_interval"])
            assert row["standing"] == cell["standing"].item()
            assert row["behind"] == pytest.approx(first["share"] - row["share"])
    undefined = scale.copy(deep=True)
    undefined["rank"].loc[{"sae": SAES[0]}] = np.nan
    assert (ranking(undefined).groupby(["activation_type", "metric"])["sae"].last() == SAES[0]).all()
