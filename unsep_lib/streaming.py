"""Long recordings piece by piece: read, resampled and written without holding the whole."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile
import torch

from unsep_lib.audio import SAMPLE_RATE, read_audio, resample

PIECE = 6  # whole seconds, so that pieces begin on a sample at every rate
CONTEXT = 0.05  # seconds beside a piece that its resampling sees; the filters reach 7 samples of the lower rate


@dataclass(frozen=True)
class Recording:
    """An audio file read once: its channels, frames and rate in Hz, and the power of what is below 8 kHz.

    power: mean square of the file at 16 kHz.
    """

    path: Path
    channels: int
    frames: int
    sample_rate: int
    power: float

    @property
    def working_length(self) -> int:
        """Samples at 16 kHz."""
        return -(-self.frames * SAMPLE_RATE // self.sample_rate)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Samples [channel, time] from frame `start` to `stop`, both inside the file."""
        return read_audio(self.path, start, stop).samples

    def working(self, start: int, stop: int) -> torch.Tensor:
        """What the whole file at 16 kHz holds from sample `start`, a whole second, to `stop`."""
        up, down, context = _ratio(self.sample_rate, SAMPLE_RATE)
        stop = min(stop, self.working_length)
        first = max(0, start // up * down - context)
        last = min(self.frames, -(-stop // up) * down + context)
        skipped = start - first // down * up
        return resample(self.read(first, last), self.sample_rate, SAMPLE_RATE)[..., skipped : skipped + stop - start]


def survey(path: Path | str) -> Recording:
    """Read a whole file once, a piece at a time.

    Raises:
        ValueError: as `read_audio`, for any piece.
    """
    path = Path(path)
    rate = read_audio(path, 0, 1).sample_rate
    frames = count = 0
    squares = 0.0

    def pieces() -> Iterator[torch.Tensor]:
        nonlocal frames
        claimed = soundfile.info(os.fsencode(path)).frames
        while frames < claimed:
            piece = read_audio(path, frames, frames + PIECE * rate).samples
            frames += piece.shape[-1]
            yield piece
            if piece.shape[-1] < PIECE * rate:
                return

    for block in resampled_blocks(pieces(), rate, SAMPLE_RATE):
        squares += block.double().square().sum().item()
        count += block.numel()
    return Recording(path, block.shape[0], frames, rate, squares / count)


def resampled_blocks(blocks: Iterable[torch.Tensor], rate_from: int, rate_to: int) -> Iterator[torch.Tensor]:
    """`resample` of consecutive blocks [..., time] as if they were one, block by block.

    Every block but the last lasts whole seconds.
    """
    up, down, context = _ratio(rate_from, rate_to)
    before = pending = None
    for block in itertools.chain(blocks, [None]):
        if pending is not None:
            ahead = pending[..., :0] if block is None else block[..., :context]
            behind = pending[..., :0] if before is None else before
            whole = resample(torch.cat([behind, pending, ahead], dim=-1), rate_from, rate_to)
            begin = behind.shape[-1] // down * up
            yield whole[..., begin : begin - (-pending.shape[-1] * up // down)]
            before = torch.cat([behind, pending], dim=-1)[..., -context:]
        pending = block


def _ratio(rate_from: int, rate_to: int) -> tuple[int, int, int]:
    """`up` samples for every `down`, and the context: samples at `rate_from`, a multiple of `down`."""
    common = math.gcd(rate_from, rate_to)
    up, down = rate_to // common, rate_from // common
    return up, down, -(-int(CONTEXT * rate_from) // down) * down


class _Sink:
    """A file whose first error is kept: libsndfile drops what is raised in its callbacks."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self._write = file.seek, file.tell, file.write
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """The bytes written, 0 after an error."""
        try:
            return self._write(data) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0


@contextlib.contextmanager
def track(path: Path, sample_rate: int, channels: int) -> Iterator[Callable[[torch.Tensor], None]]:
    """A float WAV file at `path` that grows by blocks [channel, time].

    Raises:
        OSError: the disk is full, or the file may not be written.
    """
    with path.open("wb") as file:
        sink = _Sink(file)
        try:
            with soundfile.SoundFile(sink, "w", sample_rate, channels, subtype="FLOAT", format="WAV") as sound:
                yield lambda samples: sound.write(samples.detach().cpu().float().t().numpy())
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise sink.error or OSError(str(error)) from error
