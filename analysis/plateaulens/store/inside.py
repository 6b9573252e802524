"""Names within a store, which a store's own metadata gives: nothing outside it is read, written or removed by them."""

import os
from pathlib import Path

from plateaulens.errors import UsageError, shown

METADATA = "zarr.json"
"""Name of the file or object with the metadata of a group or an array; the root's makes a store of a place."""
LONGEST = 4096
"""Characters of a name that any file system takes."""
_NO_NAMES = {"", ".", ".."}
_NO_LETTERS = "\0\\:" if os.name == "nt" else "\0"


def is_inside(file: str) -> bool:
    """Whether a name can only be that of a file of the store.

    Parameters
    ----------
    file
        A name relative to the store, with `/` between its parts, from wherever it comes.

    Returns
    -------
    bool
        False for an absolute path, for one with an empty part, `.` or `..`, for one with a null character (on Windows
        a backslash or a colon, too), and for one that is too long. Any other odd name may be that of a file that is
        there, and that has to be removed.

    Examples
    --------
    >>> [is_inside(name) for name in ("plateau/curve/c/0/1", "/etc/passwd", "a/../../b", "a//b", "")]
    [True, False, False, False, False]
    """
    has_odd_parts = any(part in _NO_NAMES for part in file.split("/"))
    return len(file) <= LONGEST and not has_odd_parts and not any(letter in _NO_LETTERS for letter in file)


def check_inside(store: object, file: str) -> None:
    """Refuse a name that may be that of a file outside the store.

    Parameters
    ----------
    store
        What the store is called in messages.
    file
        A name, as `is_inside` takes it.

    Raises
    ------
    UsageError
        Unless it is inside.
    """
    if not is_inside(file):
        raise UsageError(f"{store} names the file {shown(file)}, which is none of a store: see `plateaulens verify`")


def linked_folder(root: Path, file: str) -> Path | None:
    """The first folder on the way from a store to one of its files that is a symbolic link.

    Parameters
    ----------
    root
        The store, which may be a link itself: whoever names it means what it points to.
    file
        A name within it.

    Returns
    -------
    Path or None
        None where every folder is the store's own, or not there.
    """
    folder = root
    for part in file.split("/")[:-1]:
        folder = folder / part
        if folder.is_symlink():
            return folder
    return None
