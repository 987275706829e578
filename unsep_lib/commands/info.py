"""`unsep info`: versions, device, and the priors that are found."""

from __future__ import annotations

import argparse

from unsep_lib.commands.options import Subparsers, note


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("info", help="show versions, device and priors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what there is."""
    import torch

    from unsep_lib.priors.checkpoints import available_priors, card_of
    from unsep_lib.versions import versions

    for name, number in versions().items():
        print(f"{name:<12}{number}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"{'GPU':<12}{device}\n{'threads':<12}{torch.get_num_threads()}")
    for name, path in available_priors().items():
        try:
            card = card_of(path)
        except ValueError as error:
            note(f"{name}: {error}")
            continue
        size = path.stat().st_size / 1e6
        print(f"{'prior':<12}{name}: {size:.1f} MB, {card.get('hours', 0):.1f} h of training, {path}")
    return 0
