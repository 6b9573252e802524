"""A store at a URL, through fsspec: object stores have no rename, so the root's metadata is written last of all.

Whoever reads takes the place for a store only when its root `zarr.json` is there. While one is built, the object
`NAME.partial` beside it says so: it tells the rest of an interrupted creation, which is made anew, from something that
somebody else keeps there, which is never touched.

Credentials, regions and endpoints come from where fsspec and its drivers look for them: `AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, `FSSPEC_S3_...`, the files of `~/.aws` and `~/.config/fsspec`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from fsspec.core import url_to_fs
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from plateaulens.errors import UsageError, first_line, shown
from plateaulens.store.inside import METADATA, check_inside
from plateaulens.store.lock import ObjectLock

_FRESH = {"use_listings_cache": False}
"""Other processes write too: a remembered listing would be wrong."""

_PATTERN = "*?["
"""Of characters that begin a pattern for fsspec, which reads and removes whatever else fits it: `a[1]` means `a1`."""

_EXTRAS = {"s3": "s3fs", "s3a": "s3fs"}
"""The drivers that an extra of PlateauLens installs, by protocol; the extra is called `s3`."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL.

    Parameters
    ----------
    path
        A path or a URL.

    Returns
    -------
    bool
        True for anything with a protocol, `file:///...` included.
    """
    return "://" in path


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in _PATTERN)


class RemotePlace:
    """A URL, of a store that is there or will be.

    Parameters
    ----------
    url
        With its protocol; a `/` at its end is dropped.

    Raises
    ------
    UsageError
        When there is no driver for the URL, the driver refuses it, or takes it for a pattern.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        if _is_pattern(self._url):
            raise UsageError(
                f"{shown(url)} would be taken for a pattern: give the store a name without any of {_PATTERN}"
            )
        protocol = url.partition("://")[0]
        try:
            self._fs, self._root = url_to_fs(self._url, **_FRESH)
        except ImportError as error:
            if protocol in _EXTRAS:
                raise UsageError(f"{self} needs {_EXTRAS[protocol]}: run `pip install 'plateaulens[s3]'`") from error
            raise UsageError(f"{self} needs a package that is not installed: {first_line(error)}") from error
        except Exception as error:  # drivers raise what they like about an address
            known = "there is s3, gs, abfs and what else fsspec knows"
            raise UsageError(f"{self} cannot be used ({first_line(error)}): {known}") from error

    def __str__(self) -> str:
        return self._url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self._url.rpartition("/")[2]

    def absolute(self) -> str:
        """The same place for a process on another machine.

        Returns
        -------
        str
            The URL.
        """
        return self._url

    def lies_in(self, other: object) -> bool:
        """Whether this place is inside the store at another one.

        Parameters
        ----------
        other
            The other store's place, of either kind.

        Returns
        -------
        bool
            True for a URL below the other one; False for the same URL, and for a place of the other kind.
        """
        return isinstance(other, RemotePlace) and self._url.startswith(f"{other}/")

    def check_outside(self) -> None:
        """Nothing: whether a URL further up is a store as well is not asked."""

    def check_own(self) -> None:
        """Nothing: objects are in no folders, and none stands for another."""

    def linked(self) -> list[str]:
        """The folders of the store that are symbolic links.

        Returns
        -------
        list of str
            None.
        """
        return []

    def exists(self) -> bool:
        """Whether a store is there that was built to its end.

        Returns
        -------
        bool
            False for what an interrupted creation left, and for objects that are no store.

        Raises
        ------
        UsageError
            When that cannot be known, because the URL cannot be reached.
        """
        return self.has(METADATA)

    def has(self, file: str) -> bool:
        """Whether the store holds an object.

        Parameters
        ----------
        file
            Name of the object relative to the store.

        Returns
        -------
        bool
            As the driver says now; no listing is remembered.

        Raises
        ------
        UsageError
            For a name of something outside the store, and when it cannot be known, as the URL cannot be reached.
        """
        check_inside(self, file)
        with self._reaching():
            return bool(self._fs.exists(f"{self._root}/{file}"))

    def files(self) -> set[str]:
        """Every object of the store.

        Returns
        -------
        set of str
            Names relative to the store.

        Raises
        ------
        UsageError
            When the URL cannot be reached.
        """
        with self._reaching():
            return {str(name).removeprefix(f"{self._root}/") for name in self._fs.find(self._root)}

    def read(self, file: str) -> bytes:
        """The content of an object of the store.

        Parameters
        ----------
        file
            Its relative name.

        Returns
        -------
        bytes
            All of it.

        Raises
        ------
        UsageError
            When it cannot be had, and for a name of something outside the store.
        """
        check_inside(self, file)
        with self._reaching():
            content: bytes = self._fs.cat_file(f"{self._root}/{file}")
            return content

    def read_all(self, files: Iterable[str]) -> dict[str, bytes]:
        """The content of several objects of the store, asked for at once where the driver can.

        Parameters
        ----------
        files
            Their relative names.

        Returns
        -------
        dict of str to bytes
            By relative name, without those that are not there.

        Raises
        ------
        UsageError
            When the URL cannot be reached, and for a name of something outside the store.
        """
        names = {f"{self._root}/{file}": file for file in files}
        for file in names.values():
            check_inside(self, file)
        with self._reaching():
            plain = [name for name in names if not _is_pattern(name)]
            found: dict[str, bytes | Exception] = self._fs.cat(plain, on_error="return") if plain else {}
            for name in names.keys() - set(plain):
                with suppress(FileNotFoundError):
                    found[name] = self._fs.cat_file(name)
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {names[name]: content for name, content in found.items() if isinstance(content, bytes)}

    def remove(self, file: str) -> None:
        """Remove an object of the store, if it is there.

        Parameters
        ----------
        file
            Its relative name.

        Raises
        ------
        UsageError
            When that cannot be done, and for a name of something outside the store.
        """
        check_inside(self, file)
        with self._reaching():
            if self._fs.exists(f"{self._root}/{file}"):
                self._fs.rm_file(f"{self._root}/{file}")

    def open(self, *, read_only: bool = False) -> FsspecStore:
        """The store's bytes, as zarr wants them.

        Parameters
        ----------
        read_only
            Whether zarr refuses to write to it.

        Returns
        -------
        FsspecStore
            Nothing has been read of it yet.
        """
        return FsspecStore.from_url(self._url, storage_options=_FRESH, read_only=read_only)

    def lock(self) -> ObjectLock:
        """Become the only writer.

        Returns
        -------
        ObjectLock
            The object `NAME.lock` beside the store, held until it is released.

        Raises
        ------
        UsageError
            When another writer holds the lock, or the URL cannot be reached.
        """
        with self._reaching():
            return ObjectLock(self._url, self._fs, f"{self._root}.lock")

    def tidy(self) -> None:
        """Nothing: an object is written whole or not at all."""

    @contextmanager
    def create(self) -> Iterator[Store]:
        """Somewhere to build a store, for a writer that has the lock.

        Yields
        ------
        Store
            The place itself, emptied of what an interrupted creation left. It counts as a store when the `with`
            statement ends.

        Raises
        ------
        UsageError
            When something is there, unless it is the rest of an interrupted creation, or the URL cannot be reached.
        """
        if self.exists():
            raise UsageError(f"{self} exists: choose another name, or remove it first")
        with self.replace() as store:
            yield store

    @contextmanager
    def replace(self) -> Iterator[Store]:
        """Somewhere to build a store in place of the one that is there.

        Yields
        ------
        Store
            The place itself: what was there is removed first. It counts as a store when the `with` statement ends.

        Raises
        ------
        UsageError
            When what is there is neither a store nor the rest of an interrupted creation, or the URL cannot be reached.
        """
        with self._reaching():
            begun = self._fs.exists(self._marker)
        if not (begun or self.exists()) and self.files():
            raise UsageError(f"{self} holds something that is not a zarr store: choose another name")
        with self._reaching():
            self._fs.pipe_file(self._marker, b"While this is here, the store beside it is being built.\n")
            if self.exists():
                self._fs.rm_file(f"{self._root}/{METADATA}")
            rest = [f"{self._root}/{name}" for name in self.files()]
            if plain := [name for name in rest if not _is_pattern(name)]:
                self._fs.rm(plain)
            for name in filter(_is_pattern, rest):
                self._fs.rm_file(name)
        held: dict[str, Buffer] = {}
        yield _RootLast(self.open(), held)
        self._fs.pipe_file(f"{self._root}/{METADATA}", held[METADATA].to_bytes())
        self._fs.rm_file(self._marker)

    @property
    def _marker(self) -> str:
        return f"{self._root}.partial"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except UsageError:
            raise
        except Exception as error:  # each driver raises exceptions of its own
            raise UsageError(
                f"{self} cannot be reached ({first_line(error)}): docs/cluster.md says where credentials come from"
            ) from error


class _RootLast(WrapperStore[Store]):
    """Keeps the root's metadata in `held` instead of writing it, for as long as the store is being built."""

    def __init__(self, store: Store, held: dict[str, Buffer]) -> None:
        super().__init__(store)
        self._held = held

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._held)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return self._held.get(key) if key == METADATA else await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        return key in self._held if key == METADATA else await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        if key == METADATA:
            self._held[key] = value
        else:
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if key != METADATA:
            await super().set_if_not_exists(key, value)
        else:
            self._held.setdefault(key, value)
