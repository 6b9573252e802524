import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from plateaulens.errors import UsageError
from plateaulens.store.lock import ObjectLock, WriterLock

HOLDER = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.write(descriptor, str(os.getpid()).encode())
print(flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "run.zarr")
    with pytest.raises(UsageError, match=f"being written by process {os.getpid()}:"):
        WriterLock(tmp_path / "run.zarr")
    WriterLock(tmp_path / "other.zarr").release()
    lock.release()


def test_release_leaves_nothing_behind_and_lets_the_next_in(tmp_path: Path) -> None:
    for _ in range(2):
        lock = WriterLock(tmp_path / "run.zarr")
        lock.release()
        lock.release()
        assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", HOLDER, str(tmp_path / "run.zarr.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError, match=f"process {holder.pid}:"):
            WriterLock(tmp_path / "run.zarr")
        holder.kill()
    assert (tmp_path / "run.zarr.lock").exists()
    WriterLock(tmp_path / "run.zarr").release()


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x80 no process", b"12\n34", bytes(range(256)) * 1000, b"1" * 5000])
def test_a_lock_file_that_names_no_process_still_locks(tmp_path: Path, content: bytes) -> None:
    lock = WriterLock(tmp_path / "run.zarr")
    (tmp_path / "run.zarr.lock").write_bytes(content)
    with pytest.raises(UsageError, match="being written by process unknown:"):
        WriterLock(tmp_path / "run.zarr")
    lock.release()
    (tmp_path / "run.zarr.lock").write_bytes(content)
    WriterLock(tmp_path / "run.zarr").release()
    assert list(tmp_path.iterdir()) == []


def test_threads_exclude_each_other_and_any_of_them_may_release(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:

        def lock_or_refuse(_: int) -> WriterLock | None:
            try:
                return WriterLock(tmp_path / "run.zarr")
            except UsageError:
                return None

        for _ in range(20):
            (held,) = (lock for lock in pool.map(lock_or_refuse, range(8)) if lock is not None)
            held.check()
            held.release()
            with pytest.raises(AssertionError, match="the store is closed"):
                held.check()
    assert list(tmp_path.iterdir()) == []


def test_a_file_removed_by_its_last_holder_is_not_mistaken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, its holder may have released it: that file is nobody's lock any more."""
    first = WriterLock(tmp_path / "run.zarr")
    real_open = os.open

    def open_then_release(*arguments: object) -> int:
        descriptor = real_open(*arguments)  # type: ignore[arg-type]  # fails while the file is to be made anew
        monkeypatch.setattr(os, "open", real_open)
        first.release()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_release)
    second = WriterLock(tmp_path / "run.zarr")
    with pytest.raises(UsageError):
        WriterLock(tmp_path / "run.zarr")
    second.release()


class TestLocksOfObjects:
    """Of a store at a URL; see tests/store/test_remote.py for what writers do with theirs."""

    @pytest.mark.parametrize(
        "content", [b"", b"\xff\x00", b"null", b"[" * 30_000, b'{"stamp": 2e9}', b'{"stamp": 1e400, "id": 3}']
    )
    def test_what_is_no_lock(self, content: bytes) -> None:
        fs = fsspec.filesystem("memory")
        fs.pipe_file("/odd/a.lock", content)
        with pytest.raises(UsageError, match="is no lock of PlateauLens: remove it if nobody writes there"):
            ObjectLock("memory://odd/a", fs, "/odd/a.lock")
        fs.rm_file("/odd/a.lock")
        lock = ObjectLock("memory://odd/a", fs, "/odd/a.lock")
        fs.pipe_file("/odd/a.lock", content)
        lock.release()
        assert fs.cat_file("/odd/a.lock") == content, "what is not one's own is left alone"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run.zarr.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="is a symbolic link, and no lock"):
        WriterLock(tmp_path / "run.zarr")
    assert (tmp_path / "victim").read_text() == "precious"
