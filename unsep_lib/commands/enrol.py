"""`unsep enrol`: a prior for one voice, or one sound, of your own from a minute of it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from unsep_lib.commands.options import Subparsers, check_device


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser(
        "enrol", help="a prior for one voice or sound from a minute of it, for `unsep separate --source`"
    )
    parser.add_argument("name", metavar="NAME", help="what `unsep separate --source` will call it")
    parser.add_argument(
        "recordings", nargs="+", type=Path, metavar="RECORDING", help="the voice or sound alone, about a minute in all"
    )
    parser.add_argument(
        "--from", dest="base", default="speech", metavar="PRIOR", help="the prior to begin with (default: speech)"
    )
    parser.add_argument("--steps", type=int, help="steps of training (default: 100, one to five minutes of two cores)")
    parser.add_argument("--replace", action="store_true", help="replace a prior of this name that was enrolled before")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps …")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune, install and say how to use it."""
    from tqdm import tqdm

    from unsep_lib.commands.checkpoint import prior_file
    from unsep_lib.commands.train import install
    from unsep_lib.priors.checkpoints import available_priors, home
    from unsep_lib.training.enrol import ENROL_STEPS, clips_alone, enrol
    from unsep_lib.training.loop import TrainingProgress

    check_device(arguments.device)
    installed = prior_file(arguments.name)
    if arguments.name in available_priors() and not arguments.replace:
        raise ValueError(f"a prior called {arguments.name!r} is there already: choose another name, or give --replace")
    clips = clips_alone(arguments.recordings)
    folder = home() / "runs" / f"enrol-{arguments.name}"
    with tqdm(total=arguments.steps or ENROL_STEPS, desc=arguments.name, unit="step") as bar:

        def show(progress: TrainingProgress) -> None:
            bar.update(progress.step - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.3f}", refresh=False)

        path = enrol(
            arguments.name,
            clips,
            folder,
            base=arguments.base,
            steps=arguments.steps or ENROL_STEPS,
            device=arguments.device,
            on_step=show,
        )
    install(path, installed)
    shutil.rmtree(folder)
    print(f"{installed}: use it with `unsep separate MIXTURE --source {arguments.name} --source … --out DIR`")
    return 0
