"""From a run to its summary: one file for each of its groups, and every verdict that a page prints."""
