"""`unsep reproduce`, `unsep course` and `unsep app`: the notebooks run, handed out, and one of them as a page."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from unsep_lib.commands import Subparsers

OUTSIDE = 1  # exit code: a number left its tolerance


def add_reproduce(subparsers: Subparsers) -> None:
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
        "--check-only", action="store_true", help="run nothing; check the numbers that notebooks have left in DIR"
    )
    reference.add_argument(
        "--update-reference", action="store_true", help="make this run the profile's reference, in the package"
    )
    parser.set_defaults(run=run_reproduce)


def run_reproduce(arguments: argparse.Namespace) -> int:
    """Run what is not up to date, write the report, say where it is and, with --check, which numbers moved.

    With --check-only nothing is run or written.
    """
    from unsep_lib.notebook.profiles import load_profile
    from unsep_lib.reproduce.reference import reference_path
    from unsep_lib.reproduce.run import notebooks_dir, open_report, reproduce

    profile = load_profile(arguments.profile)
    notebooks, reference = notebooks_dir(), reference_path(profile.name)
    if (arguments.check or arguments.check_only) and not reference.is_file():
        raise ValueError(f"the profile {profile.name} has no reference run; make one with --update-reference")
    if arguments.check_only:
        if not (arguments.out / "artefacts").is_dir():
            raise ValueError(f"{arguments.out}: no notebook has left a number there")
        return _checked(arguments.out, notebooks, reference)
    report = reproduce(
        notebooks, arguments.profile or profile.name, arguments.out, force=arguments.force,
        update_reference=arguments.update_reference, jobs=arguments.jobs,
    )  # fmt: skip
    print(report)
    if arguments.open:
        open_report(report)
    return _checked(report.parent, notebooks, reference) if arguments.check else 0


def _checked(out: Path, notebooks: Path, reference: Path) -> int:
    """Say which of the numbers below `out` left their tolerance; the exit code."""
    from unsep_lib.reproduce.reference import advice, compare

    compared = compare(out, sorted(path.stem for path in notebooks.glob("*.ipynb")), reference)
    outside = [comparison for comparison in compared if not comparison.within]
    if outside:
        print(*outside, advice(outside, len(compared)), sep="\n", file=sys.stderr)
        return OUTSIDE
    print(f"all {len(compared)} numbers lie within their tolerance of the reference run")
    return 0


def add_course(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("course", help="write the notebooks without their solutions")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="where to write the student edition")
    what.add_argument("--book", type=Path, metavar="DIR", help="where to write the rendered course, index.html first")
    what.add_argument(
        "--update-pictures", action="store_true", help="take the README's pictures from the notebooks' outputs"
    )
    parser.set_defaults(run=run_course)


def run_course(arguments: argparse.Namespace) -> int:
    """Write the files and print their names."""
    from unsep_lib.reproduce.book import write_book
    from unsep_lib.reproduce.course import update_pictures, write_student_edition
    from unsep_lib.reproduce.run import notebooks_dir

    if arguments.update_pictures:
        written = update_pictures(notebooks_dir())
    elif arguments.book:
        written = write_book(notebooks_dir(), arguments.book)
    else:
        written = write_student_edition(notebooks_dir(), arguments.out)
    for path in written:
        print(path)
    return 0


def add_app(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("app", help="separate your own in the browser, served on this computer alone")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--profile", default="", help="smoke, tutorial, paper or a TOML file: solver, levels, device")
    parser.set_defaults(run=run_app)


def run_app(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from unsep_lib.app.server import serve

    serve(arguments.port, arguments.profile, not arguments.no_browser)
    return 0
