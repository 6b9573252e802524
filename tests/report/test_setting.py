"""Tests of plateaulens.report.setting: what was measured, in the run's own constants and words."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.names import label
from plateaulens.report import findings, setting
from plateaulens.report.contents import config_of, types_of
from plateaulens.report.text import MISSING
from plateaulens.steps.corrected import auc_ratio


def with_definitions(summary: xr.DataTree, definitions: dict[str, str] | None) -> xr.DataTree:
    """The summary of a run that says something else of its types, or nothing."""
    changed = summary.copy()
    changed.attrs.pop("definitions")
    if definitions is not None:
        changed.attrs["definitions"] = json.dumps(definitions)
    return changed


def test_definition_table_defines_every_type(summary: xr.DataTree) -> None:
    table = setting.definition_table(summary).cells()
    assert list(table["type"]) == [label(kind) for kind in types_of(summary["geometry"].to_dataset())]
    assert table["target T"].is_unique
    assert "registered by the user" not in set(table["target T"])


def test_definitions_are_the_run_s_own_words_shown_literally(summary: xr.DataTree) -> None:
    said = {"real": "another prompt's activation, drawn", "bag": "a | b `c` $d$"}
    cells = setting.definition_table(with_definitions(summary, said)).cells().set_index("type")["target T"]
    assert cells["real"] == r"another prompt's activation\, drawn"
    assert cells["bag"] == r"a \| b \`c\` \$d\$"
    assert cells["random"] == MISSING


def test_types_of_a_run_that_says_nothing_of_them_have_a_dash(summary: xr.DataTree) -> None:
    assert set(setting.definition_table(with_definitions(summary, None)).cells()["target T"]) == {MISSING}


def test_experiment_table_lists_what_the_run_has(summary: xr.DataTree) -> None:
    table = setting.experiment_table(summary).cells()
    assert list(table["experiment"]) == ["relative steps", "absolute steps", "plateaus"]
    assert list(table["step length"]) == ["1/100 of the path", "0.5 activation units", "0.5 activation units"]
    assert set(table["base prompts"]) == {"24"}
    one = xr.DataTree.from_dict({"plateau": summary["plateau"].to_dataset()})
    assert list(setting.experiment_table(one).cells()["experiment"]) == ["plateaus"]


def test_example_table_escapes_the_prompts(summary: xr.DataTree) -> None:
    prompts = summary["prompts"].to_dataset().copy(deep=True)
    prompts["text"][0] = "a | b `c`\n$d$ {{< e >}}"
    tree = xr.DataTree.from_dict({"prompts": prompts})
    table = setting.example_table(tree, summary["sensitivity"].to_dataset()).cells()
    assert list(table["prompt"]) == ["0", "1", "2"]
    assert table["text"][0] == r"a \| b \`c\`↵\$d\$ \{\{\< e \>\}\}"


class TestProvenance:
    def cells(self, summary: xr.DataTree, **attributes: object) -> dict[str, str]:
        changed = summary.copy()
        changed.attrs |= attributes
        table = setting.provenance_table(changed).cells()
        return {item.replace("\\", ""): value.replace("\\", "") for item, value in table.itertuples(index=False)}

    def test_it_says_what_was_measured_where(self, summary: xr.DataTree) -> None:
        cells = self.cells(summary)
        assert cells["write site"] == "blocks.1.hook_resid_pre"
        assert cells["weight processing"] == "none"
        assert cells["SAE"] == "none"
        assert cells["commit"] == "synthetic"
        assert cells["resamples"] == "200"

    def test_identity_is_listed_key_by_key(self, summary: xr.DataTree) -> None:
        identity = {"model": {"sha256": "ab_c", "revision": None}, "sae": None, "write_site": "x", "device": "cpu"}
        cells = self.cells(summary, identity=json.dumps(identity))
        listed = {key: value for key, value in cells.items() if key.startswith("identity")}
        assert listed == {"identity: model.sha256": "ab_c", "identity: device": "cpu"}

    def test_versions_of_the_analysis_are_listed_where_they_differ(self, summary: xr.DataTree) -> None:
        cells = self.cells(
            summary,
            versions=json.dumps({"numpy": "2.1", "torch": "2.6"}),
            analysis_versions=json.dumps({"numpy": "2.1", "xarray": "2025.9"}),
        )
        assert cells["version: torch"] == "2.6"
        assert cells["version in the analysis: xarray"] == "2025.9"
        assert "version in the analysis: numpy" not in cells

    def test_time_taken_is_the_sum_over_sessions(self, summary: xr.DataTree) -> None:
        sessions = [{"started": "2026-01-01T00:00:00+00:00", "seconds": seconds} for seconds in (3000.0, 2400.0)]
        provenance = {"created": "2026-01-01T01:30:00+01:00", "sessions": json.dumps(sessions)}
        cells = self.cells(summary, provenance=json.dumps(provenance))
        assert cells["created"] == "2026-01-01 00:30 UTC"
        assert cells["time taken"] == "1.5 hours in 2 sessions"


def test_subject_names_model_sites_and_sae(summary: xr.DataTree) -> None:
    config = config_of(summary)
    text = setting.subject(config).replace("\\", "")
    assert "The model is synthetic, its weights as published" in text
    assert "blocks.1.hook_resid_pre" in text
    assert text.endswith("There is no SAE.")
    folded = config.model_copy(update={"model": config.model.model_copy(update={"processing": "folded"})})
    assert "LayerNorm folded in" in setting.subject(folded)


def test_the_story_names_the_model_and_what_the_run_has(summary: xr.DataTree) -> None:
    text = setting.story(summary).replace("\\", "")
    assert text.startswith("One activation of synthetic, that of a prompt's last token")
    assert "latents of a sparse autoencoder (SAE)" in text
    assert text.endswith("Base prompts: 24 (relative steps), 24 (absolute steps) and 24 (plateaus).")
    real = summary["geometry"].to_dataset().sel(activation_type=["real", "random"])
    plain = xr.DataTree.from_dict({"geometry": real})
    plain.attrs = dict(summary.attrs)
    assert "SAE" not in setting.story(plain)


def test_parts_that_are_held_are_named_wherever_the_sites_are(summary: xr.DataTree) -> None:
    held, config = summary.copy(), json.loads(summary.attrs["config"])
    parts = ["blocks.2-5.hook_mlp_out", "blocks.3.hook_attn_out"]
    held.attrs = summary.attrs | {"config": json.dumps(config | {"sites": config["sites"] | {"frozen": parts}})}
    places: dict[str, Callable[[xr.DataTree], str]] = {
        "story": setting.story,
        "subject": lambda tree: setting.subject(config_of(tree)),
        "facts": findings.facts,
        "provenance": lambda tree: str(dict(setting.provenance_table(tree).cells().to_numpy().tolist())),
    }
    for make in places.values():
        assert all(part in make(held).replace("\\", "") for part in parts)
        assert "hook_mlp_out" not in make(summary)
    assert "held at what they are in the unperturbed prompt" in setting.story(held)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_constants_are_those_of_the_analysis(confidence: float) -> None:
    settings = AnalysisConfig(resamples=1234, confidence=confidence, plateau_threshold={"l2": 12.5, "kl": 1.0})
    assert setting.resampling(settings) == f"1,234 resamples, confidence {100 * confidence:.0f}\u00a0%"
    thresholds = setting.thresholds(settings, ("l2", "kl", "js"))
    assert thresholds["plateau_threshold"] == "12.5 on L2 and 1 on KL"
    assert thresholds["minimum_slope"] == "0.02 on L2, 0.02 on KL and 0.0002 on JS"


def test_the_first_step_of_an_auc_ratio_is_the_one_that_the_statistic_starts_at() -> None:
    """A curve that bends most before it has its step from there on; one whose ratios are 1 at most has none."""
    start = int(setting.thresholds(AnalysisConfig(), ("l2",))["ratio_start"])
    jumped = np.array([0.0] * 4 + [9.0] * 17)  # the ratio is 4 at step 4, 22.5 / 13.5 at step 5, and falls from there
    assert auc_ratio(jumped, 0.02).value == start
    for concave in (np.arange(21.0), np.sqrt(np.arange(21.0))):
        assert auc_ratio(concave, 0.02).censored


def test_thresholds_are_told_of_the_metrics_of_the_run_alone() -> None:
    settings = AnalysisConfig(minimum_slope={"l2": 0.02, "kl": 0.3}, plateau_threshold={"kl": 1.0})
    assert setting.thresholds(settings, ("l2",))["minimum_slope"] == "0.02 on L2"
    assert setting.thresholds(settings, ("l2",))["plateau_threshold"] == "no value"


def test_recipes_of_synthetic_types_are_told_where_the_run_has_them(summary: xr.DataTree) -> None:
    targets = config_of(summary).targets
    assert "the base A is encoded" in setting.synthetic(targets)
    assert f"the {targets.anchor_pool} latents" in setting.synthetic(targets)
    few = targets.model_copy(update={"types": ("real", "baseline")})
    assert "strongest" not in setting.synthetic(few)
    assert setting.synthetic(few).startswith("For baseline the base A is encoded")
    assert (
        setting.synthetic(targets.model_copy(update={"types": ("real",)}))
        == "No type of this run is made of the base's latents."
    )


def test_margins_stand_with_their_reasons(summary: xr.DataTree) -> None:
    table = setting.experiment_table(summary).cells()
    assert list(table["margin"]) == ["0.15", "0.075", "0.15"]
    reasons = [reason.replace("\\", "") for reason in table["why this margin"]]
    assert reasons[0].startswith("between the authors' reconstructions (0.11) and nearest synthetic types")
    assert reasons[1].startswith("as large beside the authors' structured type (0.10 on L2, 0.13 on KL) as the margin")
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    groups["plateau"] = groups["plateau"].assign(verdict=groups["plateau"]["verdict"].assign_attrs(margin=0.3))
    last = setting.experiment_table(xr.DataTree.from_dict(groups)).cells().iloc[-1]
    assert (last["margin"], last["why this margin"]) == ("0.3", "set by the analysis")
