"""The `unsep` command, also as `python -m unsep_lib`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from unsep_lib.commands import Subparsers, bench, checkpoint, data, evaluate, notebooks, separate, train
from unsep_lib.parallel import exit_code
from unsep_lib.versions import __version__

COMMANDS = (
    separate.add_parser, notebooks.add_app, train.add_enrol, bench.add_info, data.add_parser, train.add_parser,
    evaluate.add_parser, evaluate.add_experiment, notebooks.add_reproduce, notebooks.add_course,
)  # fmt: skip
MAINTAINERS = (bench.add_parser, checkpoint.add_parser)


class _Listed:
    """Subparsers whose commands are listed in the epilog, under headings of their own."""

    def __init__(self, parser: argparse.ArgumentParser):
        self._subparsers = parser.add_subparsers(required=True, metavar="COMMAND", help="one of those below")
        self.lines: list[str] = []

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of the subcommand `name`."""
        self.lines.append(f"  {name:<12}{help}")
        return self._subparsers.add_parser(name, description=f"{help[0].upper()}{help[1:]}.")

    def group(self, title: str, commands: Sequence[Callable[[Subparsers], None]]) -> None:
        """Add commands under a heading."""
        self.lines += ["", f"{title}:"] if self.lines else [f"{title}:"]
        for add_parser in commands:
            add_parser(self)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; a ValueError or OSError becomes one sentence on stderr and exit code 2."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a service may have closed them
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal of few letters loses letters, never a result
    parser = argparse.ArgumentParser(
        prog="unsep",
        description="Separate a recording into its sources with diffusion priors of single sources.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"unsep {__version__}")
    listed = _Listed(parser)
    listed.group("commands", COMMANDS)
    listed.group("commands for maintainers", MAINTAINERS)
    parser.epilog = "\n".join(listed.lines)

    def work() -> int:
        arguments = parser.parse_args(argv)
        code: int = arguments.run(arguments)
        return code

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
