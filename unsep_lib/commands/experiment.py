"""`unsep experiment`: a sweep over mixtures, conditions, priors, solvers, steps and seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands.options import Subparsers

if TYPE_CHECKING:
    from pandas import DataFrame


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("experiment", help="run a sweep, or go on with one that was stopped or killed")
    parser.add_argument(
        "config", metavar="CONFIG", help="main, ablation, pareto, controls, levels, seeds … or a TOML file"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="rows/*.json and table.csv")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=1, metavar="N", help="processes here (default: 1)")
    where.add_argument("--dask", metavar="ADDRESS", help="a dask scheduler, such as tcp://127.0.0.1:8786")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute what is missing, print a line per solver, say where the table is."""
    from tqdm import tqdm

    from unsep_lib.commands.options import check_device
    from unsep_lib.experiments import dask_executor, load_experiment, process_executor, run_sweep, summary
    from unsep_lib.experiments.sweep import TABLE

    experiment = load_experiment(arguments.config)
    check_device(experiment.device)
    executor = dask_executor(arguments.dask) if arguments.dask else process_executor(arguments.workers)
    with executor as workers, tqdm(unit="row", delay=0.01) as bar:

        def show(done: int, total: int) -> None:
            if bar.total is None:
                bar.total, bar.initial = total, done  # rows of an earlier run took no time in this one
            bar.update(done - bar.n)

        table = run_sweep(experiment, arguments.out, workers, show)
    print(shown(summary(table)))
    print(arguments.out / TABLE)
    return 0


def shown(found: DataFrame) -> str:
    """Text of a summary: SI-SDR improvement and what it cost."""
    scored = found["mean"].notna()
    decibels = {name: found[name].map("{:.2f}".format) for name in ("mean", "median", "low", "high")}
    columns = found[["task", "condition", "priors", "solver", "steps", "mixtures"]].assign(
        **{
            "mean dB": decibels["mean"].where(scored, "–"),
            "95 %": (decibels["low"] + " … " + decibels["high"]).where(scored, "–"),
            "median dB": decibels["median"].where(scored, "–"),
            "collapsed": found["collapsed"].map("{:.0%}".format),
            "seconds": found["seconds"].map("{:.2f}".format),
            "evaluations": found["evaluations"].map("{:.0f}".format),
        }
    )
    return str(columns.to_string(index=False))
