"""Audio in and out: samples are float32 tensors `[channel, time]` or `[time]` in −1 … 1."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy
import soundfile
import torch
import torchaudio.functional

from unsep_lib.files import write_bytes

AUDIO_SUFFIXES = frozenset({
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist", ".ircam", ".sf",
})  # fmt: skip
OTHER_SUFFIXES = frozenset(
    {
        ".m4a",
        ".m4b",
        ".mp4",
        ".m4v",
        ".aac",
        ".wma",
        ".wmv",
        ".mov",
        ".mkv",
        ".mka",
        ".webm",
        ".avi",
        ".3gp",
        ".amr",
        ".ape",
        ".wv",
        ".ac3",
        ".dts",
        ".dsf",
        ".tta",
        ".mpc",
    }
)  # fmt: skip; recordings that libsndfile does not know
READABLE = "WAV, FLAC, OGG, Opus, MP3, AIFF, AU, CAF and W64"
SAMPLE_RATE = 16_000  # Hz; the rate of every prior here (arXiv 2512.07226)
SILENCE_DBFS = -120.0  # what the level of digital silence is reported as
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; a file that says more or less has a damaged header
LARGEST_KERNEL = 1 << 22  # numbers; torchaudio's filter has some rate_from · rate_to / gcd², gigabytes for 44 101 Hz
UNKNOWN_FRAMES = (1 << 63) - 1  # libsndfile's answer where a header does not say how many samples follow
MOST_FRAMES = 1 << 34  # two days at 96 kHz; a header that promises more is damaged
LARGEST_HEADER = 4096  # bytes; a longer file without samples holds some that its header does not mention
BLOCK = 1 << 18  # samples per channel that are decoded at a time
MP3_FRAME = 1152  # samples
ID3_HEADER, ID3_FOOTER = 10, 0x10  # bytes of a tag's header, and the flag of one more behind it
CANCELLED = 0.01  # of the channels' power: channels whose mean has less are each other's inverse


@dataclass(frozen=True)
class Audio:
    """Samples `[channel, time]` and their rate in Hz."""

    samples: torch.Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples.shape[-1] / self.sample_rate


class _InOrder(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is only read on: soundfile seeks after each read, and an MP3 decoder loses bits then."""

    def seekable(self) -> bool:
        return False


class AudioFile:
    """An open recording, decoded in order.

    frames: how many samples the header promises, None where it does not say.
    """

    def __init__(self, path: Path, sound: _InOrder):
        self.path, self._sound = path, sound
        self.sample_rate, self.channels = int(sound.samplerate), int(sound.channels)
        self._begun = False
        self.frames: int | None = None if sound.frames == UNKNOWN_FRAMES else int(sound.frames)

    def read(self, frames: int) -> torch.Tensor:
        """The next samples [channel, time], fewer than `frames` only at the end.

        Raises:
            ValueError: NaN or infinite samples.
        """
        with _quiet(self._sound):
            piped = self._sound.format == "MP3" and self.frames is None
            found = self._frame_by_frame(frames) if piped else self._decoded(frames)
        samples = torch.from_numpy(found.T.copy())
        if not torch.isfinite(samples).all():
            raise ValueError(f"{self.path}: the samples contain NaN or infinity")
        return samples

    def _decoded(self, frames: int) -> numpy.ndarray:
        decoded: numpy.ndarray = self._sound.read(frames, dtype="float32", always_2d=True)
        return decoded

    def _frame_by_frame(self, frames: int) -> numpy.ndarray:
        """An MP3 from a pipe: a last frame that is cut off is an error, and what was decoded with it would be lost."""
        found = [numpy.zeros((0, self.channels), numpy.float32)]
        try:
            while frames > 0 and len(found[-1]) == (MP3_FRAME if len(found) > 1 else 0):
                found.append(self._decoded(min(frames, MP3_FRAME)))
                frames -= len(found[-1])
        except soundfile.LibsndfileError:
            if not self._begun and len(found) == 1:
                raise
        self._begun = True
        return numpy.concatenate(found)

    def skip(self, frames: int) -> None:
        """Leave out the next samples."""
        if self._sound.format != "MP3" and self.frames is not None:
            self._sound.seek(min(frames, self.frames))
            return
        while frames > 0 and (found := self.read(min(frames, BLOCK)).shape[-1]):
            frames -= found


@contextlib.contextmanager
def open_audio(path: Path | str) -> Iterator[AudioFile]:
    """Open any file that libsndfile knows (WAV, FLAC, OGG, MP3 …).

    Raises:
        ValueError: no such file, not audio, or a rate that no recording has; in the block too, for what cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such audio file")
    try:
        with _opened(path) as sound:
            if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
                raise ValueError(
                    f"{path}: expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {sound.samplerate} Hz"
                )
            file = AudioFile(path, sound)
            if file.frames is not None and file.frames > MOST_FRAMES:
                raise ValueError(f"{path}: not a readable audio file (its header promises {file.frames} samples)")
            yield file
    except (soundfile.LibsndfileError, RuntimeError, OSError, MemoryError) as error:
        reason = getattr(error, "error_string", error) or "it is damaged or ends too early"
        raise ValueError(f"{path}: not a readable audio file ({reason}){_remedy(path)}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_InOrder]:
    with contextlib.ExitStack() as stack:
        with _decoder_quiet():
            sound = stack.enter_context(_InOrder(os.fsencode(path)))
        if sound.format == "MP3":
            # Without a Xing header the length is guessed from the first frames and the file's size, and libsndfile
            # reads no further than that; from a pipe, whose size is unknown, it reads to the end.
            with contextlib.suppress(soundfile.LibsndfileError):
                piped = stack.enter_context(_piped(path))
                sound = piped if piped.frames == UNKNOWN_FRAMES else sound
        yield sound


@contextlib.contextmanager
def _piped(path: Path) -> Iterator[_InOrder]:
    out, into = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(into, "wb") as pipe, path.open("rb") as file:
            file.seek(_first_frame(file))  # in a pipe libsndfile does not look behind tags
            shutil.copyfileobj(file, pipe)

    threading.Thread(target=feed, daemon=True).start()
    with _decoder_quiet():
        sound = _InOrder(out)
    with sound:
        yield sound


def _first_frame(file: BinaryIO) -> int:
    """Where an MP3's first frame may begin: 11 set bits behind its ID3v2 tag (id3.org, ID3v2.4 section 3.1)."""
    head, begin = file.read(ID3_HEADER), 0
    if head[:3] == b"ID3" and len(head) == ID3_HEADER:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        begin = ID3_HEADER + size + (ID3_HEADER if head[5] & ID3_FOOTER else 0)
    file.seek(begin)
    sync = re.search(rb"\xff[\xe0-\xff]", file.read(BLOCK))
    return begin + (sync.start() if sync else 0)


_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def _decoder_quiet() -> Iterator[None]:
    """Keep the MP3 decoder's own lines about odd tags off stderr; errors come back as exceptions."""
    with _ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), 2)
        yield


def _quiet(sound: _InOrder) -> contextlib.AbstractContextManager[None]:
    return _decoder_quiet() if sound.format == "MP3" else contextlib.nullcontext()


def _remedy(path: Path) -> str:
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return ""
    return f"; {READABLE} can be read, others after `ffmpeg -i {path.name} {path.stem}.wav`"


def read_audio(path: Path | str, start: int = 0, stop: int | None = None) -> Audio:
    """Read any file that libsndfile knows (WAV, FLAC, OGG, MP3 …), whole or from `start` to `stop` (samples).

    Raises:
        ValueError: no such file, not audio, no samples, NaN or infinite samples, or a rate that no recording has.
    """
    blocks = []
    with open_audio(path) as file:
        if start:
            file.skip(start)
        left = UNKNOWN_FRAMES if stop is None else max(0, stop - start)
        while left and (block := file.read(min(left, BLOCK))).shape[-1]:
            blocks.append(block)
            left -= block.shape[-1]
    if not blocks:
        raise ValueError(no_samples(file))
    return Audio(torch.cat(blocks, dim=-1), file.sample_rate)


def no_samples(file: AudioFile) -> str:
    """The sentence for a file from which nothing could be read."""
    size = file.path.stat().st_size
    if file.frames == 0 and size > LARGEST_HEADER:
        return (
            f"{file.path}: the header says that no samples follow, yet {size} bytes do (was it cut off?); "
            f"`ffmpeg -i {file.path.name} mended.wav` writes them with a right header"
        )
    return f"{file.path}: the file holds no samples"


def mono(samples: torch.Tensor) -> torch.Tensor:
    """The mean [time] of channels [channel, time]; the loudest channel where they cancel each other."""
    mean, power = samples.mean(dim=0), samples.double().square().mean(dim=-1)
    return samples[power.argmax()] if mean.double().square().mean() < CANCELLED * power.mean() else mean


def read_mono(path: Path | str, sample_rate: int = SAMPLE_RATE) -> torch.Tensor:
    """Read a file, make it one channel (see `mono`), resample to `sample_rate` Hz: returns `[time]`."""
    audio = read_audio(path)
    return resample(mono(audio.samples), audio.sample_rate, sample_rate)


def write_audio(path: Path | str, samples: torch.Tensor, sample_rate: int, subtype: str | None = None) -> None:
    """Write `[time]` or `[channel, time]` samples atomically; the format follows the file's suffix.

    Samples of type int16 are written as they are.
    subtype: libsndfile's name (`PCM_16`, `FLOAT` …); without it FLOAT for WAV, libsndfile's default otherwise.

    Raises:
        ValueError: the samples have another shape, or the folder cannot be written to.
    """
    if samples.ndim not in (1, 2):
        raise ValueError(f"expected samples [time] or [channel, time], got shape {tuple(samples.shape)}")
    path = Path(path)
    if subtype is None and path.suffix.lower() == ".wav":
        subtype = "FLOAT"
    data = samples.detach().cpu().to(torch.int16 if samples.dtype == torch.int16 else torch.float32).t().numpy()
    encoded = io.BytesIO()
    try:
        soundfile.write(encoded, data, sample_rate, subtype=subtype, format=path.suffix[1:] or None)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise ValueError(f"cannot write {path}: {error}") from error
    write_bytes(path, encoded.getbuffer())


def to_int16(samples: torch.Tensor) -> torch.Tensor:
    """`samples` as 16-bit integers: 32768·x, rounded, what exceeds the range clipped."""
    limits = torch.iinfo(torch.int16)
    return (samples * -float(limits.min)).round().clamp(limits.min, limits.max).to(torch.int16)


def resample(samples: torch.Tensor, rate_from: int, rate_to: int) -> torch.Tensor:
    """Band-limited resampling along the last axis; length becomes ceil(length · rate_to / rate_from)."""
    if rate_from == rate_to:
        return samples
    if rate_from * rate_to // math.gcd(rate_from, rate_to) ** 2 > LARGEST_KERNEL:
        from scipy.signal import resample_poly  # half a second that only such rates need

        filtered = resample_poly(samples.detach().cpu().numpy(), rate_to, rate_from, axis=-1)
        return torch.from_numpy(filtered).to(samples)
    resampled: torch.Tensor = torchaudio.functional.resample(samples, rate_from, rate_to)
    return resampled


def in_context(
    blocks: Iterable[torch.Tensor], context: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Each block [..., time] between up to `context` samples of what lies behind it and of the block ahead."""
    before = pending = None
    for block in itertools.chain(blocks, [None]):
        if pending is not None:
            behind = pending[..., :0] if before is None else before
            yield behind, pending, pending[..., :0] if block is None else block[..., :context]
            before = torch.cat([behind, pending], dim=-1)[..., -context:]
        pending = block


def rms_dbfs(samples: torch.Tensor) -> float:
    """Level `10·log₁₀(mean(x²))` in dB relative to full scale; −120 dB for silence."""
    return dbfs(samples.double().square().mean().item())


def dbfs(power: float) -> float:
    """`10·log₁₀(power)` of a mean square, −120 dB for silence."""
    return max(10.0 * math.log10(power), SILENCE_DBFS) if power > 0 else SILENCE_DBFS


def scale_to_dbfs(samples: torch.Tensor, level: float) -> torch.Tensor:
    """`samples` scaled to an RMS of `level` dBFS.

    Raises:
        ValueError: the samples are silent, so no gain brings them to a level.
    """
    current = rms_dbfs(samples)
    if current <= SILENCE_DBFS:
        raise ValueError("expected audio to scale, got silence")
    gain: float = 10.0 ** ((level - current) / 20.0)
    return samples * gain
