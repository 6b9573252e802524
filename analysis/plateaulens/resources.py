"""Where the files that ship with PlateauLens are: presets, SAEs, prompts, reference numbers and the report project.

In a clone (or an editable install of one) they lie beside the code in `data/` and `report/`; in an installed wheel
they lie inside the package. Nothing is ever written there: a run writes under the current directory.
"""

from pathlib import Path

from plateaulens.errors import UsageError

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
        When there is neither; it lists what ships.
    """
    if Path(source).exists():
        return Path(source).resolve()
    folder = root() / "data" / kind
    shipped = {path.name.removesuffix(".toml").removesuffix(".npz"): path for path in sorted(folder.glob("*"))}
    if source in shipped:
        return shipped[source]
    names = ", ".join(shipped) or "none"
    raise UsageError(f"no {kind.removesuffix('s')} {source!r}: neither a path nor one of those that ship ({names})")
