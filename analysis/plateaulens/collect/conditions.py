"""What the numbers of a model on this machine depend on: the part that is common to all of what is kept of them."""

import hashlib
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from plateaulens import cache
from plateaulens.config import ModelConfig
from plateaulens.provenance import versions
from plateaulens.subject.model import Subject

_SETTINGS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
)
"""Of the environment, what chooses the instructions that sums are made with, and so their order."""


def conditions(subject: Subject, model: ModelConfig, *, code: Sequence[str]) -> dict[str, object]:
    """The model, the software and the machine, as a key of the cache has them.

    Parameters
    ----------
    subject
        The model.
    model
        The section of the configuration that it was loaded by.
    code
        The subpackages of `plateaulens` that compute.

    Returns
    -------
    dict
        To be told apart from others by more: the site, the prompts.
    """
    installed = versions()
    return {
        "model": subject.identity,
        "processing": model.processing,
        "dtype": model.dtype,
        "bridge": subject.lens is not None,
        "versions": {
            name: installed.get(name) for name in ("plateaulens", "torch", "transformers", "transformer-lens")
        },
        "code": [cache.code_digest(package) for package in code],
        "device": _device(subject.device),
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
    }


def text(tokens: Int[Tensor, "prompt position"]) -> dict[str, object]:
    """Prompts, as a key of the cache has them.

    Parameters
    ----------
    tokens
        Token ids, shaped (prompt, position), on any device.

    Returns
    -------
    dict
        Their digest and their shape.
    """
    digest = hashlib.sha256(tokens.cpu().contiguous().numpy().astype("<i8").tobytes()).hexdigest()
    return {"tokens": digest, "prompts": list(tokens.shape)}


def _device(device: torch.device) -> list[str]:
    """Which machine computes: another processor adds up in another order."""
    found = [device.type, platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability(), _processor()]
    return [*found, torch.cuda.get_device_name(device)] if device.type == "cuda" else found


def _processor() -> str:
    """The processor's name, where the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return platform.processor()
    names = ("model name", "Model", "CPU part")
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), platform.processor())
