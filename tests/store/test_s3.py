"""Runs and summaries on a real S3-compatible server: the same tree as on a disk, object by object."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from tests.processes import PATIENCE
from tests.s3 import BUCKET, close_clients, s3_server

from plateaulens.errors import UsageError
from plateaulens.store.location import locate
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore, open_or_create
from plateaulens.store.schema import RunSpec
from plateaulens.store.spans import SpanStore, Values
from plateaulens.store.verify import verify
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_prompts, synthetic_values

pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of an empty bucket."""
    with s3_server():
        yield f"s3://{BUCKET}"


def objects(url: str) -> Files:
    """All objects of a store by relative name, but for the provenance."""
    import fsspec

    fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
    return {name: fs.cat_file(f"{root}/{name}") for name in locate(url).files() if not name.startswith("provenance/")}


def test_a_run_is_the_same_there_as_on_a_disk(
    bucket: str, spec: RunSpec, seed: int, finished: Path, measured: Callable[[Path], Files]
) -> None:
    url = f"{bucket}/deep/run.zarr"
    generate_run(url, spec, seed)
    assert objects(url) == measured(finished)
    assert verify(url) == []
    here, there = (open_run(path)["sensitivity"].to_dataset() for path in (finished, url))
    assert here.load().identical(there.load())
    generate_run(url, spec, seed)
    assert objects(url) == measured(finished)


def test_one_writer_at_a_time(bucket: str, spec: RunSpec, seed: int) -> None:
    url = f"{bucket}/locked.zarr"
    attributes, prompts = synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)
    with open_or_create(url, spec, attributes, prompts), pytest.raises(UsageError, match="is being written by process"):
        RunStore.open(url)
    RunStore.open(url).close()


def write(url: str, spec: RunSpec, seed: int, pause: float = 0.0, ready: Event | None = None) -> None:
    """In a process of its own: a run, slowly; `ready` is set when the first span is there."""
    put = SpanStore.write

    def put_slowly(store: SpanStore, group: str, samples: slice, values: Values) -> None:
        put(store, group, samples, values)
        if ready is not None:
            ready.set()
        time.sleep(pause)

    SpanStore.write = put_slowly  # type: ignore[method-assign,assignment]
    generate_run(url, spec, seed)


def test_killed_in_the_middle_of_a_measurement(
    bucket: str, spec: RunSpec, seed: int, finished: Path, measured: Callable[[Path], Files]
) -> None:
    import fsspec

    url = f"{bucket}/killed.zarr"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=write, args=(url, spec, seed, 600.0, ready))
    process.start()
    assert ready.wait(PATIENCE)
    process.kill()
    process.join()
    with pytest.raises(UsageError, match=f"is being written by process {process.pid} on "):
        generate_run(url, spec, seed)
    fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
    fs.rm_file(f"{root}.lock")
    generate_run(url, spec, seed)
    assert objects(url) == measured(finished)
    assert verify(url) == []


def test_two_live_writers(
    bucket: str, spec: RunSpec, seed: int, finished: Path, measured: Callable[[Path], Files]
) -> None:
    """The second one is refused, or comes after the first; or is told that it has been taken for dead."""
    import fsspec

    url = f"{bucket}/two.zarr"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=write, args=(url, spec, seed, 0.05, ready))
    process.start()
    assert ready.wait(PATIENCE)
    with pytest.raises(UsageError, match=f"is being written by process {process.pid} on "):
        generate_run(url, spec, seed)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert objects(url) == measured(finished)

    asleep = f"{bucket}/asleep.zarr"
    fs, root = fsspec.url_to_fs(asleep, use_listings_cache=False)
    with open_or_create(asleep, spec, synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)) as store:
        fs.rm_file(f"{root}.lock")  # as ten minutes of sleep would do
        generate_run(asleep, spec, seed)
        with pytest.raises(UsageError, match="was taken over by another writer: this one stops"):
            store.write("sensitivity", slice(0, 2), synthetic_values(spec, "sensitivity", slice(0, 2), seed))
    assert objects(asleep) == measured(finished)
    assert not fs.exists(f"{root}.lock")


def test_an_edited_layout_is_found_on_opening(bucket: str, spec: RunSpec, seed: int) -> None:
    import fsspec

    url = f"{bucket}/edited.zarr"
    generate_run(url, spec, seed)
    fs, root = fsspec.url_to_fs(url)
    file = f"{root}/sensitivity/curve/zarr.json"
    whole = fs.cat_file(file)
    fs.pipe_file(file, whole.replace(b"NaN", b"0.0"))
    for opened in (open_run, RunStore.open):
        with pytest.raises(UsageError, match=r"\(sensitivity/curve/zarr.json is not what was written there\)"):
            opened(url)
    fs.rm_file(file)
    with pytest.raises(UsageError, match=r"\(sensitivity/curve/zarr.json is missing\)"):
        open_run(url)


def test_damage_is_found(bucket: str, spec: RunSpec, seed: int) -> None:
    import fsspec

    url = f"{bucket}/damaged.zarr"
    generate_run(url, spec, seed)
    fs, root = fsspec.url_to_fs(url)
    fs.pipe_file(f"{root}/sensitivity/curve/c/0/1/0/0", b"damaged")
    (problem,) = verify(url)
    assert problem.startswith("sensitivity/curve chunk c/0/1/0/0: damaged")


def test_what_cannot_be_reached(bucket: str, spec: RunSpec) -> None:
    with pytest.raises(UsageError, match=r"^s3://no-such-bucket/run.zarr cannot be reached \(.*bucket does not exist"):
        generate_run("s3://no-such-bucket/run.zarr", spec)
    with pytest.raises(UsageError, match=f"no plateaulens run at {bucket}/absent.zarr: run `plateaulens collect`"):
        open_run(f"{bucket}/absent.zarr")


def test_without_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    close_clients()
    with pytest.raises(UsageError, match=r"cannot be reached \(Unable to locate credentials\): docs/cluster.md"):
        open_run(f"{bucket}/run.zarr")
    close_clients()
