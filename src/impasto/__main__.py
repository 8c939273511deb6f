"""`python -m impasto` is the command line."""

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code; Ctrl-C while it is still imported ends as quietly as later."""
    try:
        from impasto.cli.app import main as run
    except KeyboardInterrupt:
        return 130
    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
