"""What is measured of a file when it becomes a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, SILENCE_DBFS, read_audio, resample, rms_dbfs
from unsep_lib.clips import Clip, active_spans
from unsep_lib.corpora.layouts import Entry
from unsep_lib.files import sha256

FULL_SCALE = 32767 / 32768  # the largest 16-bit sample


@dataclass(frozen=True)
class Skipped:
    """A file that is no clip, and why; size and modified as in `Clip`, None where there is no file."""

    file: str
    reason: str
    size: int | None = None
    modified: int | None = None


def describe(corpus: str, entry: Entry) -> Clip | Skipped:
    """The clip of an entry, or why it is none.

    Active spans are measured at 16 kHz, the rate that their threshold is meant for; level, peak and clipping on the
    file's own samples.
    """
    size, modified = file_stamp(entry.file)
    try:
        audio = read_audio(entry.file)
        samples = audio.samples.mean(dim=0)
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
