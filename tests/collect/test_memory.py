"""However many samples are asked for, `collect` holds a fixed amount of memory."""

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import VOCABULARY
from tests.processes import run_code
from tests.tiny import write_preset

COLLECT = """
import sys
from pathlib import Path
from bench.peak import peak_bytes
from plateaulens.collect.collect import collect
from plateaulens.presets import read_config

collect(read_config(Path(sys.argv[1])), sys.argv[2])
print(peak_bytes())
"""

STEPS, FEW, MANY = 401, 100, 4800
STORED = (MANY - FEW) * STEPS * (3 + 1) * 4
"""Bytes of curves and tokens by which the larger run is larger: 30 MB. The peaks of two equal processes differ by up to
10 MB, which must be small beside it."""


def peak(samples: int, files: Path, folder: Path) -> int:
    """Bytes that a process holds at most while it collects so many samples of one activation type."""
    preset = write_preset(
        folder / f"{samples}.toml",
        files,
        prompts__source=str(folder / "prompts.npz"),
        sae__source=None,
        targets__types=["real"],
        experiments=["sensitivity"],
        sensitivity__samples=samples,
        sensitivity__steps=STEPS,
        engine__samples_per_chunk=50,
    )
    done = run_code(COLLECT, str(preset), str(folder / f"{samples}.zarr"), folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_samples(tiny_files: Path, tmp_path: Path) -> None:
    tokens = np.random.default_rng(5).integers(1, VOCABULARY, (MANY, 8))
    np.savez(tmp_path / "prompts.npz", tokens=tokens)
    few, many = (peak(samples, tiny_files, tmp_path) for samples in (FEW, MANY))
    assert many - few < STORED / 2
