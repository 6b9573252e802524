"""A store on a local path: built beside it, then renamed into place, so that it is there whole or not at all.

`LocalPlace` and `plateaulens.store.remote.RemotePlace` have the same methods and leave the same tree behind.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zarr.storage import LocalStore

from plateaulens.errors import UsageError, shortened
from plateaulens.replacing import discard, exchange, leftovers, prepare
from plateaulens.store.inside import LONGEST, METADATA, check_inside, linked_folder
from plateaulens.store.lock import WriterLock

_LEFTOVER = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""How zarr's LocalStore names the file that it writes before it renames it."""


class LocalPlace:
    """A local path, of a store that is there or will be.

    Parameters
    ----------
    path
        The store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def absolute(self) -> str:
        """The same place for a process that runs in another folder.

        Returns
        -------
        str
            The path from the file system's root, symbolic links resolved.
        """
        return str(self.path.resolve())

    def lies_in(self, other: object) -> bool:
        """Whether this place is inside the store at another one.

        Parameters
        ----------
        other
            The other store's place, of either kind.

        Returns
        -------
        bool
            True for a path below the other one; False for the same path, and for a place of the other kind.
        """
        return isinstance(other, LocalPlace) and other.path.resolve() in self.path.resolve().parents

    def check_outside(self) -> None:
        """Refuse a place for a new store that is inside another store.

        Raises
        ------
        UsageError
            Names the other one.
        """
        for folder in self.path.resolve().parents:
            if (folder / METADATA).is_file():
                raise UsageError(f"{self} lies inside the store {folder}: choose another place")

    def check_own(self) -> None:
        """Refuse a store that has somebody else's folders, as nobody may write or remove anything in those.

        Raises
        ------
        UsageError
            Names the first folder of the store that is a symbolic link; links to files are replaced by what is written.
        """
        if linked := self.linked():
            raise UsageError(
                f"{self}: {shortened(linked[0], LONGEST)} is a symbolic link to a folder, and nothing is written or "
                "removed there: put the folder itself in its place"
            )

    def linked(self) -> list[str]:
        """The folders of the store that are symbolic links.

        Returns
        -------
        list of str
            Paths relative to the store, in order.
        """
        found = (path for path in self.path.rglob("*") if path.is_symlink() and not path.is_file())
        return sorted(path.relative_to(self.path).as_posix() for path in found)

    def exists(self) -> bool:
        """Whether anything is there. What a replacement moved aside that was then killed is moved back first.

        Returns
        -------
        bool
            True for any file or folder, a store or not.
        """
        self._heal()
        return self.path.exists()

    def has(self, file: str) -> bool:
        """Whether the store holds a file.

        Parameters
        ----------
        file
            Path of the file relative to the store.

        Returns
        -------
        bool
            False for a folder as well.

        Raises
        ------
        UsageError
            For a name of something outside the store.
        """
        return self._own(file).is_file()

    def files(self) -> set[str]:
        """Every file of the store.

        Returns
        -------
        set of str
            Paths relative to the store, with `/` between their parts.
        """
        return {file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()}

    def read(self, file: str) -> bytes:
        """The content of a file of the store.

        Parameters
        ----------
        file
            Its relative path.

        Returns
        -------
        bytes
            All of it.

        Raises
        ------
        UsageError
            For a name of something outside the store.
        """
        return self._own(file).read_bytes()

    def read_all(self, files: Iterable[str]) -> dict[str, bytes]:
        """The content of several files of the store.

        Parameters
        ----------
        files
            Their relative paths.

        Returns
        -------
        dict of str to bytes
            By relative path, without those that are not there.

        Raises
        ------
        UsageError
            For a name of something outside the store.
        """
        return {file: self.read(file) for file in files if self.has(file)}

    def remove(self, file: str) -> None:
        """Remove a file of the store, or a folder that is in its place, if it is there.

        Parameters
        ----------
        file
            Its relative path. Of a symbolic link, the link is removed.

        Raises
        ------
        UsageError
            For a name of something outside the store.
        """
        path = self._own(file)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def open(self, *, read_only: bool = False) -> LocalStore:
        """The store's bytes, as zarr wants them.

        Parameters
        ----------
        read_only
            Whether zarr refuses to write to it.

        Returns
        -------
        LocalStore
            Nothing has been read of it yet.
        """
        return LocalStore(self.path, read_only=read_only)

    def lock(self) -> WriterLock:
        """Become the only writer; makes the folder that the store lies in.

        Returns
        -------
        WriterLock
            Held until it is released.

        Raises
        ------
        UsageError
            When another writer holds the lock, and where nobody may write.
        """
        prepare(self.path.parent)
        return WriterLock(self.path)

    def tidy(self) -> None:
        """Remove what killed writers left half-written, as a writer that has the lock."""
        discard(self._partial)
        for file in self.path.rglob("*.partial"):
            if _LEFTOVER.search(file.name):
                file.unlink()

    @contextmanager
    def create(self) -> Iterator[LocalStore]:
        """Somewhere to build a store, for a writer that has the lock.

        Yields
        ------
        LocalStore
            `NAME.partial` beside the store's place, emptied of what an interrupted creation left. It is renamed into
            place when the `with` statement ends, and stays beside it when that fails.

        Raises
        ------
        UsageError
            When something is there, or the place is inside another store.
        """
        if self.path.exists() or self.path.is_symlink():
            raise UsageError(f"{self} exists: choose another name, or remove it first")
        self.check_outside()
        discard(self._partial)
        yield LocalStore(self._partial)
        self._partial.rename(self.path)

    @contextmanager
    def replace(self) -> Iterator[LocalStore]:
        """Somewhere to build a store that takes the place of whatever is there.

        Yields
        ------
        LocalStore
            A folder beside the store's place, of this process alone. It takes the place in one step when the `with`
            statement ends; when that fails it is removed, and what was there stays. However the process dies, the place
            holds the old store or the new one, whole. Only where the system cannot exchange two folders at once, there
            is a moment without either; `exists` and the next `replace` end it, which brings the old one back.

        Raises
        ------
        UsageError
            When the place is inside another store, and where nobody may write.
        """
        self.check_outside()
        prepare(self.path.parent)
        self._clean()
        try:
            yield LocalStore(self._beside("new"))
            self._put_in_place(self._beside("new"))
        finally:
            self._clean()

    def _put_in_place(self, building: Path) -> None:
        """Rename a store into its place; what was there has `building`'s name then."""
        if not self.path.exists():
            building.rename(self.path)
        elif not exchange(building, self.path):
            # A directory cannot be renamed onto another: the old one steps aside for a moment.
            old = self.path.rename(self._beside("old"))
            building.rename(self.path)
            old.rename(building)

    def _clean(self) -> None:
        """Remove what dead processes, and this one, left beside the store's place; or move it back there."""
        self._heal()
        for left in leftovers(self.path, "new"):
            discard(left)
        if self.path.exists():
            for left in leftovers(self.path, "old"):
                # what is called old may be moved back, so that nothing may be that has begun to be removed
                with suppress(OSError):
                    discard(left.rename(self._beside("new")))

    def _heal(self) -> None:
        """Where nothing is in the store's place, move back what a dead process had moved aside."""
        if not self.path.exists():
            with suppress(OSError):  # another process was faster, or nobody may write here
                for old in leftovers(self.path, "old"):
                    old.rename(self.path)

    def _own(self, file: str) -> Path:
        """The path of a file of the store. Raises `UsageError` where it may be one of somebody else's."""
        check_inside(self, file)
        if (link := linked_folder(self.path, file)) is not None:
            raise UsageError(f"{self}: {link.relative_to(self.path)} is a symbolic link: put the folder itself there")
        return self.path / file

    def _beside(self, role: str) -> Path:
        """Where this process keeps what is to come into the store's place (`new`), or was there (`old`)."""
        return self.path.with_name(f".{self.name}.{os.getpid()}.{role}")

    @property
    def _partial(self) -> Path:
        """Where a store is created."""
        return self.path.with_name(self.name + ".partial")
