import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plateaulens.store.schema import RunSpec
from plateaulens.testing import generate_run, synthetic_spec

Files = dict[str, bytes]


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of the runs below."""
    return 3


@pytest.fixture(scope="session")
def spec() -> RunSpec:
    """Two experiments of 5 samples in spans of 2, so that the last span is short."""
    return synthetic_spec(
        5,
        activation_types=("real", "random"),
        experiments=("sensitivity", "plateau"),
        steps=11,
        d_model=6,
        positions=4,
        samples_per_chunk=2,
    )


@pytest.fixture(scope="session")
def finished(spec: RunSpec, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run; read only."""
    path = tmp_path_factory.mktemp("finished") / "run.zarr"
    generate_run(path, spec, seed)
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A complete run of one's own, to damage."""
    return Path(shutil.copytree(finished, tmp_path / "run.zarr"))


@pytest.fixture(scope="session")
def measured() -> Callable[[Path], Files]:
    """A function: all files of a store by relative path, but for the provenance."""

    def read(store: Path) -> Files:
        files = {file.relative_to(store).as_posix(): file for file in store.rglob("*") if file.is_file()}
        return {name: file.read_bytes() for name, file in files.items() if not name.startswith("provenance/")}

    return read
