"""`unsep train` and `unsep enrol`: a prior of your own from clips of one kind of source, or from a minute of one."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers, check_device

EXAMPLE_NUMBERS = 48  # more would remember the hundreds of speakers there are to train on one by one

if TYPE_CHECKING:
    from tqdm import tqdm

    from unsep_lib.training import TrainingConfig, TrainingProgress


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("train", help="train a prior on a manifest of clips, or continue its training")
    parser.add_argument("name", metavar="PRIOR", help="the prior's name, as `unsep separate --source` will know it")
    parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="MANIFEST")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="minutes of training in all, over every resumption")
    budget.add_argument("--steps", type=int, help="steps in all, over every resumption")
    parser.add_argument("--from", dest="warm_start", metavar="PRIOR", help="start from this prior's weights")
    parser.add_argument("--out", type=Path, help="folder of the run (default: the user's data folder)")
    parser.add_argument("--batch", type=int, default=8, help="crops a step, of each process (default: 8)")
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="learning rates relative to the recipe's (default: 1; less after --from: a quarter keeps what was learnt)",
    )
    parser.add_argument("--widths", nargs="+", type=int, help="channels of a new network's levels (default: 32 64 96)")
    parser.add_argument("--blocks", nargs="+", type=int, help="residual blocks of each of its levels (default: 1 1 2)")
    parser.add_argument(
        "--examples",
        action="store_true",
        help="train an example encoder with the prior, so that a few seconds of a source tell which one is meant",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="fuse the network's steps first: for GPUs")
    parser.add_argument("--workers", type=int, default=0, help="processes that read clips ahead: for GPUs (default: 0)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--bfloat16", action="store_true", help="multiply in bfloat16: twice as fast on GPUs and on processors with AMX"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train and say where the prior lies."""
    from tqdm import tqdm

    from unsep_lib.commands.checkpoint import prior_file
    from unsep_lib.data.clips import read_manifest
    from unsep_lib.priors.checkpoints import home
    from unsep_lib.training import train
    from unsep_lib.training.distributed import launched

    check_device(arguments.device)
    if arguments.warm_start and (arguments.widths or arguments.blocks):
        raise ValueError("expected --from, which keeps its prior's shape, or --widths and --blocks, got both")
    installed = prior_file(arguments.name)
    clips = [clip for manifest in arguments.data for clip in read_manifest(manifest)]
    config = _config(arguments)
    own = arguments.out is None
    folder = home() / "runs" / arguments.name if own else arguments.out
    first = launched().first
    with tqdm(
        total=100.0, miniters=0, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}", disable=not first
    ) as bar:
        path = train(
            arguments.name,
            clips,
            folder,
            config,
            warm_start=arguments.warm_start,
            device=arguments.device,
            bfloat16=arguments.bfloat16,
            compiled=arguments.compile,
            workers=arguments.workers,
            on_start=partial(_say_labels, arguments.name),
            on_step=partial(_show, bar, arguments.name),
        )
    if first:
        print(install(path, installed) if own else path)
    return 0


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    from unsep_lib.networks.unet import CompactConfig
    from unsep_lib.training import TrainingConfig

    config = TrainingConfig(
        minutes=arguments.minutes,
        steps=arguments.steps,
        batch=arguments.batch,
        widths=tuple(arguments.widths or CompactConfig.widths),
        blocks=tuple(arguments.blocks or CompactConfig.blocks),
        seed=arguments.seed,
        example=EXAMPLE_NUMBERS if arguments.examples else 0,
    )
    return config.at_rate(arguments.rate)


def _say_labels(name: str, labels: Sequence[str]) -> None:
    knows = f"{len(labels)} classes: {', '.join(labels)}" if labels else "no classes, one kind of source"
    print(f"note: {name} will know {knows}", file=sys.stderr)


def _show(bar: tqdm, name: str, progress: TrainingProgress) -> None:
    bar.update(100 * progress.progress - bar.n)
    bar.set_description_str(f"{name} step {progress.step}", refresh=False)
    bar.set_postfix_str(
        f"loss {progress.loss:.3f}, {progress.remaining / 60:.1f} min left, "
        f"{progress.audio_seconds_per_second:.0f} s of audio/s, {progress.skipped} clips skipped",
        refresh=False,
    )


def install(path: Path, target: Path) -> Path:
    """Copy a prior's file to where it is found by name, whole or not at all."""
    from unsep_lib.files import atomic_path, clear_partials

    clear_partials(target.parent)
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    return target


def add_enrol(subparsers: Subparsers) -> None:
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
    parser.set_defaults(run=run_enrol)


def run_enrol(arguments: argparse.Namespace) -> int:
    """Fine-tune, install and say how to use it."""
    from tqdm import tqdm

    from unsep_lib.commands.checkpoint import prior_file
    from unsep_lib.priors.checkpoints import available_priors, home
    from unsep_lib.training.enrol import ENROL_STEPS, clips_alone, enrol

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
