"""Tests of plateaulens.report.captions and plateaulens.report.definitions."""

import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig, TargetConfig
from plateaulens.report import captions, definitions
from plateaulens.report import result_captions as notes
from plateaulens.report.contents import config_of


def test_captions_say_how_many_prompts(sensitivity: xr.Dataset, summary: xr.DataTree) -> None:
    plateau, geometry = summary["plateau"].to_dataset(), summary["geometry"].to_dataset()
    texts = [
        captions.max_slope_cdf(sensitivity),
        captions.example_curves(sensitivity),
        captions.max_slope_histograms(sensitivity),
        captions.ks_forest(sensitivity),
        captions.step_table(sensitivity),
        captions.ks_table(sensitivity),
        captions.plateaus(plateau, metric="l2"),
        captions.target_geometry(geometry),
        captions.geometry_table(geometry),
        notes.verdict_table(sensitivity),
        notes.pair_table(sensitivity),
        notes.effect_table(sensitivity),
        notes.quantile_shifts(sensitivity),
        notes.survival_curves(sensitivity),
        notes.censoring_table(sensitivity),
        notes.distinguishability(summary["distinguish"].to_dataset()),
    ]
    for text in texts:
        assert "n = 24 base prompts" in text
        assert text.endswith(".")
    assert sum("95\u00a0%" in text for text in texts) == len(texts) - 2


def test_caption_of_a_run_without_control_has_no_band(sensitivity: xr.Dataset) -> None:
    assert "grey band" in captions.ks_forest(sensitivity)
    assert "grey band" not in captions.ks_forest(sensitivity.sel(activation_type=["real", "random"]))


def test_caption_names_the_types_that_are_shown(sensitivity: xr.Dataset) -> None:
    few = sensitivity.sel(activation_type=["real", "random", "bag"])
    assert "for real and random;" in captions.max_slope_histograms(few)


def test_authors_caption_names_both_models(summary: xr.DataTree) -> None:
    assert "GPT-2" in captions.authors_table(summary)
    assert "this run (synthetic)" in captions.authors_table(summary)


def test_a_type_of_a_user_is_said_to_be_one() -> None:
    assert definitions.recipe("opposite", TargetConfig(types=("real",))) == "registered by the user"


def test_subject_names_model_sites_and_sae(summary: xr.DataTree) -> None:
    config = config_of(summary)
    text = definitions.subject(config).replace("\\", "")
    assert "the model synthetic, its weights as published" in text
    assert "blocks.1.hook_resid_pre" in text
    assert "there is no SAE" in text
    folded = config.model_copy(update={"model": config.model.model_copy(update={"processing": "folded"})})
    assert "LayerNorm folded in" in definitions.subject(folded)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_constants_are_those_of_the_analysis(confidence: float) -> None:
    settings = AnalysisConfig(resamples=1234, confidence=confidence, plateau_threshold={"l2": 12.5, "kl": 1.0})
    assert definitions.resampling(settings) == f"1,234 resamples, confidence {100 * confidence:.0f}\u00a0%"
    assert definitions.thresholds(settings)["plateau"] == "12.5 on L2 and 1 on KL"
    assert definitions.thresholds(settings)["minimum_slope"] == "0.02 on L2, 0.02 on KL and 0.0002 on JS"
