"""`unsep bench`: what a step costs on this machine."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("bench", help="measure speed and memory")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("network", help="a guided step of the paper's network, readable against fast form")
    action.add_argument("--repeats", type=int, default=3, help="runs of each form (default: %(default)s)")
    action.add_argument("--seconds", type=float, default=4.0, help="of audio (default: %(default)s)")
    action.add_argument("--width", type=int, default=72, help="channels, a multiple of 8 (default: %(default)s)")
    action.add_argument("--bfloat16", action="store_true", help="the fast form multiplies matrices in bfloat16")
    action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure both forms, each run in its own process; the last line holds the ratios."""
    from unsep_lib.benchmarks import Measurement, Workload, compare_networks

    def show(side: str, measurement: Measurement) -> None:
        print(f"{side:<10}{measurement.seconds:8.2f} s{measurement.peak_mb:9.0f} MB", flush=True)

    workload = Workload(arguments.seconds, arguments.width, arguments.bfloat16)
    print(compare_networks(workload, arguments.repeats, show))
    return 0
