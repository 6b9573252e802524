"""The engine on every device there is, against the CPU in float32; and what bfloat16 does to the curves."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import write_preset
from torch import Tensor

from plateaulens.config import AnalysisConfig, ModelConfig, RunConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.names import DEFAULT_STATISTICS as STATISTICS
from plateaulens.presets import read_config
from plateaulens.scan.direct import DirectForward, choose_forward
from plateaulens.scan.engine import PathCurves
from plateaulens.scan.split import Precision
from plateaulens.scan.walk import relative, walk
from plateaulens.steps.dataset import step_statistics
from plateaulens.subject.model import Subject, load_subject

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")),
]
STEPS = 21


def measure(
    subject: Subject, device: str, precision: Precision, *, prompts: int, length: int, at_once: Any
) -> PathCurves:
    """Curves of the same random paths on any device."""
    assert subject.model is not None
    moved = dataclasses.replace(subject, model=copy.deepcopy(subject.model).to(device))  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, int(subject.bridge.cfg.d_vocab), (prompts, length), generator=rng)
    start = subject.last_activations(tokens).cpu()[:, None].expand(-1, 2, -1)
    end = torch.stack([start[:, 0].roll(1, 0), start[:, 0].roll(2, 0)], dim=1)

    def make_path(starts: Tensor, ends: Tensor) -> Tensor:
        return relative(starts, ends, STEPS)

    forward = DirectForward(moved, precision)
    batches = walk(forward, tokens, start, end, make_path, device=torch.device(device), at_once=at_once)
    curves, top_tokens = zip(*((batch.curve.cpu(), batch.top_token.cpu()) for batch in batches), strict=True)
    return PathCurves(torch.cat(curves), torch.cat(top_tokens))


def error(measured: PathCurves, exact: PathCurves) -> float:
    """The largest difference, as a share of each metric's largest value."""
    scale = exact.curve.amax(dim=(0, 1, 2))
    assert (scale > 0.01).all()
    return float(((measured.curve - exact.curve).abs().amax(dim=(0, 1, 2)) / scale).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("at_once", ["auto", 1, 2])
def test_float32_is_the_cpus_one_prompt_at_a_time(device: str, at_once: Any, subject: Subject) -> None:
    exact = measure(subject, "cpu", "float32", prompts=3, length=6, at_once=1)
    measured = measure(subject, device, "float32", prompts=3, length=6, at_once=at_once)
    assert error(measured, exact) < 1e-4


ELSEWHERE = [
    {"frozen": ("blocks.1-2.hook_mlp_out",)},
    {"frozen": ("blocks.1.hook_mlp_out", "blocks.2.hook_attn_out"), "read": "ln_final.hook_out"},
    {"write": "blocks.1.hook_mlp_out", "read": "blocks.2.hook_attn_out"},
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "fp16x3"])
@pytest.mark.parametrize("sites", ELSEWHERE, ids=" ".join)
def test_parts_that_are_held_and_sites_within_blocks_are_the_cpus(
    device: str, precision: Precision, sites: dict[str, Any], subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at("llama", **sites)
    exact = measure(subject, "cpu", "float32", prompts=3, length=6, at_once=1)
    measured = measure(subject, device, precision, prompts=3, length=6, at_once=2)
    assert error(measured, exact) < 1e-4


@pytest.mark.parametrize("device", DEVICES)
def test_bf16_is_near_and_not_the_same(device: str, subject: Subject) -> None:
    exact = measure(subject, "cpu", "float32", prompts=3, length=6, at_once=1)
    measured = measure(subject, device, "bf16", prompts=3, length=6, at_once="auto")
    assert 1e-5 < error(measured, exact) < 0.1
    assert (measured.curve[:, :, 0] == 0).all()


def moves(exact: PathCurves, rounded: PathCurves) -> dict[tuple[str, str], float]:
    """Share of paths where a statistic in bf16 is within two steps of float32's, by statistic and metric."""
    metrics = ("l2", "kl", "js")
    settings = AnalysisConfig()
    length = np.ones(exact.curve.shape[:2])

    def statistics(curves: PathCurves) -> Any:
        by_metric = curves.curve.movedim(-1, 0).numpy()
        return step_statistics(by_metric, length, metrics, step_length=None, settings=settings).value[0]

    found, moved = statistics(exact), statistics(rounded)
    shares = {}
    for s, statistic in enumerate(STATISTICS):
        for m, metric in enumerate(metrics):
            both = np.isfinite(found[s, m]) & np.isfinite(moved[s, m])
            if both.any():
                shares[statistic, metric] = float((np.abs(found[s, m] - moved[s, m])[both] <= 2).mean())
    return shares


def test_bf16_leaves_the_largest_slope_of_a_tiny_model_near_where_it_was(subject: Subject) -> None:
    exact = measure(subject, "cpu", "float32", prompts=12, length=6, at_once=1)
    shares = moves(exact, measure(subject, "cpu", "bf16", prompts=12, length=6, at_once=1))
    assert shares["max_slope", "l2"] >= 0.75


@pytest.mark.model
def test_bf16_on_smollm2() -> None:
    """What docs/performance.md says in full: most large jumps stay, though not to the step."""
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.29.hook_resid_post")
    subject = load_subject(ModelConfig(source="embedded:smollm2"), sites)
    exact = measure(subject, "cpu", "float32", prompts=4, length=10, at_once=1)
    rounded = measure(subject, "cpu", "bf16", prompts=4, length=10, at_once=1)
    assert 1e-4 < error(rounded, exact) < 0.1
    assert moves(exact, rounded)["max_slope", "l2"] >= 0.75


def test_a_model_that_only_the_bridge_runs_has_no_bf16(subject_at: Callable[..., Subject]) -> None:
    bridge_only = dataclasses.replace(subject_at("gpt2"), model=None)
    with pytest.raises(UsageError, match="float32 only"):
        choose_forward(bridge_only, "bf16")


def test_the_precision_is_part_of_the_configuration(tiny_files: Path, tmp_path: Path) -> None:
    def config(**changes: Any) -> RunConfig:
        return read_config(write_preset(tmp_path / "p.toml", tiny_files, **changes))

    assert (config().engine.precision, config().engine.prompts_per_batch) == ("auto", "auto")
    half = config(engine__precision="bf16", engine__prompts_per_batch="auto")
    assert (half.engine.precision, half.engine.prompts_per_batch) == ("bf16", "auto")
    with pytest.raises(UsageError, match=r"engine\.precision"):
        config(engine__precision="fp8")
