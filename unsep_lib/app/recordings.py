"""What the page separates: an uploaded file within limits, or an embedded mixture."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile

from unsep_lib.app import MOST_CHANNELS, MOST_MEGABYTES, MOST_SECONDS
from unsep_lib.audio import (
    AUDIO_SUFFIXES,
    OTHER_SUFFIXES,
    READABLE,
    SILENCE_DBFS,
    UNKNOWN_FRAMES,
    Audio,
    open_audio,
    read_audio,
    rms_dbfs,
)
from unsep_lib.data.embedded import REPOSITORY, embedded_dir, embedded_mixtures
from unsep_lib.source_spec import SourceSpec

LIMITS = f"{READABLE}, mono or stereo, at most {MOST_SECONDS} seconds and {MOST_MEGABYTES} MB."


@dataclass(frozen=True)
class Recording:
    """A recording to separate: its name, the path that code would read, and, of an example, what sounds in it."""

    name: str
    path: str
    audio: Audio
    specs: tuple[SourceSpec, ...] = ()


def check_size(name: str, size: int) -> None:
    """Raise ValueError if a file of `size` bytes is empty or larger than the page takes."""
    if size == 0:
        raise ValueError(f"{name}: the file is empty")
    if size > MOST_MEGABYTES * 1e6:
        raise ValueError(f"{name}: expected at most {MOST_MEGABYTES} MB, got {size / 1e6:.0f} MB")


def read_upload(name: str, content: bytes) -> Recording:
    """The recording in an uploaded file.

    Raises:
        ValueError: too large, too long, too many channels, silent, or no readable audio; one sentence with its name.
    """
    check_size(name, len(content))
    with tempfile.TemporaryDirectory(prefix="unsep-") as folder:
        suffix = Path(name).suffix.lower()  # of a name that another system made
        path = Path(folder) / f"upload{suffix if suffix in AUDIO_SUFFIXES | OTHER_SUFFIXES else ''}"
        path.write_bytes(content)
        try:
            audio = _limited(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name).replace(path.name, name)) from error
    if len(audio.samples) > MOST_CHANNELS:
        raise ValueError(f"{name}: expected mono or stereo, got {len(audio.samples)} channels")
    if rms_dbfs(audio.samples) <= SILENCE_DBFS:
        raise ValueError(f"{name}: the recording is silent")
    return Recording(name, name, audio)


def _limited(path: Path) -> Audio:
    """The file's audio; a header that promises too much is refused before anything is read."""
    with contextlib.suppress(soundfile.LibsndfileError, RuntimeError):  # read_audio says what is wrong
        header = soundfile.info(path)
        if header.format != "MP3" and header.frames != UNKNOWN_FRAMES:  # neither of these knows its length
            _check_duration(path, header.duration)
    with open_audio(path) as file:
        longest = (MOST_SECONDS + 1) * file.sample_rate
    audio = read_audio(path, 0, longest)
    _check_duration(path, audio.seconds)
    return audio


def _check_duration(path: Path, seconds: float) -> None:
    if seconds > MOST_SECONDS:
        raise ValueError(f"{path}: expected at most {MOST_SECONDS} seconds, got {seconds:.0f}")


def examples() -> list[Recording]:
    """The embedded mixtures; none where the package is not run from a clone of the repository."""
    try:
        folder = embedded_dir() / "mixtures"
    except ValueError:
        return []
    return [
        Recording(
            mixture.name,
            (folder / mixture.name / "mix.flac").relative_to(REPOSITORY).as_posix(),
            Audio(mixture.mixture[None], mixture.sample_rate),
            tuple(mixture.specs),
        )
        for mixture in embedded_mixtures()
    ]
