"""`unsep info` and `unsep bench`: what there is on this machine, and what a step, a solver and an evaluation cost."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from unsep_lib.bench import H100_FLOAT32, PETA, TERA, UTILISATION, Gpu
from unsep_lib.commands import Subparsers, note

MIXTURES_PER_TASK = 100  # of the estimate; nothing the paper says
GPU_COUNTS = (1, 8)
PAPER_SOLVER = "hybrid"
SEPARATION_SECONDS = 1.0  # of the separation in both precisions; longer only takes longer


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("bench", help="measure speed and memory, estimate GPU hours")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    network = actions.add_parser("network", help="a guided step of the paper's network, readable against fast form")
    network.add_argument("--repeats", type=int, default=3, help="runs of each form (default: %(default)s)")
    network.add_argument("--bfloat16", action="store_true", help="the fast form multiplies matrices in bfloat16")
    network.set_defaults(run=run_network)
    solvers = actions.add_parser("solvers", help="two solvers on the same mixture in turn: seconds, and their ratio")
    solvers.add_argument("--solver", help="default: the default of `unsep separate`")
    solvers.add_argument("--against", default=PAPER_SOLVER, metavar="SOLVER", help="default: %(default)s")
    solvers.add_argument("--pairs", type=int, default=3, help="runs of each (default: %(default)s)")
    solvers.set_defaults(run=run_solvers)
    hours = _add_hours(actions)
    for action in (network, solvers, hours):
        action.add_argument("--seconds", type=float, default=4.0, help="of audio (default: %(default)s)")
    for action in (network, hours):
        action.add_argument("--width", type=int, default=72, help="channels, a multiple of 8 (default: %(default)s)")


def _add_hours(actions: Subparsers) -> argparse.ArgumentParser:
    hours = actions.add_parser("hours", help="the five tasks with the paper's solver and network on GPUs: an estimate")
    mixtures = hours.add_mutually_exclusive_group()
    mixtures.add_argument("--mixtures", type=Path, metavar="DIR", help="the mixtures that `unsep evaluate` would read")
    mixtures.add_argument(
        "--per-task",
        type=int,
        default=MIXTURES_PER_TASK,
        metavar="N",
        help="mixtures of each task (default: %(default)s)",
    )
    hours.add_argument("--steps", type=int, default=200, help="guided steps per mixture (default: %(default)s)")
    hours.add_argument(
        "--peak",
        type=float,
        default=H100_FLOAT32,
        metavar="TFLOP/s",
        help="of one GPU (default: %(default)s, an H100 in float32)",
    )
    hours.add_argument(
        "--utilisation",
        type=float,
        default=UTILISATION,
        help="share of the peak that is reached (default: %(default)s, assumed)",
    )
    hours.set_defaults(run=run_hours)
    return hours


def run_network(arguments: argparse.Namespace) -> int:
    """Measure both forms, each run in its own process; the last line holds the ratios."""
    from unsep_lib.bench.timing import Measurement, Workload, compare_networks, separation_error

    def show(side: str, measurement: Measurement) -> None:
        print(f"{side:<10}{measurement.seconds:8.2f} s{measurement.peak_mb:9.0f} MB", flush=True)

    workload = Workload(arguments.seconds, arguments.width, arguments.bfloat16)
    if arguments.bfloat16:
        error = separation_error(replace(workload, seconds=min(workload.seconds, SEPARATION_SECONDS)))
        print(f"a separation in bfloat16 differs from float32's by {error:.1e} of its norm", flush=True)
    print(compare_networks(workload, arguments.repeats, show))
    return 0


def run_solvers(arguments: argparse.Namespace) -> int:
    """Time both in turn; the last line holds the medians and the ratio."""
    from unsep_lib.bench.timing import compare_solvers
    from unsep_lib.solvers import DEFAULT_SOLVER

    def show(name: str, seconds: float) -> None:
        print(f"{name:<20}{seconds:8.2f} s", flush=True)

    own = arguments.solver or DEFAULT_SOLVER
    print(compare_solvers(own, arguments.against, arguments.seconds, arguments.pairs, show))
    return 0


def run_hours(arguments: argparse.Namespace) -> int:
    """Count the FLOP of an evaluation and of the whole work; turn them into hours."""
    from unsep_lib.bench.flops import NetworkFlop, Workload
    from unsep_lib.networks.tf_config import TfConfig

    gpu = Gpu(arguments.peak, arguments.utilisation)
    workload = Workload(asked_mixtures(arguments), arguments.steps)
    network = NetworkFlop(TfConfig(width=arguments.width))
    seconds = workload.mixtures[0][1]
    evaluation, flop = network.evaluation(seconds), workload.flop(network)
    print(f"one evaluation of {seconds:g} s: {evaluation.plain / TERA:.3g} TFLOP, "
          f"with its gradient {evaluation.guided / TERA:.3g} TFLOP (counted)")  # fmt: skip
    print(f"{len(workload.mixtures)} mixtures of {sum(sources for sources, _ in workload.mixtures)} sources, "
          f"{workload.steps} steps: {flop / PETA:.4g} PFLOP (counted)")  # fmt: skip
    for count in GPU_COUNTS:
        print(f"{count} GPU{'s' if count > 1 else ''}: {gpu.hours(flop, count):.3g} hours (estimate: {gpu} each)")
    return 0


def asked_mixtures(arguments: argparse.Namespace) -> tuple[tuple[int, float], ...]:
    """Sources and seconds of every mixture of the folder, or of so many of each task.

    Raises:
        ValueError: no such folder, or not a mixture.
    """
    from unsep_lib.data.mixture_sets import TASKS
    from unsep_lib.data.mixtures import mixture_folders, read_mixture

    if arguments.mixtures is not None:
        found = map(read_mixture, mixture_folders(arguments.mixtures))
        return tuple((len(item.specs), len(item.mixture) / item.sample_rate) for item in found)
    if arguments.per_task < 1:
        raise ValueError(f"expected at least 1 mixture of each task, got {arguments.per_task}")
    count, seconds = int(arguments.per_task), float(arguments.seconds)
    return tuple((task.speech + task.sounds, seconds) for task in TASKS.values()) * count


def add_info(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("info", help="show versions, device and priors")
    parser.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
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
