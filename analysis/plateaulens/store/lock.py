"""One writer at a time: a lock beside the store.

Of a local store it is an advisory lock of the kernel (`filelock`), which is dropped however its holder dies.

Where there is no kernel to say so it is an object that is created exclusively. Its holder stamps it again and again;
one that has not been stamped for `FORGOTTEN` seconds is a dead writer's, and the next writer takes it over. Only the
server's clock counts, where the driver says when it was that an object was written; else those of the two machines must
agree to within minutes. In the moment of a take-over two writers may believe themselves alone: both write the same
bytes, and the one whose object it is not stops before it writes its next span.
"""

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from plateaulens.config import Strict, Within
from plateaulens.errors import UsageError

_LONGEST_NUMBER = 20
"""Digits of a process's number, generously."""
_LONGEST_HOST = 255


class WriterLock:
    """The lock of one store, held from construction to `release`, in the file `NAME.zarr.lock` beside it.

    The file says which process holds it. Any thread of that process may release it.

    Parameters
    ----------
    store
        Local path of the store, whether or not there is one yet.

    Raises
    ------
    UsageError
        At once, naming the process, when another writer has the lock (one in this process included).
    """

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".lock")
        # a file that stands for the lock where the kernel has none would outlive a killed holder
        if self._path.is_symlink():
            raise UsageError(f"{self._path} is a symbolic link, and no lock of PlateauLens: remove it")
        self._lock = FileLock(self._path, blocking=False, thread_local=False, fallback_to_soft=False)
        self._acquire(store)
        self._path.write_text(str(os.getpid()), encoding="ascii")

    def _acquire(self, store: Path) -> None:
        while not self._lock.is_locked:
            try:
                self._lock.acquire()
            except Timeout:
                holder = self._holder()
                if holder is not None:
                    raise UsageError(f"{store} is being written by process {holder}: wait for it, or stop it") from None

    def _holder(self) -> str | None:
        """The process that the lock file names; None where there is none any more, since its holder removed it."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_LONGEST_NUMBER + 1)
        except FileNotFoundError:
            return None
        return text.decode() if text.isdigit() and len(text) <= _LONGEST_NUMBER else "unknown"

    def check(self) -> None:
        """Do nothing: as long as it has not been released, nobody else can have the lock."""
        assert self._lock.is_locked, "the store is closed"

    def release(self) -> None:
        """Remove the lock file and let the next writer in; nothing happens the second time."""
        if self._lock.is_locked:
            # while it is still held: a writer that comes between sees that the file it opened is gone, and opens again
            self._path.unlink(missing_ok=True)
            self._lock.release()


BEAT = 30.0
"""Seconds between two stamps."""

FORGOTTEN = 600.0
"""Seconds without a stamp after which a writer counts as dead."""


class ObjectLock:
    """The lock of one store, held from construction to `release`.

    Parameters
    ----------
    store
        The name of what it locks.
    fs
        An fsspec file system whose `pipe_file` can create exclusively (S3, Google Cloud Storage, memory do).
    path
        The object in it.
    beat
        Seconds between two stamps.
    forgotten
        Seconds without a stamp after which a writer counts as dead.

    Raises
    ------
    UsageError
        At once, naming the writer, when there is one.
    """

    def __init__(self, store: str, fs: Any, path: str, *, beat: float = BEAT, forgotten: float = FORGOTTEN) -> None:
        self._store, self._fs, self._path = store, fs, path
        self._beat, self._forgotten = beat, forgotten
        self._id = uuid.uuid4().hex
        self._lost = False
        self._acquire()
        self._released = threading.Event()
        self._stamper = threading.Thread(target=self._keep_stamping, name="plateaulens lock", daemon=True)
        self._stamper.start()

    def check(self) -> None:
        """Make sure that the lock is still this writer's.

        Raises
        ------
        UsageError
            When another writer has taken the lock over, for instance while this machine slept.
        """
        assert not self._released.is_set(), "the store is closed"
        if not self._lost:
            # where nobody answers the next stamp will say so
            with suppress(Exception):
                self._lost = not self._is_mine()
        if self._lost:
            raise UsageError(f"{self._store} was taken over by another writer: this one stops; see who writes there")

    def release(self) -> None:
        """Remove the object and let the next writer in; nothing happens the second time."""
        if self._released.is_set():
            return
        self._released.set()
        self._stamper.join()
        if self._is_mine():
            self._fs.rm_file(self._path)

    def _acquire(self) -> None:
        while True:
            try:
                self._fs.pipe_file(self._path, self._stamped(), mode="create")
            except FileExistsError:
                self._refuse_unless_forgotten()
            else:
                return

    def _refuse_unless_forgotten(self) -> None:
        """Raise `UsageError` for a living writer's lock; remove a dead one's."""
        try:
            holder = self._read()
            if holder is None:
                raise UsageError(f"{self._path} is no lock of PlateauLens: remove it if nobody writes there")
            silent = self._silence(holder)
        except FileNotFoundError:
            return
        if silent < self._forgotten:
            raise UsageError(
                f"{self._store} is being written by process {holder.process} on {holder.host}, last heard of "
                f"{max(silent, 0):.0f} s ago: wait for it, or stop it; {self._forgotten:.0f} s after a writer has "
                "died the next one may go on"
            )
        self._fs.rm_file(self._path)

    def _silence(self, holder: "_Holder") -> float:
        """Seconds since the holder's last stamp, by the server's clock: either machine's may have jumped."""
        now = f"{self._path}.{self._id}"
        try:
            self._fs.pipe_file(now, b"What time is it?")
            try:
                seconds: float = (self._fs.modified(now) - self._fs.modified(self._path)).total_seconds()
            finally:
                self._fs.rm_file(now)
        except NotImplementedError:  # the driver does not say
            return time.time() - holder.stamp
        return seconds

    def _keep_stamping(self) -> None:
        last = time.monotonic()
        while not self._released.wait(self._beat):
            try:
                if not self._is_mine():
                    break
                self._fs.pipe_file(self._path, self._stamped())
                last = time.monotonic()
            except Exception:  # noqa: BLE001 (each driver raises exceptions of its own; the next beat tries again)
                if time.monotonic() - last > self._forgotten / 2:
                    break
        self._lost = not self._released.is_set()

    def _is_mine(self) -> bool:
        try:
            holder = self._read()
        except FileNotFoundError:
            return False
        return holder is not None and holder.id == self._id

    def _read(self) -> "_Holder | None":
        """Whose lock it is; None where something else is there. Raises `FileNotFoundError` where there is nothing."""
        content: bytes = self._fs.cat_file(self._path)
        try:
            return _Holder.model_validate_json(content)
        except ValidationError:
            return None

    def _stamped(self) -> bytes:
        holder = _Holder(host=socket.gethostname()[:_LONGEST_HOST], process=os.getpid(), id=self._id, stamp=time.time())
        return holder.model_dump_json().encode()


class _Holder(Strict):
    """What an `ObjectLock` writes down: who holds it, and when that was last so."""

    host: Annotated[str, Field(max_length=_LONGEST_HOST)]
    process: Annotated[int, Within(0, 10**_LONGEST_NUMBER)]
    id: Annotated[str, Field(max_length=32)]
    stamp: Annotated[float, Within(0, 10**12)]
    """Seconds since 1970."""
