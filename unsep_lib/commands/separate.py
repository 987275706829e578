"""`unsep separate`: one recording into one file a source."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands.options import Subparsers, add_solver_options, check_device, precision_of

if TYPE_CHECKING:
    from unsep_lib.audio import Audio
    from unsep_lib.priors import Prior
    from unsep_lib.separate import Separation
    from unsep_lib.specification import SourceSpec


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("separate", help="separate a recording into its sources")
    parser.add_argument("mixture", nargs="?", type=Path, metavar="MIXTURE", help="WAV, FLAC, OGG or MP3")
    parser.add_argument(
        "--source", action="append", default=[], metavar="PRIOR[:LABEL]", help="once for each source that sounds"
    )
    parser.add_argument("--out", type=Path, help="folder for the separated files")
    parser.add_argument("--list", action="store_true", help="show priors, labels and solvers")
    add_solver_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Separate and write, or list what is known."""
    if arguments.list:
        return show_known()
    if arguments.mixture is None or arguments.out is None:
        raise ValueError(
            "expected a mixture and --out FOLDER, as in `unsep separate mix.wav --source speech --out out/`"
        )
    from unsep_lib.audio import read_audio
    from unsep_lib.files import alone
    from unsep_lib.separate import load_priors
    from unsep_lib.specification import parse_spec

    check_device(arguments.device)
    specs = [parse_spec(text) for text in arguments.source]
    audio = read_audio(arguments.mixture)
    priors = load_priors(specs, dict(arguments.prior), arguments.device, precision_of(arguments))
    with alone(arguments.out):
        write_separation(shown_separation(audio, priors, arguments), specs, arguments.mixture, arguments.out)
    return 0


def shown_separation(audio: Audio, priors: Sequence[Prior], arguments: argparse.Namespace) -> Separation:
    """Separate behind a progress bar."""
    from tqdm import tqdm

    from unsep_lib.separate import separate
    from unsep_lib.solvers import DEFAULT_SOLVER

    with tqdm(
        total=1.0, bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}", desc="separating", disable=None
    ) as bar:
        return separate(
            audio.samples.to(arguments.device),
            audio.sample_rate,
            priors,
            solver=arguments.solver or DEFAULT_SOLVER,
            steps=arguments.steps,
            seed=arguments.seed,
            on_window=lambda done, total: bar.update(done / total - bar.n),
        )


def write_separation(separation: Separation, specs: Sequence[SourceSpec], mixture: Path, folder: Path) -> None:
    """Write one float WAV a source, residual.wav and report.json into `folder`, all or nothing."""
    from unsep_lib.audio import write_audio
    from unsep_lib.files import staged, write_json
    from unsep_lib.specification import file_names
    from unsep_lib.versions import versions

    tracks = dict(zip(file_names(specs), separation.sources, strict=True)) | {"residual": separation.residual}
    report = {
        "mixture": str(mixture),
        "sources": [str(spec) for spec in specs],
        "solver": separation.solver,
        "steps": separation.steps,
        "seed": separation.seed,
        "seconds": round(separation.seconds, 3),
        "residual_db": round(separation.residual_db, 2),
        "versions": versions(),
    }
    with staged(folder) as staging:
        for name, samples in tracks.items():
            write_audio(staging / f"{name}.wav", samples, separation.sample_rate)
        write_json(staging / "report.json", report)
    for name in tracks:
        print(folder / f"{name}.wav")


def show_known() -> int:
    """Print priors with their labels, and solvers."""
    from unsep_lib.checkpoints import available_priors, card_of
    from unsep_lib.solvers import SOLVERS

    print("priors:")
    for name, path in available_priors().items():
        labels = card_of(path)["labels"]
        print(f"  {name}" + (f"  (or {name}:LABEL with {', '.join(labels)})" if labels else ""))
    print("solvers:")
    for solver in SOLVERS.values():
        print(f"  {solver.name:<20}{solver.summary}, {solver.default_steps} steps")
    return 0
