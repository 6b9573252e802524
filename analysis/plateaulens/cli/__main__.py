"""`python -m plateaulens.cli`: the command line of a source tree that is not installed."""

import sys

from plateaulens.cli.entry import main

sys.exit(main())
