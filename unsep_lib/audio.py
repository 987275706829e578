"""Audio in and out: samples are float32 tensors `[channel, time]` or `[time]` in −1 … 1."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
import torchaudio.functional

from unsep_lib.files import write_bytes

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".aif", ".aiff", ".opus"})
SAMPLE_RATE = 16_000  # Hz; the rate of every prior here (arXiv 2512.07226)
SILENCE_DBFS = -120.0  # what the level of digital silence is reported as
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; a file that says more or less has a damaged header
LARGEST_KERNEL = 1 << 22  # numbers; torchaudio's filter has some rate_from · rate_to / gcd², gigabytes for 44 101 Hz


@dataclass(frozen=True)
class Audio:
    """Samples `[channel, time]` and their rate in Hz."""

    samples: torch.Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples.shape[-1] / self.sample_rate


def read_audio(path: Path | str, start: int = 0, stop: int | None = None) -> Audio:
    """Read any file that libsndfile knows (WAV, FLAC, OGG, MP3 …), whole or from `start` to `stop` (samples).

    Raises:
        ValueError: no such file, not audio, no samples, NaN or infinite samples, or a rate that no recording has.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such audio file")
    try:
        samples, rate = soundfile.read(os.fsencode(path), start=start, stop=stop, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError, MemoryError) as error:
        reason = getattr(error, "error_string", error)
        raise ValueError(f"{path}: not a readable audio file ({reason})") from error
    if samples.size == 0:
        raise ValueError(f"{path}: the file holds no samples")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"{path}: expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate} Hz")
    tensor = torch.from_numpy(samples.T.copy())
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{path}: the samples contain NaN or infinity")
    return Audio(tensor, rate)


def read_mono(path: Path | str, sample_rate: int = SAMPLE_RATE) -> torch.Tensor:
    """Read a file, average its channels, resample to `sample_rate` Hz: returns `[time]`."""
    audio = read_audio(path)
    return resample(audio.samples.mean(dim=0), audio.sample_rate, sample_rate)


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
