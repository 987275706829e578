"""`unsep reproduce`: every notebook, and a report of their results."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("reproduce", help="run all notebooks and write the report")
    parser.add_argument("--profile", default="", help="smoke, tutorial, paper or a TOML file")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--force", action="store_true", help="run what is done and up to date again")
    parser.add_argument("--open", action="store_true", help="show the report in a browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run what is not up to date, write the report, say where it is."""
    from unsep_lib.profiles import load_profile
    from unsep_lib.reproduce import notebooks_dir, open_report, reproduce

    profile = load_profile(arguments.profile)
    report = reproduce(notebooks_dir(), arguments.profile or profile.name, arguments.out, force=arguments.force)
    print(report)
    if arguments.open:
        open_report(report)
    return 0
