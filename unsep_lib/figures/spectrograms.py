"""Pictures of audio, and how a figure begins and becomes an image that a notebook keeps."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, Protocol, TypedDict

import numpy
import torch
from IPython.display import HTML

from unsep_lib.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WEBP_QUALITY = 80  # of 100; text stays crisp


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` times `height` inches whose panels and labels keep clear of each other.

    matplotlib is imported with the first one, because its import lists the machine's fonts.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def described(figure: Figure, alt: str, dpi: int = 72) -> HTML:
    """The figure as an image with alternative text, which becomes the figure's label too.

    WebP, for a spectrogram as PNG takes five times the room.
    """
    figure.set_label(alt)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=dpi, bbox_inches="tight", pil_kwargs={"quality": WEBP_QUALITY})
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img style="max-width: 100%" alt="{html.escape(alt)}" src="data:image/webp;base64,{data}">')


class Seen(Protocol):
    """A step of a separation, as a solver's `Snapshot` holds it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def step(self) -> int:
        """Its number, from 1."""

    @property
    def steps(self) -> int:
        """How many there are."""

    @property
    def sigma(self) -> float:
        """The noise level of the estimate."""

    @property
    def state(self) -> torch.Tensor:
        """The sources at the next level [batch, source, time]."""

    @property
    def clean(self) -> torch.Tensor:
        """The estimated sources [batch, source, time]."""

    @property
    def residual(self) -> torch.Tensor:
        """What they leave of the mixture [batch, time]."""

    @property
    def guidance(self) -> torch.Tensor | None:
        """Norm of each source's gradient [batch, source], None without one."""


class Deviating(Protocol):
    """How far a solver's samples are from a posterior, as `evaluation.gaussian.Deviation` holds it."""

    @property
    def solver(self) -> str:
        """The solver's name."""

    @property
    def steps(self) -> int:
        """Its number of steps."""

    @property
    def bias(self) -> float:
        """Of the samples' mean."""

    @property
    def bias_floor(self) -> float:
        """What exact samples would show."""

    @property
    def spread(self) -> float:
        """The samples' standard deviation relative to the posterior's."""


class Trained(TypedDict):
    """A point of a training curve: bands are the validation loss by noise level, where it was measured."""

    seconds: float
    loss: float
    bands: NotRequired[list[float]]


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
    figure = new_figure(3.1 * columns + 0.8, 2.4 * rows)
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
    figure = new_figure(8, 1.8)
    axes = figure.subplots()
    axes.plot(numpy.arange(len(samples)) / SAMPLE_RATE, samples.numpy(), lw=0.4)
    for start, stop in spans:
        axes.axvspan(start, stop, alpha=0.25, color="C1", lw=0)
    axes.set(xlabel="time (s)", ylabel="amplitude", title="active spans")
    return figure
