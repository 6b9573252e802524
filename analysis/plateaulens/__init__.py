"""PlateauLens asks of an activation whether it behaves like a real one.

Importing this package needs no torch: opening, analysing and plotting a run work without it.
"""

from plateaulens.store.reading import open_run, open_summary

__all__ = ["open_run", "open_summary"]
