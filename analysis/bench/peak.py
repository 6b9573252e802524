"""The most memory that a process has held."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The peak resident memory of this process, since it became the program that it is.

    Not `ru_maxrss` where there is /proc: there a program that another one started begins with the other's size.

    Returns
    -------
    int
        In bytes.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
