"""`unsep train` and `unsep enrol`: a prior of your own from clips of one kind of source, or from a minute of one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers, check_device

if TYPE_CHECKING:
    from tqdm import tqdm

    from unsep_lib.training import TrainingProgress


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("train", help="train a prior on a manifest of clips, or continue its training")
    parser.add_argument("name", metavar="PRIOR", help="the prior's name, as `unsep separate --source` will know it")
    parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="MANIFEST")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="minutes of training in all, over every resumption")
    budget.add_argument("--steps", type=int, help="steps in all, over every resumption")
    parser.add_argument("--from", dest="from_", metavar="PRIOR", help="start from this prior's weights")
    parser.add_argument("--out", type=Path, help="folder of the run (default: the user's data folder)")
    parser.add_argument("--batch", type=int, default=8, help="crops per step and process (default: 8)")
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="learning rates relative to the recipe's (default: 1; a quarter after --from changes the prior slowly)",
    )
    parser.add_argument("--widths", nargs="+", type=int, help="channels of a new network's levels (default: 32 64 96)")
    parser.add_argument("--blocks", nargs="+", type=int, help="residual blocks of each of its levels (default: 1 1 2)")
    parser.add_argument(
        "--examples",
        action="store_true",
        help="train an example encoder with the prior, so that a few seconds of a source say which one is meant",
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

    from unsep_lib.training.by_name import train
    from unsep_lib.training.distributed import launched

    check_device(arguments.device)
    first, layout = launched().first, "{desc} {percentage:3.0f}%|{bar}| {postfix}"
    with ExitStack() as stack:
        # With the first step, so that a refusal is one line.
        bar = cache(lambda: stack.enter_context(tqdm(total=100.0, miniters=0, bar_format=layout, disable=not first)))
        path = train(
            arguments.name, arguments.data, minutes=arguments.minutes, steps=arguments.steps, from_=arguments.from_,
            out=arguments.out, batch=arguments.batch, rate=arguments.rate, widths=arguments.widths,
            blocks=arguments.blocks, examples=arguments.examples, seed=arguments.seed, compile=arguments.compile,
            workers=arguments.workers, device=arguments.device, bfloat16=arguments.bfloat16,
            on_start=partial(_say_labels, arguments.name),
            on_step=lambda progress: _show(bar(), arguments.name, progress),
        )  # fmt: skip
    if first:
        print(path)
    return 0


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
        "--from", dest="from_", default="speech", metavar="PRIOR", help="the prior to begin with (default: speech)"
    )
    parser.add_argument("--steps", type=int, help="steps of training (default: 100, one to five minutes of two cores)")
    parser.add_argument("--replace", action="store_true", help="replace a prior of this name that was enrolled before")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps …")
    parser.set_defaults(run=run_enrol)


def run_enrol(arguments: argparse.Namespace) -> int:
    """Fine-tune, install and say how to use it."""
    from tqdm import tqdm

    from unsep_lib.training.by_name import ENROL_STEPS, enrol

    check_device(arguments.device)
    steps = ENROL_STEPS if arguments.steps is None else arguments.steps
    with ExitStack() as stack:
        bar = cache(lambda: stack.enter_context(tqdm(total=steps, desc=arguments.name, unit="step")))

        def show(progress: TrainingProgress) -> None:
            bar().update(progress.step - bar().n)
            bar().set_postfix_str(f"loss {progress.loss:.3f}", refresh=False)

        installed = enrol(
            arguments.name, arguments.recordings, from_=arguments.from_, steps=steps, replace=arguments.replace,
            device=arguments.device, on_step=show,
        )  # fmt: skip
    print(f"{installed}: use it with `unsep separate MIXTURE --source {arguments.name} --source … --out DIR`")
    return 0
