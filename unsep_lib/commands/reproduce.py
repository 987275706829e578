"""`unsep reproduce`: every notebook, and a report of their results."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from unsep_lib.commands.options import Subparsers

OUTSIDE = 1  # exit code: a number left its tolerance


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("reproduce", help="run all notebooks and write the report")
    parser.add_argument("--profile", default="", help="smoke, tutorial, paper or a TOML file")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--force", action="store_true", help="run what is done and up to date again")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="notebooks run at a time (default %(default)s)"
    )
    parser.add_argument("--open", action="store_true", help="show the report in a browser")
    reference = parser.add_mutually_exclusive_group()
    reference.add_argument(
        "--check", action="store_true", help="fail, naming them, if numbers left their tolerance of the reference run"
    )
    reference.add_argument(
        "--update-reference", action="store_true", help="make this run the profile's reference, in the package"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run what is not up to date, write the report, say where it is and, with --check, which numbers moved."""
    from unsep_lib.notebook.profiles import load_profile
    from unsep_lib.reproduce.reference import advice, compare, reference_path
    from unsep_lib.reproduce.run import notebooks_dir, open_report, reproduce

    profile = load_profile(arguments.profile)
    notebooks, reference = notebooks_dir(), reference_path(profile.name)
    if arguments.check and not reference.is_file():
        raise ValueError(f"the profile {profile.name} has no reference run; make one with --update-reference")
    report = reproduce(
        notebooks, arguments.profile or profile.name, arguments.out, force=arguments.force,
        update_reference=arguments.update_reference, jobs=arguments.jobs,
    )  # fmt: skip
    print(report)
    if arguments.open:
        open_report(report)
    if not arguments.check:
        return 0
    names = sorted(path.stem for path in notebooks.glob("*.ipynb"))
    compared = compare(report.parent, names, reference)
    outside = [comparison for comparison in compared if not comparison.within]
    if outside:
        print(*outside, advice(outside, len(compared)), sep="\n", file=sys.stderr)
    return OUTSIDE if outside else 0
