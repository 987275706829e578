"""The `unsep` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from unsep_lib import __version__
from unsep_lib.commands import bench, checkpoint, data, evaluate, experiment, info, reproduce, separate, train

COMMANDS = (separate, evaluate, experiment, data, train, reproduce, checkpoint, bench, info)
BAD_INPUT, INTERRUPTED = 2, 130  # exit codes: argparse's, and the shell's for Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; a ValueError becomes one sentence on stderr and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="unsep", description="Separate a recording into its sources with diffusion priors of single sources."
    )
    parser.add_argument("--version", action="version", version=f"unsep {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except ValueError as error:
        print(f"unsep: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("unsep: interrupted", file=sys.stderr)
        return INTERRUPTED
