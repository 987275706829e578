"""The subcommands of `unsep`; here: the options and the sentences that several of them share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from unsep_lib.parallel import printable


class Subparsers(Protocol):
    """Where a subcommand adds its parser."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of the subcommand `name`."""


def add_solver_options(parser: argparse.ArgumentParser) -> None:
    """Add --solver, --steps, --seed, --prior, --device and --precision."""
    parser.add_argument("--solver", help="see `unsep separate --list`, or module:name for one of your own in Python")
    parser.add_argument("--steps", type=int, help="noise levels to go through (default: the solver's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--prior",
        action="append",
        default=[],
        type=named_file,
        metavar="NAME=FILE",
        help="a prior's weights, or module:name for a prior of your own in Python",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps …")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="what the shipped kind of network multiplies matrices in (default: bfloat16 where the processor has it)",
    )


def check_device(name: str) -> None:
    """Raise ValueError unless torch can compute on the device."""
    from unsep_lib.separation import check_device as checked

    checked(name)


def note(text: str) -> None:
    """Say something beside the result on stderr, in one line: what a terminal cannot show of file names is escaped."""
    print(f"note: {printable(text)}", file=sys.stderr)


def named_file(text: str) -> tuple[str, Path]:
    """Parse NAME=FILE."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {text!r}")
    return name, Path(file).expanduser()  # shells leave a ~ behind = alone


def prior_files(named: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """The files of --prior by name.

    Raises:
        ValueError: a name that is given twice.
    """
    files = dict(named)
    twice = [name for name in files if [other for other, _ in named].count(name) > 1]
    if twice:
        raise ValueError(f"expected each name once with --prior, got {twice[0]!r} more than once")
    return files
