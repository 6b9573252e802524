"""What made a result: versions of the software and the commit of the code."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "plateaulens",
    "torch",
    "transformers",
    "transformer-lens",
    "sae-lens",
    "numpy",
    "scipy",
    "statsmodels",
    "xarray",
    "zarr",
)
"""Distributions that a number can depend on."""


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a number can depend on.

    Returns
    -------
    dict of str to str
        By name; packages that are not installed are left out.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the clone that this code runs from.

    Returns
    -------
    str
        40 hexadecimal digits, followed by `-dirty` when the clone has changes; `unknown` outside a clone.
    """
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
