"""`unsep checkpoint`: priors of the paper's network, from the authors' released weights or from random ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers

if TYPE_CHECKING:
    from unsep_lib.priors.checkpoints import Card

RANDOM_WIDTH = 16  # channels: small enough for a CPU; the released network has 72


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("checkpoint", help="import the authors' released weights, or make random ones")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    released = actions.add_parser("import", help="turn a released .pt file into a prior")
    released.add_argument("file", type=Path, metavar="FILE")
    released.add_argument("--name", required=True, metavar="NAME", help="what `unsep separate --source` will call it")
    released.add_argument(
        "--accept-new-hash", action="store_true", help="the file differs from the first one of its name, and is right"
    )
    released.set_defaults(run=run_import)
    untrained = actions.add_parser("random", help="an untrained prior of the paper's network, to try the code with")
    untrained.add_argument("name", metavar="NAME", help="what `unsep separate --source` will call it")
    untrained.add_argument(
        "--kind", choices=("speech", "sound"), default="speech", help="one class, or 41 named ones (default: speech)"
    )
    untrained.add_argument(
        "--width", type=int, default=RANDOM_WIDTH, help="channels, a multiple of 8; the paper's 72 (default: 16)"
    )
    untrained.set_defaults(run=run_random)


def run_import(arguments: argparse.Namespace) -> int:
    """Import the file and say where the prior lies."""
    from unsep_lib.priors.checkpoints import card_of, prior_file
    from unsep_lib.priors.released import import_released

    target = prior_file(arguments.name)
    if target.is_file() and not {"source", "untrained"} & card_of(target).keys():
        raise ValueError(f"expected a name that no trained prior has, got {arguments.name!r}, which is {target}")
    card = import_released(arguments.file, target, arguments.accept_new_hash)
    print(f"{described(target, card)}; licence {card['licence']}")
    return 0


def run_random(arguments: argparse.Namespace) -> int:
    """Write random weights and say what they are good for."""
    from unsep_lib.networks.tf_config import TfConfig
    from unsep_lib.priors.checkpoints import available_priors, card_of, prior_file
    from unsep_lib.priors.epsilon import SOUND_ROWS, SPEECH_LABELS
    from unsep_lib.priors.released import write_random

    target = prior_file(arguments.name)
    known = available_priors().get(arguments.name)
    if known and not card_of(known).get("untrained"):
        raise ValueError(f"expected a name that no trained prior has, got {arguments.name!r}, which is {known}")
    labels = SPEECH_LABELS if arguments.kind == "speech" else SOUND_ROWS
    card = write_random(target, TfConfig(width=arguments.width, labels=labels))
    print(f"{described(target, card)}; {card['untrained']}")
    return 0


def described(target: Path, card: Card) -> str:
    """The prior in a few words."""
    return f"{target}: {card['parameters']} parameters, {len(card['labels'])} labels"
