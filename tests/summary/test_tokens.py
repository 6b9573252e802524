import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.summary import tokens as module
from plateaulens.summary.tokens import token_dataset


def found_in(base: np.ndarray, token: np.ndarray) -> xr.Dataset:
    resampling = Resampling.draw(np.random.default_rng(0), samples=len(base), resamples=200)
    activations = xr.Dataset({"base": (("sample", "d_model"), base)})
    return token_dataset(activations, xr.DataArray(token, dims="sample"), resampling, 0.95)


@pytest.mark.parametrize(
    ("width", "word", "reason"),
    [
        (0.01, "nearly all", "none"),
        (0.5, "most", "none"),
        (5.0, "less than half", "none"),
        (1.0, "undecided", "not shown"),
    ],
)
def test_words_follow_the_interval(width: float, word: str, reason: str) -> None:
    rng = np.random.default_rng(0)
    token = np.arange(60) % 20
    base = rng.normal(size=(20, 8))[token] + width * rng.normal(size=(60, 8))
    found = found_in(base, token)
    assert found["token_relation"] == word
    assert found["token_reason"] == reason
    assert found["token_share_interval"].sel(bound="lower") < found["token_share"]
    assert found["distinct_tokens"] == 20
    assert found["token_prompts"] == 60
    assert found["single_tokens"] == 0
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()


def test_mostly_single_tokens_are_too_few() -> None:
    """However narrow the interval is: 8 of 12 prompts have a token of their own."""
    token = np.array([0, 0, 1, 1, *range(2, 10)])
    rng = np.random.default_rng(5)
    base = rng.normal(size=(10, 8))[token] + 0.001 * rng.normal(size=(12, 8))
    found = found_in(base, token)
    assert found["single_tokens"] == 8 / 12
    assert found["token_share_interval"].sel(bound="lower") > 0.9
    assert (found["token_relation"].item(), found["token_reason"].item()) == ("undecided", "too few")


def test_incomplete_samples_are_left_out() -> None:
    rng = np.random.default_rng(1)
    token = np.array([0, 0, 1, 1, 2, 3] * 3)
    base = rng.normal(size=(18, 4))
    base[[5, 7]] = np.nan
    there = np.isfinite(base).all(axis=1)
    found = found_in(base, token)
    assert found["token_prompts"] == 16
    assert float(found["token_share"]) == pytest.approx(float(found_in(base[there], token[there])["token_share"]))


def test_tokens_that_come_once_each() -> None:
    found = found_in(np.random.default_rng(2).normal(size=(6, 3)), np.arange(6))
    assert np.isnan(found["token_share"])
    assert found["token_relation"].item() == "undefined"
    assert found["single_tokens"] == 1


def test_without_prompts_nothing_is_known() -> None:
    found = found_in(np.empty((0, 3)), np.empty(0, int))
    assert found["token_prompts"] == 0
    assert np.isnan(found["single_tokens"])


def test_large_runs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAXIMUM_PROMPTS", 10)
    assert found_in(np.random.default_rng(3).normal(size=(30, 3)), np.arange(30) % 4)["token_prompts"] == 10
