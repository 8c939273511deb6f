"""`python -m impasto` is the command line."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is still being imported ends as quietly as later."""
    try:
        from impasto.cli.app import main as run
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
