"""`python -m plateaulens.cli`: the command line of a source tree that is not installed."""

import sys

from plateaulens.cli import main

if __name__ == "__main__":  # workers of a local cluster import this file, too
    sys.exit(main())
