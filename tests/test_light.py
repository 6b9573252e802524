"""Opening, analysing and drawing a run need no torch: here it, and everything that needs it, cannot be imported."""

from pathlib import Path

import pytest
from tests.processes import run_code

REFUSE = """
import sys

ABSENT = {"torch", "transformers", "sae_lens", "transformer_lens", "safetensors", "jaxtyping", "gguf"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""

ANALYSE = """
import plateaulens
from plateaulens import figures
from plateaulens.cli import main
from plateaulens.testing import generate_run, synthetic_spec

generate_run("run.zarr", synthetic_spec(12, steps=21))
assert plateaulens.open_run("run.zarr")["sensitivity"].curve.shape == (9, 12, 21, 3)
assert main(["analyze", "--run", "run.zarr", "--out", "summary.zarr"]) == 0
assert main(["verify", "summary.zarr"]) == 0
summary = plateaulens.open_summary("summary.zarr")
figures.max_slope_cdf(summary["sensitivity"].to_dataset()).savefig("figure.png")
"""

COLLECT = """
from plateaulens.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_is_opened_analysed_and_drawn(tmp_path: Path) -> None:
    done = run_code(REFUSE + ANALYSE, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["collect", "train"])
def test_what_needs_torch_says_what_to_install(command: str, tmp_path: Path) -> None:
    done = run_code(REFUSE + COLLECT, command, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("plateaulens: error: this command needs ")
    assert line.endswith("run `pip install 'plateaulens[collect]'`")
    assert list(tmp_path.iterdir()) == []


HEAVY = """
import sys
from plateaulens.cli import main

try:
    main(["--help"])
except SystemExit:
    heavy = {"dask", "fsspec", "matplotlib", "pandas", "scipy", "xarray", "zarr"}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_help_waits_for_nothing_heavy(tmp_path: Path) -> None:
    done = run_code(REFUSE + HEAVY, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "[]\n")
