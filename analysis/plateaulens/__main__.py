"""`python -m plateaulens`: the command `plateaulens`, of a source tree that is not installed too."""

import sys

from plateaulens.cli import main

if __name__ == "__main__":  # workers of a local cluster import this file, too
    sys.exit(main())
