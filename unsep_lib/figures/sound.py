"""Pictures of audio: spectrograms and waveforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unsep_lib.audio import SAMPLE_RATE

DYNAMIC_RANGE = 70.0  # dB below the loudest bin that a spectrogram shows
N_FFT, HOP = 512, 128  # samples
COLOUR_MAP = "magma"


def decibels(samples: torch.Tensor) -> numpy.ndarray:
    """Magnitude of the STFT of samples [time] in dB: [bin, frame]."""
    window = torch.hann_window(N_FFT)
    padded = torch.nn.functional.pad(samples.detach().cpu().float(), (0, max(0, N_FFT - samples.shape[-1])))
    magnitude = torch.stft(padded, N_FFT, HOP, window=window, return_complex=True).abs()
    return (20 * torch.log10(magnitude + 1e-6)).numpy()


def draw_spectrogram(axes: Axes, levels: numpy.ndarray, top: float, seconds: float, title: str) -> AxesImage:
    """Levels [bin, frame] in dB as colours from `top` downwards."""
    axes.set_title(title)
    axes.set_xlabel("time (s)")
    return axes.imshow(
        levels, origin="lower", aspect="auto", cmap=COLOUR_MAP, vmin=top - DYNAMIC_RANGE, vmax=top,
        extent=(0, seconds, 0, SAMPLE_RATE / 2000),
    )  # fmt: skip


def spectrograms(tracks: Mapping[str, torch.Tensor], columns: int = 4) -> Figure:
    """Spectrograms of tracks [time] at 16 kHz, side by side on one decibel scale."""
    rows = -(-len(tracks) // columns)
    columns = min(columns, len(tracks))
    figure = Figure(figsize=(3.1 * columns + 0.8, 2.4 * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    levels = {title: decibels(samples) for title, samples in tracks.items()}
    top = max(level.max() for level in levels.values())
    for axes, (title, level) in zip(grid, levels.items(), strict=False):
        image = draw_spectrogram(axes, level, top, tracks[title].shape[-1] / SAMPLE_RATE, title)
    for axes in grid[len(tracks) :]:
        axes.set_axis_off()
    figure.axes[0].set_ylabel("frequency (kHz)")
    figure.colorbar(image, ax=figure.axes, label="level (dB)", shrink=0.8)
    return figure


def spans_figure(samples: torch.Tensor, spans: Sequence[tuple[float, float]]) -> Figure:
    """Waveform [time] at 16 kHz with its active spans (seconds) shaded."""
    figure = Figure(figsize=(8, 1.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(numpy.arange(len(samples)) / SAMPLE_RATE, samples.numpy(), lw=0.4)
    for start, stop in spans:
        axes.axvspan(start, stop, alpha=0.25, color="C1", lw=0)
    axes.set(xlabel="time (s)", ylabel="amplitude", title="active spans")
    return figure
