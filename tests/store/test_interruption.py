"""A run that is killed at any moment and continued equals an uninterrupted one, byte for byte."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import plateaulens
from plateaulens.store.run import RunStore
from plateaulens.store.schema import RunSpec
from plateaulens.store.verify import verify
from plateaulens.testing import generate_run, synthetic_spec

pytestmark = pytest.mark.slow

Files = dict[str, bytes]


class Killed(BaseException):
    """The process ends here: like SIGKILL, nothing in between may catch it."""


@contextmanager
def killed_at(operation: int) -> Iterator[None]:
    """Let the process die just before a file gets its name, the n-th time that happens."""
    replace = Path.replace
    count = 0

    def replace_or_die(source: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count >= operation:
            raise Killed
        return replace(source, target)

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "replace", replace_or_die)
        yield


def test_killed_before_any_file_gets_its_name(
    tmp_path: Path, spec: RunSpec, seed: int, finished: Path, measured: Callable[[Path], Files]
) -> None:
    """Every eighth file of some 120, so that creation, values, `completed` and provenance are all among them."""
    whole = leftovers = 0
    for operation in range(1, 130, 8):
        path = tmp_path / f"{operation}.zarr"
        with killed_at(operation):
            generate_run(path, spec, seed)
            whole += 1
        if path.exists():
            leftovers += any(path.rglob("*.partial"))
            with RunStore.open(path) as store:
                assert_completed_blocks_are_whole(store, path)
        generate_run(path, spec, seed)
        assert measured(path) == measured(finished)
    assert 0 < whole < 5
    assert leftovers > 5


def assert_completed_blocks_are_whole(store: RunStore, path: Path) -> None:
    for problem in verify(path):
        assert problem.endswith("continuing the run writes them again")
    for group in ("activations", "sensitivity", "plateau"):
        if group in store.spec.groups:
            everything = store.read(group, slice(None))
            pending = store.pending(group)
            for span in (span for span in store.spans(group) if span not in pending):
                written = everything.isel(sample=span)
                assert all(values.notnull().all() for values in written.data_vars.values())


def test_killed_by_the_system_at_random_moments(
    tmp_path: Path, measured: Callable[[Path], Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = synthetic_spec(
        40, activation_types=("real", "random"), experiments=("sensitivity",), steps=11, samples_per_chunk=2
    )
    generate_run(tmp_path / "whole.zarr", spec)
    path = tmp_path / "run.zarr"
    rng = np.random.default_rng()
    # The server imports what is slow to import once; it does not inherit sys.path.
    monkeypatch.setenv("PYTHONPATH", str(Path(plateaulens.__file__).parents[1]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["plateaulens.testing"])
    completed = [0]
    for _ in range(5):
        writer = context.Process(target=generate_run, args=(path, spec))
        enough = chunks(path) + rng.integers(5, 20)
        writer.start()
        while chunks(path) < enough:
            assert writer.is_alive()
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.02))
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
        with RunStore.open(path) as store:
            groups = ("activations", "sensitivity")
            completed.append(sum(len(store.spans(group)) - len(store.pending(group)) for group in groups))
            assert_completed_blocks_are_whole(store, path)
    assert completed == sorted(completed)
    assert 0 < completed[-1] < 40
    generate_run(path, spec)
    assert measured(path) == measured(tmp_path / "whole.zarr")
    assert verify(path) == []


def chunks(path: Path) -> int:
    return sum("/c/" in file.as_posix() and file.is_file() for file in path.rglob("*"))
