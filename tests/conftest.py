"""Fixtures shared by the tests of the collecting half: tiny language models with random weights.

Everything that needs torch is imported inside fixtures, so that the rest of the suite runs without it.

Tests that look at pages and PDFs (marked `browser`) are skipped where the programs for that are missing.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from tests.seeing import missing_programs

if TYPE_CHECKING:
    import xarray as xr

    from plateaulens.subject.model import Subject

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["PLATEAULENS_CACHE"] = ""  # nothing is kept beyond a test, nor found there
VOCABULARY, BLOCKS = 101, 3
"""As in `plateaulens.subject.tiny`, which needs torch."""
NAMES = {
    "gemma3_text": "google/gemma-3-270m",
    "gpt2": "gpt2",
    "gpt_neox": "EleutherAI/pythia-70m",
    "llama": "HuggingFaceTB/SmolLM2-135M",
    "qwen3": "Qwen/Qwen3-0.6B",
}
"""By transformers' `model_type`, a model under whose name TransformerLens knows the architecture."""


def pytest_configure() -> None:
    """Keep torch to one thread: the models are tiny, and two threads on two busy cores only wait for each other.

    For the same reason Hypothesis does not time its examples.
    """
    hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
    hypothesis.settings.load_profile("untimed")
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot be looked at here, and say for want of what."""
    if item.get_closest_marker("browser") is not None and (missing := missing_programs()):
        pytest.skip(f"needs {' and '.join(missing)}")


def tiny_model(architecture: str, **changes: Any) -> Any:
    """See `plateaulens.subject.tiny.tiny_model`."""
    from plateaulens.subject import tiny

    assert (tiny.VOCABULARY, tiny.BLOCKS) == (VOCABULARY, BLOCKS)
    return tiny.tiny_model(architecture, **changes)


def tiny_tokenizer() -> Any:
    """See `plateaulens.subject.tiny.tiny_tokenizer`."""
    from plateaulens.subject import tiny

    return tiny.tiny_tokenizer()


def make_subject(
    architecture: str,
    *,
    write: str = "blocks.1.hook_resid_pre",
    read: str = f"blocks.{BLOCKS - 1}.hook_resid_post",
    lens: bool = True,
    position: int = -1,
    frozen: tuple[str, ...] = (),
    **changes: Any,
) -> "Subject":
    """A subject over a tiny model, perhaps without TransformerLens; `changes` are to its configuration."""
    from transformer_lens.model_bridge import TransformerBridge

    from plateaulens.config import SiteConfig
    from plateaulens.subject.copies import shared_copy
    from plateaulens.subject.model import Subject
    from plateaulens.subject.sites import parse_sites

    tokenizer, model = tiny_tokenizer(), tiny_model(architecture, **changes).eval()
    plain = shared_copy(model)
    write_at, read_at, held = parse_sites(SiteConfig(write=write, read=read, frozen=frozen), BLOCKS)
    if not lens:
        return Subject(None, tokenizer, {}, write_at, read_at, plain, position, frozen=held)
    name = NAMES.get(architecture, architecture)
    bridge = TransformerBridge.boot_transformers(name, hf_model=model, tokenizer=tokenizer, device="cpu")
    return Subject(bridge, tokenizer, {}, write_at, read_at, plain, position, frozen=held)


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def subject(request: pytest.FixtureRequest) -> "Subject":
    """A tiny model of each of two architectures, written before block 1 and read after the last block."""
    return make_subject(request.param)


@pytest.fixture(scope="session")
def subject_at() -> "Callable[..., Subject]":
    """The maker of tiny subjects, for tests that choose the sites."""
    return make_subject


@pytest.fixture(scope="session")
def synthetic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every experiment and every shipped type, 24 base prompts; random comes later than real; read only."""
    from plateaulens.testing import generate_run, synthetic_spec

    path = tmp_path_factory.mktemp("synthetic") / "run.zarr"
    generate_run(path, synthetic_spec(24, likely=5, encoded=True), seed=1)
    return path


@pytest.fixture(scope="session")
def synthetic_summary(synthetic_run: Path) -> "xr.DataTree":
    """Its summary; read only."""
    from plateaulens.config import AnalysisConfig
    from plateaulens.store.reading import open_run
    from plateaulens.summary.analyze import summarize

    with open_run(synthetic_run) as run:
        return summarize(run, AnalysisConfig(resamples=200))


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, an SAE for it and prompts, as `tests.tiny.write_preset` names them; read only."""
    from tests.tiny import write_model, write_prompts, write_sae

    folder = tmp_path_factory.mktemp("tiny")
    write_model(folder / "model")
    write_sae(folder / "sae")
    write_prompts(folder / "prompts.npz")
    return folder
