"""`unsep experiment`: a sweep over mixtures, conditions, priors, solvers, steps and seeds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands.options import Subparsers

if TYPE_CHECKING:
    from unsep_lib.experiments import Summary


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("experiment", help="run a sweep, or go on with one that was stopped or killed")
    parser.add_argument(
        "config", metavar="CONFIG", help="main, ablation, pareto, controls, levels, seeds or a TOML file"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="rows/*.json and table.csv")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=1, metavar="N", help="processes here (default: 1)")
    where.add_argument("--dask", metavar="ADDRESS", help="a dask scheduler, such as tcp://127.0.0.1:8786")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute what is missing, print a line a solver, say where the table is."""
    from tqdm import tqdm

    from unsep_lib.commands.options import check_device
    from unsep_lib.experiments import dask_client, load_experiment, process_executor, run_sweep, summarise
    from unsep_lib.experiments.sweep import TABLE, Progress

    experiment = load_experiment(arguments.config)
    check_device(experiment.device)
    executor = dask_client(arguments.dask) if arguments.dask else process_executor(arguments.workers)
    with executor as workers, tqdm(unit="row", bar_format="{n_fmt}/{total_fmt} rows|{bar}| {desc}") as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_description_str(f"{left(progress.remaining)} left", refresh=False)
            bar.update(progress.done - bar.n)

        lines = run_sweep(experiment, arguments.out, workers, show)
    print(table_of(summarise(lines)))
    print(arguments.out / TABLE)
    return 0


def left(seconds: float | None) -> str:
    """Hours and minutes, or minutes and seconds; `?` while unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def table_of(summaries: Iterable[Summary]) -> str:
    """Text: SI-SDR improvement and what it cost, a line for each summary."""
    header = ("task", "condition", "priors", "solver", "steps", "mixtures", "mean dB", "95 %", "median dB", "collapsed",
              "seconds", "evaluations")  # fmt: skip
    rows = []
    for summary in summaries:
        found = summary.improvement
        scores = ("–", "–", "–") if found is None else (
            f"{found.mean:.2f}", f"{found.low:.2f} … {found.high:.2f}", f"{found.median:.2f}",
        )  # fmt: skip
        mean, interval, median = scores
        rows.append((summary.task, summary.condition, summary.priors, summary.solver, str(summary.steps),
                     str(summary.mixtures), mean, interval, median, f"{summary.collapsed:.0%}",
                     f"{summary.seconds:.2f}", f"{summary.evaluations:.0f}"))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows))
