"""A corpus on disk → a list of clips; what cannot be used is reported, not hidden."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, SILENCE_DBFS, mono, read_audio, resample, rms_dbfs
from unsep_lib.data.clips import Clip, active_spans, read_lines, read_manifest, stored_name, write_lines, write_manifest
from unsep_lib.data.layouts import LAYOUTS, Entry, Layout, left_out, tables_of
from unsep_lib.files import KEY_LENGTH, alone, refuse_overwriting, sha256
from unsep_lib.parallel import spread
from unsep_lib.priors.checkpoints import home
from unsep_lib.source_spec import class_label

FULL_SCALE = 32767 / 32768  # the largest 16-bit sample
KEEP_SECONDS = 60.0  # a kill loses at most so much reading


@dataclass(frozen=True)
class Skipped:
    """A file that is no clip, and why; size and modified as in `Clip`, None where there is no file."""

    file: str
    reason: str
    size: int | None = None
    modified: int | None = None


def describe(corpus: str, entry: Entry) -> Clip | Skipped:
    """The clip of an entry, or why the file cannot be one.

    Active spans are measured at 16 kHz, the rate that their threshold is meant for; level, peak and clipping on the
    file's own samples.
    """
    size, modified = file_stamp(entry.file)
    try:
        audio = read_audio(entry.file)
        samples = mono(audio.samples)
        level = rms_dbfs(samples)
        if level <= SILENCE_DBFS:
            raise ValueError(f"{entry.file}: the file is silent")
        spans = active_spans(resample(samples, audio.sample_rate, SAMPLE_RATE), SAMPLE_RATE)
        digest = sha256(entry.file)
    except (ValueError, OSError) as error:
        return Skipped(str(entry.file), str(error), size, modified)
    return Clip(
        corpus=corpus,
        file=str(entry.file),
        sha256=digest,
        label=entry.label,
        split=entry.split,
        sample_rate=audio.sample_rate,
        frames=len(samples),
        spans=_within(spans, len(samples) / audio.sample_rate),
        verified=entry.verified,
        level=level,
        peak=audio.samples.abs().max().item(),
        clipped=longest_run(audio.samples.abs() >= FULL_SCALE),
        size=size,
        modified=modified,
    )


def file_stamp(file: Path) -> tuple[int | None, int | None]:
    """(size in bytes, time of the last change in nanoseconds) of a file, (None, None) if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


def longest_run(flags: torch.Tensor) -> int:
    """The largest number of true values in a row of boolean `[channel, time]`."""
    padded = torch.nn.functional.pad(flags.to(torch.int8), (1, 1)).flatten().numpy()
    edges = numpy.flatnonzero(numpy.diff(padded))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _within(spans: tuple[tuple[float, float], ...], seconds: float) -> tuple[tuple[float, float], ...]:
    return tuple((start, min(stop, seconds)) for start, stop in spans)


CORPORA = tuple(LAYOUTS)


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus: clips, files skipped with reasons, the number of files read, sentences on what is left out.

    changed: whether a manifest was written, which it is not if it would say what it said before.
    """

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    read: int = 0
    left_out: tuple[str, ...] = ()
    changed: bool = False


def prepare(
    root: Path | str,
    out: Path | str,
    *,
    corpus: str = "auto",
    label: str | None = None,
    split: str | None = None,
    fresh: bool = False,
    workers: int | None = None,
    on_file: Callable[[int, int], None] | None = None,
    on_read: Callable[[Prepared], None] | None = None,
) -> Prepared:
    """Turn a corpus or a folder of audio into the manifest `out`, as `unsep data prepare`.

    What was skipped is listed beside it. Files that did not change since the manifest was written are not read again,
    unless `fresh`; nor are those that a run read which was stopped or killed. The other words as in `read_corpus`;
    on_read(prepared) is called before anything is written.

    Raises:
        ValueError: as `read_corpus`, a label that no source could have, no file that can be used, another run that
            writes to `out`, or an `out` that is a recording or a table of the corpus.
    """
    if label and (not label.isprintable() or set(label) & set(":/\\")):
        raise ValueError(f"expected a label in one line without ':', '/' and backslashes, got {label!r}")
    refuse_overwriting([out, skipped_list(out)], tables_of(Path(root)), text=True)
    with alone(out, file=True):
        unfinished = unfinished_list(out)
        known = [] if fresh else [one for one in (read_prepared(out), read_prepared(unfinished)) if one is not None]
        prepared = read_corpus(
            root, corpus, label=label, split=split, workers=workers, on_file=on_file, before=known,
            keep=partial(_keep, unfinished),
        )  # fmt: skip
        if on_read is not None:
            on_read(prepared)
        if not prepared.clips:
            raise ValueError(f"{root}: none of {len(prepared.skipped)} files could be used")
        prepared = replace(prepared, changed=write_prepared(out, prepared))
        for file in (unfinished, skipped_list(unfinished)):
            file.unlink(missing_ok=True)
        return prepared


def unfinished_list(manifest: Path | str) -> Path:
    """Where a run keeps what it has read so far, until it writes its manifest."""
    place = hashlib.sha256(os.fsencode(Path(manifest).resolve())).hexdigest()[:KEY_LENGTH]
    return home() / "unfinished" / f"{place}.jsonl"


def _keep(unfinished: Path, prepared: Prepared) -> None:
    if prepared.clips or prepared.skipped:
        with contextlib.suppress(ValueError):  # a home that cannot be written
            _write(unfinished, prepared)


def read_corpus(
    root: Path | str,
    corpus: str = "auto",
    *,
    label: str | None = None,
    split: str | None = None,
    workers: int | None = None,
    on_file: Callable[[int, int], None] | None = None,
    before: Sequence[Prepared] = (),
    keep: Callable[[Prepared], None] | None = None,
) -> Prepared:
    """Describe every clip of a corpus folder: hash, rate, length, label, split, active spans, level, clipping.

    corpus: one of `CORPORA` or "auto"; label, split: instead of those the layout gives; workers: processes
    (default: one per core); on_file(done, all); before: earlier results, whose files are not read again where their
    size and time of change are the same; keep: called with what is read so far every minute, and when the reading is
    stopped. The order does not depend on the workers.

    Raises:
        ValueError: no such folder, an unknown corpus, or no audio files.
    """
    root = Path(root).resolve()
    layout = _layout_of(root, corpus)
    entries = list(layout.entries(root))
    others = left_out(root) if layout.name == "folder" else []
    if not entries:
        raise ValueError("; ".join([f"{root}: no audio files found ({layout.name} layout)", *others[:1]]))
    entries = [
        replace(e, label=e.label if label is None else class_label(label), split=split or e.split) for e in entries
    ]
    name = root.name if layout.name == "folder" else layout.name
    known = _by_file(before)
    results = [_known(name, entry, known) for entry in entries]
    unread = [entry for entry, result in zip(entries, results, strict=True) if result is None]
    found = spread(partial(describe, name), unread, workers)
    kept = time.monotonic()
    try:
        for done in range(len(results)):
            if results[done] is None:
                results[done] = next(found)
            if keep is not None and time.monotonic() - kept > KEEP_SECONDS:
                keep(_prepared(results))
                kept = time.monotonic()
            if on_file is not None:
                on_file(done + 1, len(results))
    except BaseException:
        if keep is not None:
            keep(_prepared(results))
        raise
    return replace(_prepared(results), read=len(unread), left_out=tuple(others))


def _prepared(results: Sequence[Clip | Skipped | None]) -> Prepared:
    clips = tuple(result for result in results if isinstance(result, Clip))
    return Prepared(clips, tuple(result for result in results if isinstance(result, Skipped)))


def _layout_of(root: Path, corpus: str) -> Layout:
    if not root.is_dir():
        raise ValueError(f"{root}: {'expected a folder, got a file' if root.exists() else 'no such folder'}")
    if corpus != "auto" and corpus not in LAYOUTS:
        raise ValueError(f"unknown corpus {corpus!r}: known are auto, {', '.join(CORPORA)}")
    return LAYOUTS[corpus] if corpus != "auto" else next(one for one in LAYOUTS.values() if one.recognises(root))


def _by_file(before: Sequence[Prepared]) -> dict[str, Clip | Skipped]:
    files: list[Clip | Skipped] = []
    for prepared in before:
        files += [*prepared.clips, *prepared.skipped]
    return {os.path.realpath(one.file): one for one in files}


def _known(corpus: str, entry: Entry, known: dict[str, Clip | Skipped]) -> Clip | Skipped | None:
    found = known.get(os.path.realpath(entry.file)) if known else None
    if found is None or found.size is None or (found.size, found.modified) != file_stamp(entry.file):
        return None
    if isinstance(found, Skipped):
        return found
    return replace(found, corpus=corpus, label=entry.label, split=entry.split, verified=entry.verified)


def skipped_list(manifest: Path | str) -> Path:
    """Where the skipped files of a manifest are listed: `x.jsonl` → `x.skipped.jsonl`."""
    manifest = Path(manifest)
    return manifest.with_name(f"{manifest.stem}.skipped{manifest.suffix}")


def read_prepared(manifest: Path | str) -> Prepared | None:
    """What `write_prepared` wrote, None if there is no manifest or one that cannot be read."""
    try:
        clips = tuple(read_manifest(manifest))
        return Prepared(clips, _read_skipped(skipped_list(manifest)))
    except (ValueError, TypeError, KeyError):
        return None


def _read_skipped(path: Path) -> tuple[Skipped, ...]:
    if not path.is_file():
        return ()
    rows = [json.loads(line) for line in read_lines(path)]
    return tuple(Skipped(**(row | {"file": os.fspath(path.resolve().parent / row["file"])})) for row in rows)


def write_prepared(manifest: Path | str, prepared: Prepared) -> bool:
    """Write the manifest, and the list of skipped files if there are any; returns whether anything had changed."""
    before = read_prepared(manifest)
    if before is not None and (before.clips, before.skipped) == (prepared.clips, prepared.skipped):
        return False
    _write(manifest, prepared)
    return True


def _write(manifest: Path | str, prepared: Prepared) -> None:
    write_manifest(manifest, prepared.clips)
    listed = skipped_list(manifest)
    if prepared.skipped:
        write_lines(listed, _rows(prepared.skipped, listed.resolve().parent))
    else:
        listed.unlink(missing_ok=True)


def _rows(skipped: Sequence[Skipped], folder: Path) -> list[dict[str, object]]:
    return [asdict(one) | {"file": stored_name(one.file, folder)} for one in skipped]
