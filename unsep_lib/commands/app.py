"""`unsep app`: a page in the browser to separate recordings of one's own."""

from __future__ import annotations

import argparse

from unsep_lib.commands.options import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("app", help="separate your own in the browser, served on this computer alone")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--profile", default="", help="smoke, tutorial, paper or a TOML file: solver, levels, device")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from unsep_lib.app.server import serve

    serve(arguments.port, arguments.profile, not arguments.no_browser)
    return 0
