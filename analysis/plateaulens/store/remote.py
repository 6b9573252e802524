"""A store at a URL, through fsspec: object stores have no rename, so the root's metadata is written last of all.

Whoever reads takes the place for a store only when its root `zarr.json` is there. While one is built, the object
`NAME.partial` beside it says so: it tells the rest of an interrupted creation, which is made anew, from something that
somebody else keeps there, which is never touched.

Credentials, regions and endpoints come from where fsspec and its drivers look for them: `AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, `FSSPEC_S3_...`, the files of `~/.aws` and `~/.config/fsspec`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from fsspec.core import url_to_fs
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from plateaulens.errors import UsageError, first_line
from plateaulens.store.lock import ObjectLock

METADATA = "zarr.json"

_FRESH = {"use_listings_cache": False}
"""Other processes write too: a remembered listing would be wrong."""

_EXTRAS = {"s3": "s3fs", "s3a": "s3fs"}
"""The drivers that an extra of PlateauLens installs, by protocol; the extra is called `s3`."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


class RemotePlace:
    """A URL, of a store that is there or will be. Raises `UsageError` when there is no driver for it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        protocol = url.partition("://")[0]
        try:
            self._fs, self._root = url_to_fs(self._url, **_FRESH)
        except ImportError as error:
            if protocol in _EXTRAS:
                raise UsageError(f"{self} needs {_EXTRAS[protocol]}: run `pip install 'plateaulens[s3]'`") from error
            raise UsageError(f"{self} needs a package that is not installed: {first_line(error)}") from error
        except ValueError as error:
            known = "there is s3, gs, abfs and what else fsspec knows"
            raise UsageError(f"{self} cannot be used ({first_line(error)}): {known}") from error

    def __str__(self) -> str:
        return self._url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self._url.rpartition("/")[2]

    def absolute(self) -> str:
        """The same place for a process on another machine."""
        return self._url

    def lies_in(self, other: object) -> bool:
        """Whether this place is inside the store at another one."""
        return isinstance(other, RemotePlace) and self._url.startswith(f"{other}/")

    def exists(self) -> bool:
        """Whether a store is there that was built to its end."""
        return self.has(METADATA)

    def has(self, file: str) -> bool:
        """Whether the store holds an object of that relative name. Raises `UsageError` when that cannot be known."""
        with self._reaching():
            return bool(self._fs.exists(f"{self._root}/{file}"))

    def files(self) -> set[str]:
        """Every object of the store by its relative name."""
        with self._reaching():
            return {str(name).removeprefix(f"{self._root}/") for name in self._fs.find(self._root)}

    def open(self, *, read_only: bool = False) -> FsspecStore:
        """The store's bytes, as zarr wants them."""
        return FsspecStore.from_url(self._url, storage_options=_FRESH, read_only=read_only)

    def lock(self) -> ObjectLock:
        """Become the only writer. Raises `UsageError` when another process is, or the URL cannot be reached."""
        with self._reaching():
            return ObjectLock(self._url, self._fs, f"{self._root}.lock")

    def tidy(self) -> None:
        """Nothing: an object is written whole or not at all."""

    @contextmanager
    def create(self) -> Iterator[Store]:
        """Somewhere to build a store, which counts as one when the span ends; for a writer that has the lock.

        Raises `UsageError` when something is there, unless it is the rest of an interrupted creation.
        """
        if self.exists():
            raise UsageError(f"{self} exists: choose another name, or remove it first")
        with self.replace() as store:
            yield store

    @contextmanager
    def replace(self) -> Iterator[Store]:
        """Somewhere to build a store, in place of the one that is there: that one goes before the span begins.

        Raises `UsageError` when what is there is neither a store nor the rest of an interrupted creation.
        """
        with self._reaching():
            begun = self._fs.exists(self._marker)
        if not (begun or self.exists()) and self.files():
            raise UsageError(f"{self} holds something that is not a zarr store: choose another name")
        with self._reaching():
            self._fs.pipe_file(self._marker, b"While this is here, the store beside it is being built.\n")
            if self.exists():
                self._fs.rm_file(f"{self._root}/{METADATA}")
            if rest := self.files():
                self._fs.rm([f"{self._root}/{name}" for name in rest])
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
    """Keeps the root's metadata in `held` instead of writing it."""

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
