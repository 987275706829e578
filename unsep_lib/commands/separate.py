"""`unsep separate`: recordings into one file a source each."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands.options import Subparsers, add_solver_options, check_device, precision_of

if TYPE_CHECKING:
    from unsep_lib.separate_file import Request


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("separate", help="separate a recording into its sources")
    parser.add_argument(
        "mixture", nargs="*", type=Path, metavar="MIXTURE", help="WAV, FLAC, OGG or MP3; several, or a folder of them"
    )
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
    if not arguments.mixture or arguments.out is None:
        raise ValueError(
            "expected a mixture and --out FOLDER, as in `unsep separate mix.wav --source speech --out out/`"
        )
    from unsep_lib.files import sha256
    from unsep_lib.priors.checkpoints import find_prior
    from unsep_lib.separate import load_priors
    from unsep_lib.separate_file import request
    from unsep_lib.solvers import DEFAULT_SOLVER
    from unsep_lib.source_spec import parse_spec

    check_device(arguments.device)
    specs = [parse_spec(text) for text in arguments.source]
    files = dict(arguments.prior)
    priors = load_priors(specs, files, arguments.device, precision_of(arguments))
    weights = {
        spec.prior: sha256(files[spec.prior] if spec.prior in files else find_prior(spec.prior)) for spec in specs
    }
    wanted = request(
        specs, priors, weights | {"precision": str(arguments.precision)}, solver=arguments.solver or DEFAULT_SOLVER,
        steps=arguments.steps, seed=arguments.seed, device=arguments.device,
    )  # fmt: skip
    return separate_all(recordings(arguments.mixture, arguments.out), wanted)


def separate_all(folders: Mapping[Path, Path], wanted: Request) -> int:
    """Separate recordings one after another; of several, those that cannot be or are done are told and passed over.

    Raises:
        ValueError: one of them, or the only one, could not be separated.
    """
    from unsep_lib.separate_file import is_done

    failed = 0
    for path, folder in folders.items():
        try:
            if len(folders) > 1 and is_done(path, folder, wanted):
                print(f"{folder}: done before", file=sys.stderr)
                continue
            separate_shown(path, folder, wanted)
        except ValueError as error:
            if len(folders) == 1:
                raise
            failed += 1
            print(f"unsep: {error}", file=sys.stderr)
    if failed:
        raise ValueError(f"{failed} of {len(folders)} recordings could not be separated, see above")
    return 0


def recordings(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Each recording and the folder for its sources: `out` itself for one file, else a folder in it named after it.

    Raises:
        ValueError: a folder without recordings, or two of one name.
    """
    if len(paths) == 1 and not paths[0].is_dir():
        return {paths[0]: out}
    found = [file for path in paths for file in (_recordings_in(path) if path.is_dir() else [path])]
    stems = Counter(path.stem for path in found)
    folders = {path: out / (path.stem if stems[path.stem] == 1 else path.name) for path in found}
    twice = [folder.name for folder, count in Counter(folders.values()).items() if count > 1]
    if twice:
        raise ValueError(f"expected recordings of different names, got {twice[0]} more than once")
    return folders


def _recordings_in(folder: Path) -> list[Path]:
    from unsep_lib.audio import AUDIO_SUFFIXES

    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not files:
        raise ValueError(f"{folder}: the folder holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return files


def separate_shown(path: Path, folder: Path, wanted: Request) -> None:
    """Separate one file behind a progress bar, and print what was written."""
    from tqdm import tqdm

    from unsep_lib.files import alone
    from unsep_lib.separate_file import separate_file

    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    with alone(folder), tqdm(total=1.0, bar_format=layout, desc=f"separating {path.name}", disable=None) as bar:
        written = separate_file(path, folder, wanted, lambda done, total: bar.update(done / total - bar.n))
    for file in written:
        print(file)


def show_known() -> int:
    """Print priors with their labels, and solvers."""
    from unsep_lib.priors.checkpoints import available_priors, card_of
    from unsep_lib.solvers import SOLVERS

    print("priors:")
    for name, path in available_priors().items():
        labels = card_of(path)["labels"]
        print(f"  {name}" + (f"  (or {name}:LABEL with {', '.join(labels)})" if labels else ""))
    print("solvers:")
    for solver in SOLVERS.values():
        print(f"  {solver.name:<20}{solver.summary}, {solver.default_steps} steps")
    return 0
