"""`python -m impasto` is the command line."""

import sys

from impasto.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
