"""`unsep data`: corpora fetched, prepared as manifests of clips, and mixed."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unsep_lib.commands import Subparsers, note

if TYPE_CHECKING:
    from unsep_lib.data.prepare import Prepared


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("data", help="fetch corpora, prepare clips to train on, draw mixtures to test on")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_fetch(actions)
    _add_prepare(actions)
    _add_mix(actions)


def _add_fetch(actions: Subparsers) -> None:
    action = actions.add_parser("fetch", help="download a corpus from its publisher, check it and unpack it")
    action.add_argument(
        "corpus", metavar="CORPUS", help="vctk, fsdkaggle2018, librispeech-train-clean-100 or librispeech-test-other"
    )
    action.add_argument("--root", required=True, type=Path, metavar="DIR", help="folder of your corpora")
    action.add_argument(
        "--trust", action="store_true", help="accept any content; record its hash and expect this one from now on"
    )
    action.set_defaults(run=run_fetch)


def _add_prepare(actions: Subparsers) -> None:
    action = actions.add_parser("prepare", help="turn a corpus or a folder of audio into a manifest")
    action.add_argument("root", type=Path, metavar="ROOT")
    action.add_argument("--out", required=True, type=Path, metavar="MANIFEST")
    action.add_argument(
        "--corpus", default="auto", help="LibriSpeech, VCTK, FSDKaggle2018, folder (default: recognised)"
    )
    action.add_argument("--label", help="label of every clip (default: the layout's, or the file's folder)")
    action.add_argument("--split", choices=("train", "test"), help="split of every clip (default: the layout's)")
    action.add_argument("--page", type=Path, metavar="DIR", help="write a page of statistics and players there")
    action.add_argument("--fresh", action="store_true", help="read every file again, unchanged ones too")
    action.add_argument("--workers", type=int, help="processes (default: one per core)")
    action.set_defaults(run=run_prepare)


def _add_mix(actions: Subparsers) -> None:
    action = actions.add_parser("mix", help="draw mixtures with references from manifests, the same on every machine")
    action.add_argument("--task", required=True, help="1speech-1sound, 1speech-2sounds, 2sounds, 3sounds or 2speakers")
    action.add_argument("--count", required=True, type=int)
    action.add_argument("--seed", type=int, default=0)
    action.add_argument("--speech", nargs="+", default=[], type=Path, metavar="MANIFEST", help="clips without labels")
    action.add_argument("--sounds", nargs="+", default=[], type=Path, metavar="MANIFEST", help="clips with labels")
    action.add_argument("--split", choices=("train", "test"), default="test", help="split of the clips (default: test)")
    action.add_argument("--out", required=True, type=Path, metavar="DIR")
    action.add_argument("--workers", type=int, help="processes (default: one per core)")
    action.set_defaults(run=run_mix)


@contextlib.contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, as a function of how many are done and how many there are."""
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def run_fetch(arguments: argparse.Namespace) -> int:
    """Fetch a corpus and say what its hashes were compared with."""
    from tqdm import tqdm

    from unsep_lib.data.fetch import CORPORA, fetch
    from unsep_lib.priors.checkpoints import home

    if arguments.corpus not in CORPORA:
        raise ValueError(f"unknown corpus {arguments.corpus!r}: known are {', '.join(CORPORA)}")
    corpus = CORPORA[arguments.corpus]
    print(f"{arguments.corpus}: {corpus.terms}")
    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def show(archive: str, arrived: int, total: int | None) -> None:
            bar.total = total
            bar.set_description_str(archive, refresh=False)
            bar.update(arrived - bar.n)

        records = home() / "downloads.json"
        for sentence in fetch(corpus, arguments.root, records, trust=arguments.trust, on_bytes=show):
            bar.write(sentence)
            bar.reset()
    print(f"next: unsep data prepare {arguments.root / corpus.folder} --out {arguments.corpus}.jsonl")
    return 0


def run_prepare(arguments: argparse.Namespace) -> int:
    """Prepare a corpus, and say what it holds and what was skipped."""
    from unsep_lib.data.prepare import prepare
    from unsep_lib.files import alone, refuse_overwriting
    from unsep_lib.reproduce.corpus_report import page_file, write_page

    with contextlib.ExitStack() as held:
        if arguments.page:
            held.enter_context(alone(arguments.page))
            refuse_overwriting([page_file(arguments.page)], [arguments.out], text=True)
        with progress_bar("files") as show:
            prepared = prepare(
                arguments.root, arguments.out, corpus=arguments.corpus, label=arguments.label, split=arguments.split,
                fresh=arguments.fresh, workers=arguments.workers, on_file=show, on_read=_show_left_out,
            )  # fmt: skip
        _say(arguments.out, prepared)
        if arguments.page:
            print(write_page(arguments.page, prepared.clips[0].corpus, arguments.root, prepared))
    return 0


def _show_left_out(prepared: Prepared) -> None:
    """Say which files are no clips, and where a corpus has other counts than its publisher states."""
    from unsep_lib.reproduce.corpus_report import departures

    for sentence in prepared.left_out:
        note(sentence)
    for one in prepared.skipped:
        print(f"skipped: {one.reason}", file=sys.stderr)
    for sentence in departures(prepared.clips):
        note(sentence)


def _say(manifest: Path, prepared: Prepared) -> None:
    from unsep_lib.data.clips import labels_of
    from unsep_lib.reproduce.corpus_report import summarise

    for part in summarise(prepared.clips):
        checked = "" if part.verified is None else f", {part.verified} labels checked by a person"
        print(f"{part.split}: {part.clips} clips, {part.hours:.2f} hours, {part.classes} classes, "
              f"{part.speakers} speakers, {part.clipped} clipped{checked}")  # fmt: skip
    minutes = sum(clip.seconds for clip in prepared.clips) / 60
    unchanged = "" if prepared.changed else " (unchanged)"
    print(f"{manifest}{unchanged}: {len(prepared.clips)} clips, {minutes:.1f} minutes, "
          f"{len(labels_of(prepared.clips))} labels; {len(prepared.skipped)} files skipped, "
          f"{prepared.read} files read")  # fmt: skip


def run_mix(arguments: argparse.Namespace) -> int:
    """Write a set of mixtures and print its checksum."""
    from unsep_lib.data.mixture_sets import mix

    with progress_bar("mixtures") as show:
        total = mix(
            arguments.out, task=arguments.task, count=arguments.count, seed=arguments.seed, speech=arguments.speech,
            sounds=arguments.sounds, split=arguments.split, workers=arguments.workers, on_mixture=show,
        )  # fmt: skip
    print(f"{arguments.out}: {arguments.count} mixtures, checksum {total}")
    return 0
