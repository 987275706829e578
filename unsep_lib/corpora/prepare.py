"""A corpus on disk → a list of clips; what cannot be used is reported, not hidden."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from unsep_lib.audio import SILENCE_DBFS, read_audio, rms_dbfs
from unsep_lib.clips import Clip, active_spans
from unsep_lib.corpora.layouts import LAYOUTS, Entry
from unsep_lib.files import sha256

CORPORA = tuple(LAYOUTS)
CHUNK = 16  # files a worker takes at a time


@dataclass(frozen=True)
class Prepared:
    """The clips of a corpus, and the files that were skipped with the reason for each."""

    clips: tuple[Clip, ...]
    skipped: tuple[tuple[str, str], ...]


def prepare(
    root: Path | str,
    corpus: str = "auto",
    *,
    label: str | None = None,
    split: str | None = None,
    workers: int | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Describe every clip of a corpus folder: hash, rate, length, label, split, active spans.

    corpus: one of `CORPORA` or "auto"; label, split: instead of those the layout gives; workers: processes
    (default: one a core); on_file(done, all). The order does not depend on the workers.

    Raises:
        ValueError: no such folder, an unknown corpus, or no audio files.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    if corpus != "auto" and corpus not in LAYOUTS:
        raise ValueError(f"unknown corpus {corpus!r}: known are auto, {', '.join(CORPORA)}")
    layout = LAYOUTS[corpus] if corpus != "auto" else next(one for one in LAYOUTS.values() if one.recognises(root))
    entries = list(layout.entries(root))
    if not entries:
        raise ValueError(f"{root}: no audio files found ({layout.name} layout)")
    entries = [replace(e, label=e.label if label is None else label, split=split or e.split) for e in entries]
    name = root.name if layout.name == "folder" else layout.name
    clips, skipped = [], []
    for done, result in enumerate(_describe_all(name, entries, workers or os.cpu_count() or 1), start=1):
        (clips if isinstance(result, Clip) else skipped).append(result)
        if on_file is not None:
            on_file(done, len(entries))
    return Prepared(tuple(clips), tuple(skipped))


def _describe_all(corpus: str, entries: Sequence[Entry], workers: int) -> Iterator[Clip | tuple[str, str]]:
    work = partial(describe, corpus)
    if workers == 1:
        yield from map(work, entries)
        return
    # A forked child of a process whose OpenMP threads have run waits for them for ever, so children are spawned.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, entries, chunksize=CHUNK)


def describe(corpus: str, entry: Entry) -> Clip | tuple[str, str]:
    """The clip of an entry, or (file, reason) why it is none."""
    try:
        audio = read_audio(entry.file)
        samples = audio.samples.mean(dim=0)
        if rms_dbfs(samples) <= SILENCE_DBFS:
            raise ValueError(f"{entry.file}: the file is silent")
        spans = active_spans(samples, audio.sample_rate)
        digest = sha256(entry.file)
    except (ValueError, OSError) as error:
        return str(entry.file), str(error)
    return Clip(corpus, str(entry.file), digest, entry.label, entry.split, audio.sample_rate, len(samples), spans)
