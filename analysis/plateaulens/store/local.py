"""A store on a local path: built beside it, then renamed into place, so that it is there whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarr.storage import LocalStore

from plateaulens.errors import UsageError
from plateaulens.store.lock import WriterLock

_LEFTOVER = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""How zarr's LocalStore names the file that it writes before it renames it."""


class LocalPlace:
    """A local path, of a store that is there or will be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def absolute(self) -> str:
        """The same place for a process that runs in another folder."""
        return str(self.path.resolve())

    def lies_in(self, other: object) -> bool:
        """Whether this place is inside the store at another one."""
        return isinstance(other, LocalPlace) and other.path.resolve() in self.path.resolve().parents

    def exists(self) -> bool:
        """Whether anything is there."""
        return self.path.exists()

    def has(self, file: str) -> bool:
        """Whether the store holds a file of that relative path."""
        return (self.path / file).is_file()

    def files(self) -> set[str]:
        """Every file of the store by its relative path."""
        return {file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()}

    def open(self, *, read_only: bool = False) -> LocalStore:
        """The store's bytes, as zarr wants them."""
        return LocalStore(self.path, read_only=read_only)

    def lock(self) -> WriterLock:
        """Become the only writer. Raises `UsageError` when another process is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return WriterLock(self.path)

    def tidy(self) -> None:
        """Remove what killed writers left half-written."""
        for file in self.path.rglob("*.partial"):
            if _LEFTOVER.search(file.name):
                file.unlink()

    @contextmanager
    def create(self) -> Iterator[LocalStore]:
        """Somewhere to build a store, which stands in its place when the span ends; for a writer that has the lock.

        Raises `UsageError` when something is there.
        """
        if self.path.exists():
            raise UsageError(f"{self} exists: choose another name, or remove it first")
        building = self.path.with_name(self.name + ".partial")
        shutil.rmtree(building, ignore_errors=True)
        yield LocalStore(building)
        building.rename(self.path)

    @contextmanager
    def replace(self) -> Iterator[LocalStore]:
        """Somewhere to build a store, which takes the place of whatever is there when the span ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        building, old = (self.path.with_name(f".{self.name}.{os.getpid()}.{role}") for role in ("new", "old"))
        try:
            yield LocalStore(building)
            if self.path.exists():
                # A directory cannot be renamed onto another: the old one steps aside for a moment.
                self.path.rename(old)
            building.rename(self.path)
        finally:
            if old.exists() and not self.path.exists():
                old.rename(self.path)
            shutil.rmtree(building, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
