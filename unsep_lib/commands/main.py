"""The `unsep` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from unsep_lib import __version__
from unsep_lib.commands import (
    app,
    bench,
    checkpoint,
    course,
    data,
    enrol,
    evaluate,
    experiment,
    info,
    reproduce,
    separate,
    train,
)

COMMANDS = (separate, app, enrol, evaluate, experiment, data, train, reproduce, course, checkpoint, bench, info)
BAD_INPUT, INTERRUPTED = 2, 130  # exit codes: argparse's, and the shell's for Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; a ValueError or OSError becomes one sentence on stderr and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="unsep", description="Separate a recording into its sources with diffusion priors of single sources."
    )
    parser.add_argument("--version", action="version", version=f"unsep {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except ValueError as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("unsep: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def refuse(sentence: str) -> int:
    """Print why there is no result, in one line: what a terminal cannot show of file names is escaped."""
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in sentence)
    print(f"unsep: error: {shown}", file=sys.stderr)
    return BAD_INPUT
