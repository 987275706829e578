"""`unsep evaluate`: scores on mixtures whose references are known."""

from __future__ import annotations

import argparse
from pathlib import Path

from unsep_lib.commands.options import add_solver_options, check_device


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("evaluate", help="score separation on mixtures with references")
    parser.add_argument(
        "--mixtures",
        required=True,
        type=Path,
        metavar="DIR",
        help="one subfolder each: mix, source_* or real_*, labels.txt",
    )
    parser.add_argument("--only", default="", metavar="TASK", help="only subfolders whose name starts with this")
    parser.add_argument("--source", action="append", default=[], metavar="PRIOR[:LABEL]", help="without labels.txt")
    parser.add_argument("--json", type=Path, metavar="FILE")
    add_solver_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print a table, write the JSON."""
    from unsep_lib.evaluation import evaluate, oracle
    from unsep_lib.files import write_json
    from unsep_lib.mixtures import read_mixtures
    from unsep_lib.specification import parse_spec

    check_device(arguments.device)
    mixtures = read_mixtures(arguments.mixtures, [parse_spec(text) for text in arguments.source])
    mixtures = [mixture for mixture in mixtures if mixture.name.startswith(arguments.only)]
    if not mixtures:
        raise ValueError(f"{arguments.mixtures}: no mixture's name starts with {arguments.only!r}")
    evaluation = evaluate(mixtures, separating_method(mixtures, arguments), show_rows)
    show(evaluation, "improvement")
    show(evaluate(mixtures, oracle), "oracle ratio mask")
    print(f"{100 * evaluation.collapsed:.1f} % of sources collapsed, {evaluation.seconds_per_mixture:.1f} s a mixture, "
          f"{evaluation.as_json()['peak_memory_mb']:.0f} MB at most")  # fmt: skip
    if arguments.json:
        write_json(arguments.json, evaluation.as_json())
    return 0


def separating_method(mixtures, arguments: argparse.Namespace):
    """The method that the options ask for; loads every prior before the first mixture."""
    from unsep_lib.separate import load_priors, separate
    from unsep_lib.solvers import DEFAULT_SOLVER

    specs = list(dict.fromkeys(spec for mixture in mixtures for spec in mixture.specs))
    priors = dict(zip(specs, load_priors(specs, dict(arguments.prior), arguments.device), strict=True))

    def method(mixture):
        separation = separate(
            mixture.mixture.to(arguments.device),
            mixture.sample_rate,
            [priors[spec] for spec in mixture.specs],
            solver=arguments.solver or DEFAULT_SOLVER,
            steps=arguments.steps,
            seed=arguments.seed,
        )
        return separation.sources[:, 0].cpu()

    return method


def show_rows(name: str, rows) -> None:
    """Print the scores of one mixture."""
    for row in rows:
        print(f"{name:<24}{row.label:<26}{row.si_sdr:7.2f} dB  {row.si_sdr_improvement:+7.2f} dB", flush=True)


def show(evaluation, name: str) -> None:
    """Print mean and interval of the SI-SDR improvement."""
    result = evaluation.statistic("si_sdr_improvement")
    print(
        f"{name}: mean {result.mean:.2f} dB (95 % {result.low:.2f} … {result.high:.2f}), median {result.median:.2f} dB"
    )
