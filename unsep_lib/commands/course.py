"""`unsep course`: the notebooks for students, with blanks in place of the solutions."""

from __future__ import annotations

import argparse
from pathlib import Path

from unsep_lib.commands.options import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("course", help="write the notebooks without their solutions")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="where to write the student edition")
    what.add_argument("--book", type=Path, metavar="DIR", help="where to write the rendered course, index.html first")
    what.add_argument(
        "--update-links", action="store_true", help="set the line numbers of the notebooks' links to the library"
    )
    what.add_argument(
        "--update-pictures", action="store_true", help="take the README's pictures from the notebooks' outputs"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files and print their names."""
    from unsep_lib.reproduce.book import write_book
    from unsep_lib.reproduce.course import update_links, update_pictures, write_student_edition
    from unsep_lib.reproduce.run import notebooks_dir

    if arguments.update_links:
        written = update_links(notebooks_dir())
    elif arguments.update_pictures:
        written = update_pictures(notebooks_dir())
    elif arguments.book:
        written = write_book(notebooks_dir(), arguments.book)
    else:
        written = write_student_edition(notebooks_dir(), arguments.out)
    for path in written:
        print(path)
    return 0
