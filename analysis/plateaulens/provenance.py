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


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a number can depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the clone that this code runs from, `-dirty` when it has changes; `unknown` outside a clone."""
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
