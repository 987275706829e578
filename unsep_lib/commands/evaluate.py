"""`unsep evaluate`: scores on mixtures whose references are known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands.options import Subparsers, add_solver_options, check_device, precision_of

if TYPE_CHECKING:
    import torch

    from unsep_lib.data.mixtures import Mixture
    from unsep_lib.evaluation.evaluate import Evaluation, Row
    from unsep_lib.evaluation.metrics import Voice


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
    parser.add_argument("--json", type=Path, metavar="FILE")
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
    """Evaluate, print a table, write the JSON."""
    from contextlib import nullcontext

    from unsep_lib.files import alone

    apply_profile(arguments)
    check_device(arguments.device)
    mixtures = asked_mixtures(arguments)
    method = separating_method(mixtures, arguments)
    with alone(arguments.json, file=True) if arguments.json else nullcontext():
        evaluate_and_say(mixtures, method, arguments.json, heard=[] if arguments.voices else None)
    return 0


def asked_mixtures(arguments: argparse.Namespace) -> list[Mixture]:
    """The mixtures of the folder that --only and --part leave.

    Raises:
        ValueError: none are left, or one that is no mixture.
    """
    from unsep_lib.data.mixtures import read_mixtures
    from unsep_lib.source_spec import parse_spec

    mixtures = read_mixtures(arguments.mixtures, [parse_spec(text) for text in arguments.source])
    mixtures = [mixture for mixture in mixtures if mixture.name.startswith(arguments.only)]
    if not mixtures:
        raise ValueError(f"{arguments.mixtures}: no mixture's name starts with {arguments.only!r}")
    number, parts = arguments.part
    if number > len(mixtures):
        raise ValueError(f"expected at most as many parts as mixtures, {len(mixtures)}, got part {number}/{parts}")
    return mixtures[number - 1 :: parts]


def evaluate_and_say(
    mixtures: Sequence[Mixture],
    method: Callable[[Mixture], torch.Tensor],
    file: Path | None,
    heard: list[Voice] | None = None,
) -> None:
    """Score `method` and the oracle ratio mask on the mixtures; print, and write `file` if there is one.

    heard: a list that is filled with the voices' scores; None: they are not asked for.
    """
    from unsep_lib.evaluation.evaluate import evaluate, oracle
    from unsep_lib.files import write_json

    evaluation = evaluate(mixtures, method if heard is None else hearing(method, heard), show_rows)
    show(evaluation, "improvement")
    show(evaluate(mixtures, oracle), "oracle ratio mask")
    report = evaluation.as_json()
    print(f"{100 * evaluation.collapsed:.1f} % of sources collapsed, {evaluation.seconds_per_mixture:.1f} s a mixture, "
          f"{report['peak_memory_mb']:.0f} MB at most")  # fmt: skip
    if evaluation.passages:
        print(f"{evaluation.switches} slot switches in {evaluation.passages} passages from one window to the next")
    if heard is not None:
        report["voices"] = show_voices(heard)
    if file is not None:
        write_json(file, report)


def hearing(method: Callable[[Mixture], torch.Tensor], heard: list[Voice]) -> Callable[[Mixture], torch.Tensor]:
    """The method, its voices scored for a listener into `heard`."""
    from unsep_lib.evaluation.metrics import voices

    def heard_method(mixture: Mixture) -> torch.Tensor:
        estimates = method(mixture)
        heard.extend(voices(mixture, estimates))
        return estimates

    return heard_method


def show_voices(heard: Sequence[Voice]) -> list[dict[str, object]]:
    """Print means with intervals over mixtures, of the estimates and of the mixture itself; the scores for JSON."""
    from unsep_lib.evaluation.metrics import statistic

    for name in ("stoi", "stoi_of_mixture", "pesq", "pesq_of_mixture"):
        scored = [(getattr(voice, name), voice.mixture) for voice in heard if getattr(voice, name) is not None]
        if scored:
            result = statistic(*zip(*scored, strict=True))
            print(f"{name}: {result.mean:.3f} (95 % {result.low:.3f} … {result.high:.3f}), {len(scored)} voices")
    return [asdict(voice) for voice in heard]


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

    for name in dict.fromkeys(names):
        if reason := card_of(find_prior(str(name))).get("untrained"):
            print(f"note: {name} holds {reason}", file=sys.stderr)


def separating_method(mixtures: Sequence[Mixture], arguments: argparse.Namespace) -> Callable[[Mixture], torch.Tensor]:
    """The method that the options ask for; loads every prior before the first mixture."""
    from unsep_lib.separation import load_priors, separate

    specs = list(dict.fromkeys(spec for mixture in mixtures for spec in mixture.specs))
    files: dict[str, Path | str] = dict(arguments.prior)
    loaded = load_priors(specs, files, arguments.device, precision_of(arguments))
    priors = dict(zip(specs, loaded, strict=True))
    warn_of_untrained(files.get(spec.prior, spec.prior) for spec in specs)

    def method(mixture: Mixture) -> torch.Tensor:
        separation = separate(
            mixture.mixture.to(arguments.device),
            [priors[spec] for spec in mixture.specs],
            mixture.sample_rate,
            solver=arguments.solver,
            steps=arguments.steps,
            seed=arguments.seed,
        )
        return separation.sources[:, 0].cpu()

    return method


def show_rows(name: str, rows: Iterable[Row]) -> None:
    """Print the scores of one mixture."""
    for row in rows:
        print(f"{name:<24}{row.label:<26}{row.si_sdr:7.2f} dB  {row.si_sdr_improvement:+7.2f} dB", flush=True)


def show(evaluation: Evaluation, name: str) -> None:
    """Print mean and interval of the SI-SDR improvement."""
    result = evaluation.statistic("si_sdr_improvement")
    print(
        f"{name}: mean {result.mean:.2f} dB (95 % {result.low:.2f} … {result.high:.2f}), median {result.median:.2f} dB"
    )
