"""`unsep evaluate` and `unsep experiment`: scores on mixtures whose references are known, once or in a sweep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers, add_solver_options, check_device, note, prior_files

if TYPE_CHECKING:
    from pandas import DataFrame

    from unsep_lib.data.mixtures import Mixture
    from unsep_lib.evaluation.evaluate import Evaluation, SourceScore
    from unsep_lib.evaluation.metrics import Statistic

NONE = "–"  # where there is no score


def add_parser(subparsers: Subparsers) -> None:
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
    parser.add_argument(
        "--part", type=part, default=(1, 1), metavar="K/N", help="only every N-th mixture from the K-th: a GPU's share"
    )
    parser.add_argument(
        "--voices", action="store_true", help="STOI of each voice too, and PESQ where `pip install unsep[pesq]` was run"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="all scores; beside it a stopped run keeps those that it has"
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="smoke, tutorial, paper or a TOML file: its solver, steps, priors and device"
    )
    add_solver_options(parser)
    parser.set_defaults(run=run, device=None)


def part(text: str) -> tuple[int, int]:
    """Parse K/N with 1 ≤ K ≤ N."""
    try:
        number, parts = map(int, text.split("/"))
    except ValueError:
        number, parts = 0, 0
    if not 1 <= number <= parts:
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, got {text!r}")
    return number, parts


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the JSON, print a table."""
    from unsep_lib.evaluation.evaluate import evaluate, oracle
    from unsep_lib.files import refuse_overwriting
    from unsep_lib.versions import peak_memory_mb

    if arguments.json:
        refuse_overwriting([arguments.json], read_texts(arguments), text=True)
    prior_files(arguments.prior)  # before those of the profile, which may be given again
    apply_profile(arguments)
    check_device(arguments.device)
    shown = _Scores(dict(arguments.prior))
    try:
        evaluation = evaluate(
            arguments.mixtures, source=arguments.source, only=arguments.only, part=arguments.part,
            voices=arguments.voices, solver=arguments.solver, steps=arguments.steps, seed=arguments.seed,
            prior=shown.files, device=arguments.device, precision=arguments.precision, json=arguments.json,
            on_start=shown.start, on_kept=shown.kept, on_mixture=shown.rows,
        )  # fmt: skip
    except BaseException:
        if arguments.json and 0 < shown.done < len(shown.mixtures):
            note(f"the scores of {shown.done} of {len(shown.mixtures)} mixtures are kept beside {arguments.json}; "
                 "the same command goes on after them")  # fmt: skip
        raise
    if shown.before:
        note(f"{shown.before} of {shown.done} mixtures were scored before, by the same command")
    print(sentence("improvement", evaluation.statistic("si_sdr_improvement")))
    print(sentence("oracle ratio mask", evaluate(shown.mixtures, oracle).statistic("si_sdr_improvement")))
    show_rest(evaluation)
    print(f"{peak_memory_mb():.0f} MB at most")
    return 0


def read_texts(arguments: argparse.Namespace) -> list[Path]:
    """The texts that an evaluation reads or that belong to its mixtures: labels, the record of the set, the profile."""
    from unsep_lib.data.mixture_sets import RECORD
    from unsep_lib.notebook.profiles import profile_path

    texts = [*arguments.mixtures.glob("*/labels.txt"), arguments.mixtures / RECORD]
    return [*texts, profile_path(arguments.profile)] if arguments.profile else texts


class _Scores:
    """The lines of a table whose columns are as wide as the longest names, printed as they come."""

    def __init__(self, files: dict[str, Path]):
        self.files = files
        self.mixtures: Sequence[Mixture] = ()
        self.done = self.before = 0

    def start(self, mixtures: Sequence[Mixture]) -> None:
        """Take the mixtures that will be scored, and say which of their priors were never trained."""
        from unsep_lib.data.mixtures import headings

        self.mixtures, known = mixtures, headings(mixtures)
        specs = [spec for mixture in known for spec in mixture.specs]
        warn_of_untrained(self.files.get(spec.prior, spec.prior) for spec in specs)
        self.widths = max(len(mixture.name) for mixture in known), max(len(str(spec)) for spec in specs)

    def kept(self, name: str) -> None:
        """Count a mixture that was scored before."""
        self.before += 1

    def rows(self, name: str, rows: Iterable[SourceScore]) -> None:
        """Print a mixture's scores."""
        self.done += 1
        for row in rows:
            scores = f"{decibels(row.si_sdr, '7.2f')}  {decibels(row.si_sdr_improvement, '+7.2f')}"
            print(f"{name:<{self.widths[0]}}  {row.label:<{self.widths[1]}}  {scores}", flush=True)


def apply_profile(arguments: argparse.Namespace) -> None:
    """Fill in what the options leave open from the profile, if one is asked for."""
    from unsep_lib.notebook.profiles import load_profile
    from unsep_lib.solvers import DEFAULT_SOLVER

    profile = load_profile(arguments.profile) if arguments.profile else None
    if profile is not None:
        arguments.solver = arguments.solver or profile.solver
        if arguments.steps is None:
            arguments.steps = profile.steps_of(arguments.solver)
        of_profile = [("speech", profile.speech_prior), ("sound", profile.sound_prior)]
        arguments.prior = [*of_profile, *arguments.prior]
        arguments.device = arguments.device or profile.device
    arguments.solver = arguments.solver or DEFAULT_SOLVER
    arguments.device = arguments.device or "cpu"


def warn_of_untrained(names: Iterable[Path | str]) -> None:
    """Say on stderr which of the priors were never trained."""
    from unsep_lib.priors.checkpoints import card_of, find_prior
    from unsep_lib.settings import names_python

    for name in dict.fromkeys(names):
        if names_python(name):
            continue
        if reason := card_of(find_prior(str(name))).get("untrained"):
            print(f"note: {name} holds {reason}", file=sys.stderr)


def show_rest(evaluation: Evaluation) -> None:
    """Print what else the evaluation found: collapsed sources, what was left out, switches, voices."""
    print(f"{evaluation.collapsed:.1%} of sources collapsed, {evaluation.seconds_per_mixture:.1f} s a mixture")
    left_out = [f"{why} {count}" for why, count in evaluation.left_out.items() if count]
    if left_out:
        print(f"left out of the mean improvement: {', '.join(left_out)}")
    if evaluation.passages:
        print(f"sources changed places {evaluation.switches} times in {evaluation.passages} passages from one window "
              "to the next")  # fmt: skip
    if found := evaluation.calibration:
        ranks = "–" if found.rank_correlation is None else f"{found.rank_correlation:.2f}"
        print(f"estimated improvement: rank correlation {ranks} with the true one, {found.inside:.0%} inside the "
              f"estimated range, {found.bias:+.1f} dB off on average")  # fmt: skip
    if evaluation.voices is not None:
        show_voices(evaluation)


def show_voices(evaluation: Evaluation) -> None:
    """Print means with intervals over mixtures of the voices' STOI and PESQ, of the estimates and of the mixtures."""
    from unsep_lib.evaluation.metrics import statistic

    voices = evaluation.voices or ()
    for name in ("stoi", "stoi_of_mixture", "pesq", "pesq_of_mixture"):
        scored = [voice for voice in voices if getattr(voice, name) is not None]
        if scored:
            found = statistic([getattr(voice, name) for voice in scored], [voice.mixture for voice in scored])
            print(f"{name}: {found.mean:.3f} (95 % {found.low:.3f} … {found.high:.3f}), {len(scored)} voices")
    short = sum(voice.stoi is None for voice in voices)
    if short:
        print(f"left out of STOI: {short} voices that sound for less than 0.4 s or have no finite estimate")


def decibels(value: float | None, style: str) -> str:
    """A score with its unit, or a dash of the same width."""
    return f"{NONE:>7}   " if value is None else f"{value:{style}} dB"


def sentence(name: str, found: Statistic | None) -> str:
    """Mean, interval and median of the SI-SDR improvement."""
    if found is None:
        return f"{name}: no source has one"
    return f"{name}: mean {found.mean:.2f} dB (95 % {found.low:.2f} … {found.high:.2f}), median {found.median:.2f} dB"


def add_experiment(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("experiment", help="run a sweep, or resume one that was stopped or killed")
    parser.add_argument(
        "config", metavar="CONFIG", help="main, ablation, pareto, controls, levels, seeds … or a TOML file"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="rows/*.json and table.csv")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=1, metavar="N", help="processes here (default: 1)")
    where.add_argument("--dask", metavar="ADDRESS", help="a dask scheduler, such as tcp://127.0.0.1:8786")
    parser.set_defaults(run=run_experiment)


def run_experiment(arguments: argparse.Namespace) -> int:
    """Compute what is missing, print a line per solver, say where the table is."""
    from tqdm import tqdm

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
    print(shown_summary(summary(table)))
    print(arguments.out / TABLE)
    return 0


def shown_summary(found: DataFrame) -> str:
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
