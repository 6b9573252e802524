"""`python -m plateaulens` is the command `plateaulens`."""

from plateaulens.cli import main

raise SystemExit(main())
