"""`unsep checkpoint`: the authors' released weights as priors."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("checkpoint", help="import the authors' released weights")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("import", help="turn a released .pt file into a prior")
    action.add_argument("file", type=Path, metavar="FILE")
    action.add_argument("--name", required=True, metavar="NAME", help="what `unsep separate --source` will call it")
    action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import the file and say where the prior lies."""
    from unsep_lib.checkpoints import home
    from unsep_lib.released import import_released
    from unsep_lib.specification import SourceSpec, parse_spec

    if parse_spec(arguments.name) != SourceSpec(arguments.name):
        raise ValueError(f"expected a name of letters, digits, '_', '.' and '-', got {arguments.name!r}")
    target = home() / "priors" / f"{arguments.name}.safetensors"
    card = import_released(arguments.file, target)
    print(f"{target}: {card['parameters']} parameters, {len(card['labels'])} labels; licence {card['licence']}")
    return 0
