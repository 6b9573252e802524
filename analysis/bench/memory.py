"""How much memory `collect` and `analyze` hold, and how long they take, as the samples of a run grow.

Each runs in a process of its own, whose peak resident memory is its alone. `collect` measures a small model of random
weights, so that what grows with the samples is not drowned in weights; `analyze` reads runs that are generated in the
full shape of one, nine activation types and three metrics, without a model.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

import numpy as np
from transformers import GPT2Config

from bench.subjects import write_random
from plateaulens.testing import generate_run, synthetic_spec

_SMALL = GPT2Config(n_layer=3, n_embd=32, n_head=2, vocab_size=128, n_positions=16)
_LENGTH = 8
_STEPS = 101
_D_MODEL = 576
_CHUNK = 480

_COLLECT = """
from plateaulens.collect.collect import collect
from plateaulens.config import RunConfig
collect(RunConfig.model_validate_json(sys.argv[1]), sys.argv[2])
"""
_ANALYZE = """
from plateaulens.summary.analyze import analyze
analyze(sys.argv[1], sys.argv[2])
"""
_MEASURED = """
import json, sys, time
from bench.peak import peak_bytes
began = time.perf_counter()
{}
seconds = time.perf_counter() - began
print(json.dumps({{"seconds": seconds, "peak_bytes": peak_bytes()}}))
"""


class Held(TypedDict):
    """One process: what it did, with how many samples, its wall-clock time, and the most memory it held."""

    command: str
    samples: int
    seconds: float
    peak_bytes: int
    stored_bytes: int
    """Size of the run that was written or read."""


def measure_memory(sizes: Mapping[str, Sequence[int]]) -> list[Held]:
    """`collect` and `analyze`, each with several numbers of samples.

    Parameters
    ----------
    sizes
        The numbers of samples for `collect` and for `analyze`.

    Returns
    -------
    list of Held
        One for each number, `collect` first.
    """
    held = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for samples in sizes["collect"]:
            out = folder / f"collected-{samples}.zarr"
            held.append(_run("collect", samples, out, _COLLECT, _config(folder, samples), str(out)))
        for samples in sizes["analyze"]:
            out = folder / f"generated-{samples}.zarr"
            spec = synthetic_spec(samples, experiments=("sensitivity",), d_model=_D_MODEL, samples_per_chunk=_CHUNK)
            generate_run(out, spec)
            held.append(_run("analyze", samples, out, _ANALYZE, str(out), str(folder / f"summary-{samples}.zarr")))
    return held


def _run(command: str, samples: int, run: Path, code: str, *arguments: str) -> Held:
    program = [sys.executable, "-c", _MEASURED.format(code), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # the same package, installed or not
    done = subprocess.run(program, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Held(
        command=command,
        samples=samples,
        seconds=measured["seconds"],
        peak_bytes=measured["peak_bytes"],
        stored_bytes=sum(path.stat().st_size for path in run.rglob("*") if path.is_file()),
    )


def _config(folder: Path, samples: int) -> str:
    """The configuration of a run of one activation type on the small model, as JSON; its files are in `folder`."""
    model, prompts = folder / "model", folder / f"prompts-{samples}.npz"
    if not model.exists():
        write_random(model, _SMALL)
    np.savez(prompts, tokens=np.random.default_rng(0).integers(1, _SMALL.vocab_size, (samples, _LENGTH)))
    experiment: dict[str, Any] = {"samples": samples, "steps": _STEPS}
    last = _SMALL.n_layer - 1
    return json.dumps(
        {
            "name": "memory",
            "experiments": ["sensitivity"],
            "model": {"source": str(model)},
            "sites": {"write": "blocks.1.hook_resid_pre", "read": f"blocks.{last}.hook_resid_post"},
            "prompts": {"source": str(prompts), "length": _LENGTH},
            "targets": {"types": ["real"]},
            "sensitivity": experiment,
            "sensitivity_absolute": experiment | {"step_length": 1.0},
            "plateau": experiment | {"step_length": 1.0},
        }
    )
