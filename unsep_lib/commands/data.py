"""`unsep data`: corpora and own folders of audio as manifests of clips."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand's options."""
    parser = subparsers.add_parser("data", help="prepare clips to train on")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("prepare", help="turn a corpus or a folder of audio into a manifest")
    action.add_argument("root", type=Path, metavar="ROOT")
    action.add_argument("--out", required=True, type=Path, metavar="MANIFEST")
    action.add_argument(
        "--corpus", default="auto", help="LibriSpeech, VCTK, FSDKaggle2018, folder (default: recognised)"
    )
    action.add_argument("--label", help="label of every clip (default: the layout's, or the file's folder)")
    action.add_argument("--split", choices=("train", "test"), help="split of every clip (default: the layout's)")
    action.add_argument("--workers", type=int, help="processes (default: one a core)")
    action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare a corpus and say what was skipped."""
    from tqdm import tqdm

    from unsep_lib.clips import labels_of, write_manifest
    from unsep_lib.corpora import prepare

    with tqdm(desc="clips", unit=" files", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        prepared = prepare(
            arguments.root,
            arguments.corpus,
            label=arguments.label,
            split=arguments.split,
            workers=arguments.workers,
            on_file=show,
        )
    for _, reason in prepared.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if not prepared.clips:
        raise ValueError(f"{arguments.root}: none of {len(prepared.skipped)} files could be used")
    write_manifest(arguments.out, prepared.clips)
    minutes = sum(clip.seconds for clip in prepared.clips) / 60
    labels = len(labels_of(prepared.clips))
    print(f"{arguments.out}: {len(prepared.clips)} clips, {minutes:.1f} minutes, {labels} labels; "
          f"{len(prepared.skipped)} files skipped")  # fmt: skip
    return 0
