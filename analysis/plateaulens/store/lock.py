"""One writer at a time: an advisory lock beside the store, which the kernel drops however its holder dies."""

import fcntl
import os
from pathlib import Path

from plateaulens.errors import UsageError


class WriterLock:
    """The lock of one store, held from construction to `release`, in the file `NAME.zarr.lock` beside it.

    The file says which process holds it. Raises `UsageError` at once, naming that process, when another writer has it
    (one in this process included).
    """

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".lock")
        self._descriptor = self._acquire(store)
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def _acquire(self, store: Path) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode() or "unknown"
                os.close(descriptor)
                raise UsageError(f"{store} is being written by process {holder}: wait for it, or stop it") from None
            if self._is_current(descriptor):
                return descriptor
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        # The last holder removes the file while it still has the lock, so ours may be one that nobody else can see.
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Do nothing: as long as it has not been released, nobody else can have the lock."""
        assert self._descriptor >= 0, "the store is closed"

    def release(self) -> None:
        """Remove the lock file and let the next writer in; nothing happens the second time."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
