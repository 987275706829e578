"""A recording, given as a file or as samples: read by blocks, in overlapping windows joined again, and written.

Files take constant memory, however long. Every source keeps its index from window to window; the files written can be
played meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
import torch

from unsep_lib.audio import (
    HIGHEST_RATE,
    LOWEST_RATE,
    SAMPLE_RATE,
    in_context,
    no_samples,
    open_audio,
    read_audio,
    resample,
)
from unsep_lib.priors.base import matched

WINDOW = 128_000  # samples at 16 kHz: 8 s
OVERLAP = 32_000  # samples at 16 kHz: 2 s, cross-faded
HOP = WINDOW - OVERLAP
BLOCK_SECONDS = 6  # whole seconds, so that blocks begin on a sample at every rate
CONTEXT = 0.05  # seconds beside a block that its resampling sees; the filters reach 7 samples of the lower rate
MOST_CHANNELS = 64  # of an array; a longer axis is time
LARGEST_RIFF = (1 << 32) - 1  # bytes; sizes in a WAV have 32 bits, in an RF64 64


@dataclass(frozen=True)
class Recording:
    """A recording that can be read from its beginning, more than once, in blocks [channel, time] of 6 s."""

    name: str
    channels: int
    frames: int
    sample_rate: int
    blocks: Callable[[], Iterator[torch.Tensor]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, samples of each, and their rate."""
        return self.channels, self.frames, self.sample_rate

    @property
    def working_length(self) -> int:
        """Samples at 16 kHz."""
        return -(-self.frames * SAMPLE_RATE // self.sample_rate)


def recording_of(mixture: object, sample_rate: float | None) -> Recording:
    """The recording that a caller gives: a file, or samples (see `as_samples`) and their rate in Hz.

    Raises:
        ValueError: as `read_audio`, `as_samples` and `as_rate`; a file and a rate.
    """
    if isinstance(mixture, str | Path):
        if sample_rate is not None:
            raise ValueError(f"{mixture}: a file brings its own sample rate, got another one, {sample_rate}")
        audio = read_audio(mixture)
        return _in_memory(audio.samples, audio.sample_rate, str(mixture))
    return _in_memory(as_samples(mixture), as_rate(sample_rate), "samples")


def as_rate(sample_rate: object) -> int:
    """A sample rate in Hz, given as any kind of whole number.

    Raises:
        ValueError: it is none, or one that no recording has.
    """
    try:
        rate = int(sample_rate)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        rate = None
    if rate is None or isinstance(sample_rate, str) or rate != sample_rate or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz with the samples, got {sample_rate!r}"
        )
    return int(rate)


def as_samples(mixture: object) -> torch.Tensor:
    """Samples [channel, time] in float32 from anything array-like: [time], [channel, time] or [time, channel].

    Raises:
        ValueError: another shape, no real floating-point numbers, NaN or infinity.
    """
    try:
        if not isinstance(mixture, torch.Tensor):
            array = numpy.array(mixture)
            mixture = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"expected samples [time] or [channel, time], got {type(mixture).__name__}") from error
    samples, shape = mixture, tuple(mixture.shape)
    if samples.ndim not in (1, 2) or samples.numel() == 0:
        raise ValueError(f"expected samples [time] or [channel, time], got shape {shape}")
    if not samples.is_floating_point():
        raise ValueError(
            f"expected real floating-point samples from -1 to 1, got {samples.dtype} (divide integers by their largest)"
        )
    samples = samples[None] if samples.ndim == 1 else samples
    if len(samples) > MOST_CHANNELS:
        if samples.shape[1] > MOST_CHANNELS:
            raise ValueError(
                f"expected samples [channel, time] or [time, channel] of at most {MOST_CHANNELS} channels, got {shape}"
            )
        samples = samples.T
    samples = samples.detach().float()
    if not torch.isfinite(samples).all():
        raise ValueError("the samples contain NaN or infinity")
    return samples


def _in_memory(samples: torch.Tensor, sample_rate: int, name: str) -> Recording:
    """The recording in samples [channel, time]."""
    channels, frames = samples.shape
    return Recording(name, channels, frames, sample_rate, lambda: iter(samples.split(BLOCK_SECONDS * sample_rate, -1)))


def survey(path: Path | str) -> Recording:
    """The recording in a file, which is read once from beginning to end: its header may be wrong about the length.

    Raises:
        ValueError: as `read_audio`.
    """
    path = Path(path)
    with open_audio(path) as file:
        frames = 0
        while found := file.read(BLOCK_SECONDS * file.sample_rate).shape[-1]:
            frames += found
    if not frames:
        raise ValueError(no_samples(file))
    return Recording(str(path), file.channels, frames, file.sample_rate, lambda: _file_blocks(path))


def _file_blocks(path: Path) -> Iterator[torch.Tensor]:
    with open_audio(path) as file:
        while (block := file.read(BLOCK_SECONDS * file.sample_rate)).shape[-1]:
            yield block


def stacked(parts: Sequence[Recording], recording: Recording, count: int) -> Recording:
    """Estimates of `count` sources of a recording as one, whose channels are the sources' one after another.

    Raises:
        ValueError: another number of them than of sources, or of another rate, length or number of channels.
    """
    if len(parts) != count:
        raise ValueError(f"expected a start for each of {count} sources, got {len(parts)}")
    for part in parts:
        if part.shape != recording.shape:
            raise ValueError(
                f"{part.name}: expected a start like the mixture, {recording.frames} samples at "
                f"{recording.sample_rate} Hz in {recording.channels} channel(s), got {part.frames} at "
                f"{part.sample_rate} Hz in {part.channels}"
            )

    def blocks() -> Iterator[torch.Tensor]:
        return (torch.cat(each) for each in zip(*(part.blocks() for part in parts), strict=True))

    return Recording("start", len(parts) * recording.channels, recording.frames, recording.sample_rate, blocks)


def resampled_blocks(blocks: Iterable[torch.Tensor], rate_from: int, rate_to: int) -> Iterator[torch.Tensor]:
    """`resample` of consecutive blocks [..., time] as if they were one, block by block.

    Every block but the last lasts whole seconds.
    """
    up, down, context = _ratio(rate_from, rate_to)
    for behind, block, ahead in in_context(blocks, context):
        whole = resample(torch.cat([behind, block, ahead], dim=-1), rate_from, rate_to)
        begin = behind.shape[-1] // down * up
        yield whole[..., begin : begin - (-block.shape[-1] * up // down)]


def _ratio(rate_from: int, rate_to: int) -> tuple[int, int, int]:
    """`up` samples for every `down`, and the context: samples at `rate_from`, a multiple of `down`."""
    common = math.gcd(rate_from, rate_to)
    up, down = rate_to // common, rate_from // common
    return up, down, -(-int(CONTEXT * rate_from) // down) * down


def paired(
    blocks: Iterable[torch.Tensor], others: Iterable[torch.Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each block [..., time] with as many samples of `others`, whose blocks have other lengths, until those end."""
    others, held = iter(others), None
    for block in blocks:
        while held is None or held.shape[-1] < block.shape[-1]:
            other = next(others, None)
            if other is None:
                break
            held = other if held is None else torch.cat([held, other], dim=-1)
        if held is None:
            return
        count = min(block.shape[-1], held.shape[-1])
        yield block[..., :count], held[..., :count]
        held = held[..., count:]


def windows_of(blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The overlapping windows of consecutive blocks [channel, time]: 8 s each, the last one what is left."""
    held, number = None, 0
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=-1)
        while held.shape[-1] >= WINDOW:
            yield held[..., :WINDOW]
            held, number = held[..., HOP:], number + 1
    if held is not None and (number == 0 or held.shape[-1] > OVERLAP):
        yield held


class Passage(NamedTuple):
    """Where one window's sources are joined to the next one's: from when on, in s, and by which `margin`."""

    seconds: float
    margin: float


def joined(
    windows: Iterable[torch.Tensor], groups: Sequence[object], passages: list[Passage] | None = None
) -> Iterator[torch.Tensor]:
    """Consecutive windows' sources [source, channel, time] as blocks of 6 s and a last one of what is left.

    groups: what each source is, equal for sources that can be confused; those are reordered to continue the window
    before; passages: gets one for each window after the first, if there are such sources. The windows' raised-cosine
    weights add up to 1, so sources that sum to each window's mixture sum to the whole. Holds two windows at a time.
    """
    current = None
    for number, window in enumerate(windows):
        if current is not None:
            yield current[..., :HOP]
            tail, overlap = current[..., HOP:], current.shape[-1] - HOP
            window = window[continued_order(tail, window[..., :overlap], groups)]
            if passages is not None and len(set(groups)) < len(groups):
                passages.append(Passage(number * HOP / SAMPLE_RATE, margin(tail, window[..., :overlap], groups)))
            window = _crossfaded(tail, window)
        current = window
    if current is not None:
        yield current


def _crossfaded(tail: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    overlap = tail.shape[-1]
    fade = torch.sin(torch.linspace(0, torch.pi / 2, overlap + 2)[1:-1]).square().to(window)
    faded = tail * (1 - fade) + window[..., :overlap] * fade
    return torch.cat([faded, window[..., overlap:]], dim=-1)


def clock(seconds: float) -> str:
    """A time in a recording as minutes and seconds, 1:06."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def window_starts(length: int) -> list[int]:
    """First sample of each window: one for a short signal, else enough that the last ends with the signal."""
    if length <= WINDOW:
        return [0]
    return list(range(0, length - OVERLAP, HOP))


def continued_order(before: torch.Tensor, after: torch.Tensor, groups: Sequence[object]) -> list[int]:
    """For each source of `before` the index in `after` that best continues it, both [source, channel, overlap].

    Only sources of equal groups change places; the measure is their inner product.
    """
    return matched(torch.einsum("ict,jct->ij", before, after), groups)


def margin(before: torch.Tensor, after: torch.Tensor, groups: Sequence[object]) -> float:
    """How much better any two sources of equal groups continue those before, [source, channel, overlap], as they are.

    Of the pair for which it is least: `(⟨a, a'⟩ + ⟨b, b'⟩ − ⟨a, b'⟩ − ⟨b, a'⟩)` over half their energies; 0 where they
    continue as well in each other's place, or are silent, 1 where both are continued exactly and unlike each other.
    """
    alike = torch.einsum("ict,jct->ij", before.double(), after.double())
    energy = (before.double().square() + after.double().square()).sum(dim=(1, 2)) / 2
    found = []
    for i, j in itertools.combinations(range(len(groups)), 2):
        if groups[i] == groups[j]:
            gain, scale = alike[i, i] + alike[j, j] - alike[i, j] - alike[j, i], energy[i] + energy[j]
            found.append(float(gain / scale) if scale > 0 else 0.0)
    return min(found)


@contextlib.contextmanager
def track(path: Path, sample_rate: int, channels: int) -> Iterator[Callable[[torch.Tensor], None]]:
    """A float WAV file at `path` that grows by blocks [channel, time] and can be played after each.

    Above 4 GiB it becomes an RF64 file, whose sizes have 64 bits (EBU Tech 3306).

    Raises:
        OSError: the disk is full, or the file may not be written.
    """
    frames = 0
    with path.open("wb") as file:
        file.write(_wav_header(sample_rate, channels, 0))
        file.flush()

        def write(samples: torch.Tensor) -> None:
            nonlocal frames
            file.write(samples.detach().cpu().float().t().contiguous().numpy().astype("<f4").tobytes())
            frames += samples.shape[-1]
            file.seek(0)
            file.write(_wav_header(sample_rate, channels, frames))
            file.seek(0, 2)
            file.flush()

        yield write


def _wav_header(sample_rate: int, channels: int, frames: int) -> bytes:
    """A float WAV's header; the chunk that an RF64 keeps its sizes in is left empty in a small file."""
    frame = 4 * channels
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, channels, sample_rate, sample_rate * frame, frame, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, min(frames, LARGEST_RIFF))
    data = frames * frame
    size = 4 + 36 + len(form) + len(fact) + 8 + data
    large = size > LARGEST_RIFF
    sizes = struct.pack(
        "<4sIQQQI", b"ds64" if large else b"JUNK", 28, *((size, data, frames) if large else (0, 0, 0)), 0
    )
    riff = struct.pack("<4sI4s", b"RF64" if large else b"RIFF", min(size, LARGEST_RIFF), b"WAVE")
    return riff + sizes + form + fact + struct.pack("<4sI", b"data", min(data, LARGEST_RIFF))
