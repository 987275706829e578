"""`unsep separate`: recordings into one file per source."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers, add_solver_options, note, prior_files

if TYPE_CHECKING:
    from unsep_lib.separation import Request

MOST_NAMED = 5  # files or times that a note names; of more it tells the number
LEAST_MARGIN = 0.1  # of a passage from window to window, below which it is told; our choice


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("separate", help="separate a recording into its sources")
    parser.add_argument(
        "mixture", nargs="*", type=Path, metavar="MIXTURE", help="WAV, FLAC, OGG, MP3 …; several, or a folder of them"
    )
    parser.add_argument(
        "--source", action="append", default=[], metavar="PRIOR[:LABEL]", help="once for each source that sounds"
    )
    parser.add_argument("--out", type=Path, help="folder for the separated files")
    parser.add_argument(
        "--start", action="append", default=[], type=Path, metavar="FILE",
        help="an estimate of a source, once for each in their order, at which the last restart begins",
    )  # fmt: skip
    parser.add_argument(
        "--bandwidth", default="full", metavar="{full,16k}",
        help="16k: tracks end at 8 kHz, and what lies above stays in the residual (default: full)",
    )  # fmt: skip
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
    from unsep_lib.separation import refuse_losing, request
    from unsep_lib.solvers import DEFAULT_SOLVER
    from unsep_lib.source_spec import parse_spec

    files, used = prior_files(arguments.prior), [parse_spec(source).prior for source in arguments.source]
    if unused := [name for name in files if name not in used]:
        raise ValueError(f"--prior {unused[0]}=…: expected the prior of a source, {', '.join(used) or 'none'}")
    wanted = request(
        arguments.source, solver=arguments.solver or DEFAULT_SOLVER, steps=arguments.steps, seed=arguments.seed,
        prior=files, device=arguments.device, precision=arguments.precision,
        bandwidth=arguments.bandwidth,
    )  # fmt: skip
    folders = recordings(arguments.mixture, arguments.out)
    refuse_losing([*folders, *arguments.start], list(folders.values()), wanted)
    if arguments.start and len(folders) > 1:
        raise ValueError(f"expected one mixture with --start, got {len(folders)}")
    return separate_all(folders, wanted, arguments.start)


def separate_all(folders: Mapping[Path, Path], wanted: Request, start: Sequence[Path] = ()) -> int:
    """Separate recordings one after another; of several, those that cannot be, or are done, are named and passed over.

    Raises:
        ValueError: one of them, or the only one, could not be separated.
    """
    from unsep_lib.separation import is_done

    failed = 0
    for path, folder in folders.items():
        try:
            if len(folders) > 1 and is_done(path, folder, wanted):
                print(f"{folder}: done before", file=sys.stderr)
                continue
            separate_shown(path, folder, wanted, start)
        except (ValueError, OSError) as error:
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
    found = list(dict.fromkeys(found))
    stems = Counter(path.stem.casefold() for path in found)  # some systems' folders do not tell A from a
    folders = {path: out / (path.stem if stems[path.stem.casefold()] == 1 else path.name) for path in found}
    names = Counter(folder.name.casefold() for folder in folders.values())
    twice = [folder.name for folder in folders.values() if names[folder.name.casefold()] > 1]
    if twice:
        raise ValueError(f"expected recordings of different names, got {twice[0]} more than once")
    return folders


def _recordings_in(folder: Path) -> list[Path]:
    """The recordings in a folder; files that may be meant and are not taken are named."""
    from unsep_lib.audio import AUDIO_SUFFIXES, OTHER_SUFFIXES

    files = sorted(path for path in folder.iterdir() if path.is_file() or path.is_symlink())
    shown = [path for path in files if not path.name.startswith(".")]
    tracks = earlier_tracks(folder)
    audio = [path for path in shown if path.suffix.lower() in AUDIO_SUFFIXES]
    found = [path for path in audio if path.is_file() and path.name not in tracks]
    _tell(folder, "formats that cannot be read (ffmpeg makes WAV of them)",
          [path for path in shown if path.suffix.lower() in OTHER_SUFFIXES])  # fmt: skip
    _tell(folder, "tracks of an earlier run", [path for path in audio if path.name in tracks])
    _tell(folder, "links that lead nowhere", [path for path in audio if not path.exists()])
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    _tell(folder, "the recordings in folders in it",
          [path for path in inside if not earlier_tracks(path) and _holds_audio(path)])  # fmt: skip
    if not found:
        raise ValueError(f"{folder}: the folder holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return found


def earlier_tracks(folder: Path) -> list[str]:
    """The names of the tracks that an earlier run wrote into `folder`."""
    from unsep_lib.separation import read_report

    tracks = read_report(folder).get("tracks")
    return tracks if isinstance(tracks, list) else []


def _holds_audio(folder: Path) -> bool:
    from unsep_lib.audio import AUDIO_SUFFIXES

    return any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir())


def _tell(folder: Path, what: str, files: Sequence[Path]) -> None:
    if files:
        names = ", ".join(path.name for path in files[:MOST_NAMED])
        more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
        note(f"{folder}: not taken are {what}: {names}{more}")


def separate_shown(path: Path, folder: Path, wanted: Request, start: Sequence[Path] = ()) -> None:
    """Separate one file behind a progress bar, and print what was written and how far it can be trusted."""
    from tqdm import tqdm

    from unsep_lib.separation import UNFINISHED, read_report, separate_file
    from unsep_lib.windows import clock

    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    with tqdm(total=1.0, bar_format=layout, desc=f"separating {path.name}", disable=None) as bar:

        def on_window(done: int, total: int) -> None:
            if done == 1 and total > 1:
                bar.write(f"What is done can be played in {folder / UNFINISHED}", file=sys.stderr)
            bar.update(done / total - bar.n)

        shown = None if bar.disable else on_window
        written = separate_file(path, wanted, folder, start=start or None, on_window=shown)
    for file in written:
        print(file)
    report = read_report(folder)
    for name, confidence in zip(wanted.names, report["confidence"] or (), strict=False):
        note(f"{name}: {confidence['words']}")
    unsure = [clock(one["seconds"]) for one in report["passages"] if one["margin"] < LEAST_MARGIN]
    if unsure:
        more = f" and {len(unsure) - MOST_NAMED} more times" if len(unsure) > MOST_NAMED else ""
        note(f"sources of one kind may change places at {', '.join(unsure[:MOST_NAMED])}{more}")
    _tell_of_others(folder, wanted)


def _tell_of_others(folder: Path, wanted: Request) -> None:
    """Say which recordings in the folder are none of this run's tracks."""
    from unsep_lib.audio import AUDIO_SUFFIXES

    others = sorted(
        path.name for path in folder.iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and path.name not in wanted.tracks and not path.name.startswith(".")
    )  # fmt: skip
    if others:
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        note(f"{folder}: not of this run are {', '.join(others[:MOST_NAMED])}{more}")


def show_known() -> int:
    """Print priors with their labels, and solvers."""
    from unsep_lib.priors.checkpoints import available_priors, card_of
    from unsep_lib.solvers import SOLVERS

    print("priors:")
    for name, path in available_priors().items():
        try:
            labels = card_of(path)["labels"]
        except ValueError as error:
            note(f"{name}: {error}")
            continue
        print(f"  {name}" + (f"  (or {name}:LABEL with {', '.join(labels)})" if labels else ""))
    print("solvers:")
    for solver in SOLVERS.values():
        print(f"  {solver.name:<20}{solver.summary}, {solver.steps} steps")
    return 0
