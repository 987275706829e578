"""What the page separates: an uploaded file within limits, or an embedded mixture."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile

from unsep_lib.app.limits import MOST_CHANNELS, MOST_MEGABYTES, MOST_SECONDS
from unsep_lib.audio import SILENCE_DBFS, Audio, read_audio, rms_dbfs
from unsep_lib.data.embedded import REPOSITORY, embedded_dir, embedded_mixtures
from unsep_lib.source_spec import SourceSpec

LIMITS = f"WAV, FLAC, OGG or MP3, mono or stereo, at most {MOST_SECONDS} seconds and {MOST_MEGABYTES} MB."


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
        path = Path(folder) / "upload"
        path.write_bytes(content)
        try:
            _check_duration(path)
            audio = read_audio(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from error
    if len(audio.samples) > MOST_CHANNELS:
        raise ValueError(f"{name}: expected mono or stereo, got {len(audio.samples)} channels")
    if rms_dbfs(audio.samples) <= SILENCE_DBFS:
        raise ValueError(f"{name}: the recording is silent")
    return Recording(name, name, audio)


def _check_duration(path: Path) -> None:
    try:
        seconds = soundfile.info(path).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return  # read_audio says what is wrong
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
