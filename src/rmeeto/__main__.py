"""``python -m rmeeto``: the command line."""

from .cli.__main__ import main

raise SystemExit(main())
