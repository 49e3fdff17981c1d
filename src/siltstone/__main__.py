"""`python -m siltstone`, and the `siltstone` command: Ctrl-C is one line also while the rest is being imported."""

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from siltstone.cli import main as cli

        return cli.main()
    except KeyboardInterrupt:
        print("siltstone: stopped.", file=sys.stderr)  # noqa: T201
        return 130


if __name__ == "__main__":
    sys.exit(main())
