"""Where the files that ship with PlateauLens are: presets, SAEs, prompts, reference numbers and the report project.

In a clone (or an editable install of one) they lie beside the code in `data/` and `report/`; in an installed wheel
they lie inside the package. Nothing is ever written there: a run writes under the current directory.

What a run computes with, SAEs and prompts, is checked against `data/SHA256SUMS` whenever it is found by its name.
"""

import hashlib
from pathlib import Path

from plateaulens.errors import UsageError

DIGESTS = "SHA256SUMS"
"""The file in `data/` that has the SHA-256 of every file of an SAE or prompts that ships, as `sha256sum` writes it."""
_PACKAGE = Path(__file__).parent


def root() -> Path:
    """The folder that holds `data/` and `report/`.

    Returns
    -------
    Path
        The clone's root, or the package's own copy.
    """
    clone = _PACKAGE.parents[1]
    return clone if (clone / "data" / "presets").is_dir() else _PACKAGE / "_resources"


def find(kind: str, source: str) -> Path:
    """The path that a user means: an existing one, else something of that name that ships.

    Parameters
    ----------
    kind
        Folder of `data/` that is searched: `presets`, `saes`, `prompts`, ...
    source
        A path, or the name of a file or folder there, of `.toml` and `.npz` files without the ending.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    UsageError
        When there is neither, where it lists what ships; and when what ships under that name has changed.
    """
    if Path(source).exists():
        return Path(source).resolve()
    folder = root() / "data" / kind
    shipped = {path.name.removesuffix(".toml").removesuffix(".npz"): path for path in sorted(folder.glob("*"))}
    if source in shipped:
        _check(shipped[source])
        return shipped[source]
    names = ", ".join(shipped) or "none"
    raise UsageError(f"no {kind.removesuffix('s')} {source!r}: neither a path nor one of those that ship ({names})")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check(place: Path) -> None:
    """Refuse a file or folder of `data/` that is listed in `DIGESTS` and not as it is listed there."""
    data = root() / "data"
    try:
        lines = (data / DIGESTS).read_text().splitlines()
    except FileNotFoundError:
        raise UsageError(f"{data / DIGESTS} is missing: install PlateauLens again") from None
    for digest, name in (line.split() for line in lines if line.strip() and not line.startswith("#")):
        path = data / name
        if place not in (path, *path.parents):
            continue
        found = sha256_of(path) if path.is_file() else "none"
        if found != digest:
            raise UsageError(
                f"{path} is not the one that ships (its SHA-256 is {found}, expected {digest}): install PlateauLens "
                "again, or give the path of what you made yourself"
            )
