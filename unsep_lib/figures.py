"""Figures of audio, training, separation and scores."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unsep_lib.audio import SAMPLE_RATE

DYNAMIC_RANGE = 70.0  # dB below the loudest bin that a spectrogram shows
N_FFT, HOP = 512, 128  # samples
COLOUR_MAP = "magma"
WEBP_QUALITY = 80  # of 100; text stays crisp


def described(figure: Figure, alt: str, dpi: int = 72) -> HTML:
    """The figure as an image with alternative text; WebP, for a spectrogram as PNG takes five times the room."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=dpi, bbox_inches="tight", pil_kwargs={"quality": WEBP_QUALITY})
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img alt="{html.escape(alt)}" src="data:image/webp;base64,{data}">')


def _levels(samples: torch.Tensor) -> numpy.ndarray:
    window = torch.hann_window(N_FFT)
    padded = torch.nn.functional.pad(samples.detach().cpu().float(), (0, max(0, N_FFT - samples.shape[-1])))
    magnitude = torch.stft(padded, N_FFT, HOP, window=window, return_complex=True).abs()
    return (20 * torch.log10(magnitude + 1e-6)).numpy()


def _draw_levels(axes: Axes, levels: numpy.ndarray, top: float, seconds: float, title: str):
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
    levels = {title: _levels(samples) for title, samples in tracks.items()}
    top = max(level.max() for level in levels.values())
    for axes, (title, level) in zip(grid, levels.items(), strict=False):
        image = _draw_levels(axes, level, top, tracks[title].shape[-1] / SAMPLE_RATE, title)
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


def emerging(snapshots: Sequence, names: Sequence[str], columns: int = 5) -> Figure:
    """Noisy states and clean estimates of one separation at a few steps: a row each of both for every source."""
    chosen = [snapshots[index] for index in numpy.linspace(0, len(snapshots) - 1, columns).round().astype(int)]
    figure = Figure(figsize=(2.2 * columns + 0.8, 3.4 * len(names)), layout="constrained")
    grid = figure.subplots(2 * len(names), columns, squeeze=False, sharex=True, sharey=True)
    top = max(_levels(source).max() for source in snapshots[-1].clean[0])
    for column, snapshot in enumerate(chosen):
        for source, name in enumerate(names):
            for row, (kind, tensor) in enumerate({"state": snapshot.state, "estimate": snapshot.clean}.items()):
                axes = grid[2 * source + row, column]
                seconds = tensor.shape[-1] / SAMPLE_RATE
                _draw_levels(
                    axes, _levels(tensor[0, source]), top, seconds, f"{name}\n{kind}, σ = {snapshot.sigma:.3f}"
                )
                axes.label_outer()
    return figure


def trajectory(snapshots: Sequence) -> Figure:
    """Residual level, noise level and guidance norms over the steps of one separation (first mixture of a batch)."""
    guided = snapshots[0].guidance is not None
    figure = Figure(figsize=(9 if guided else 6.5, 2.6), layout="constrained")
    panels = figure.subplots(1, 3 if guided else 2)
    steps = [snapshot.step for snapshot in snapshots]
    residual = [20 * numpy.log10(snapshot.residual[0].square().mean().sqrt().item() + 1e-9) for snapshot in snapshots]
    panels[0].plot(steps, residual)
    panels[0].set(title="residual", xlabel="step", ylabel="level (dBFS)")
    panels[1].semilogy(steps, [snapshot.sigma for snapshot in snapshots])
    panels[1].set(title="noise level", xlabel="step", ylabel="σ")
    if guided:
        for source in range(snapshots[0].guidance.shape[1]):
            norms = [snapshot.guidance[0, source].item() for snapshot in snapshots]
            panels[2].semilogy(steps, norms, label=f"source {source + 1}")
        panels[2].set(title="guidance ‖g‖", xlabel="step")
        panels[2].legend()
    return figure


def training_curve(curves: Mapping[str, Sequence[Mapping[str, object]]]) -> Figure:
    """Training loss (thin) and validation loss (points) over minutes, one colour a prior's curve from its card."""
    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    axes = figure.subplots()
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot([r["seconds"] / 60 for r in curve], [r["loss"] for r in curve], lw=0.8, color=f"C{index}", label=name)
        checked = [row for row in curve if "bands" in row]
        minutes = [row["seconds"] / 60 for row in checked]
        axes.plot(
            minutes, [numpy.mean(r["bands"]) for r in checked], "o", color=f"C{index}", label=f"{name}, unseen clips"
        )
    axes.set(xlabel="minutes of training", ylabel="weighted denoising loss", yscale="log")
    axes.legend()
    return figure


def band_losses(losses: Mapping[str, Sequence[float]], low: float, high: float) -> Figure:
    """Validation loss by band of ln σ between `low` and `high`, one line a prior."""
    figure = Figure(figsize=(6.0, 2.8), layout="constrained")
    axes = figure.subplots()
    for name, bands in losses.items():
        edges = numpy.geomspace(low, high, len(bands) + 1)
        axes.plot(numpy.sqrt(edges[1:] * edges[:-1]), bands, "o-", label=name)
    axes.set(xscale="log", xlabel="noise level σ", ylabel="weighted denoising loss")
    axes.legend()
    return figure


def matrix(values: torch.Tensor, rows: Sequence[str], columns: Sequence[str], label: str) -> Figure:
    """Values [row, column] as colours, with names on both axes."""
    figure = Figure(figsize=(0.5 * len(columns) + 3, 0.4 * len(rows) + 2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values.numpy(), cmap="viridis")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="given label", ylabel="true class")
    figure.colorbar(image, label=label)
    return figure


def cost(points: Mapping[str, tuple[float, float, float, float]], ylabel: str) -> Figure:
    """Quality against cost: points[name] = (seconds a mixture, mean, low, high)."""
    figure = Figure(figsize=(5.5, 3.0), layout="constrained")
    axes = figure.subplots()
    for name, (seconds, mean, low, high) in points.items():
        axes.errorbar(seconds, mean, [[mean - low], [high - mean]], fmt="o", capsize=3, label=name)
    axes.set(xscale="log", xlabel="seconds a mixture", ylabel=ylabel)
    axes.legend()
    return figure


def lines(series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """Series over their index, on a logarithmic scale; zeros leave a gap."""
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    axes = figure.subplots()
    for name, values in series.items():
        axes.plot(values, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
    axes.legend()
    return figure


def posterior_figure(powers: Sequence[torch.Tensor], covariance: torch.Tensor) -> Figure:
    """Prior power of each source by DFT bin, and what the posterior leaves: covariance [bin, source, source]."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    for source, power in enumerate(powers):
        axes.semilogy(power.numpy(), color=f"C{source}", label=f"source {source + 1}: prior")
        axes.semilogy(
            covariance[:, source, source].numpy(), "--", color=f"C{source}", label=f"source {source + 1}: posterior"
        )
    axes.set(xlabel="bin of the clip's Fourier transform", ylabel="variance")
    axes.legend(fontsize="small")
    return figure


def deviations_figure(rows: Sequence) -> Figure:
    """Bias against spread of `ground_truth.Deviation` rows: a line a solver, its most steps as a large dot."""
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row.solver for row in rows):
        own = sorted((row for row in rows if row.solver == name), key=lambda row: row.steps)
        (line,) = axes.plot([row.spread for row in own], [row.bias for row in own], ".-", label=name)
        axes.plot(own[-1].spread, own[-1].bias, "o", color=line.get_color())
    axes.axhline(rows[0].bias_floor, color="grey", lw=0.8, ls=":")
    axes.axvline(1.0, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="spread relative to the posterior's", ylabel="bias")
    axes.legend(fontsize="small")
    return figure


def scores(table: Mapping[str, Mapping[str, tuple[float, float, float]]], ylabel: str) -> Figure:
    """Means with intervals: table[group][series] = (mean, low, high)."""
    series = list(dict.fromkeys(name for row in table.values() for name in row))
    figure = Figure(figsize=(1.6 * len(table) + 3, 3.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(series)
    for index, name in enumerate(series):
        places = [place for place, row in enumerate(table.values()) if name in row]
        values = numpy.array([row[name] for row in table.values() if name in row])
        error = numpy.abs(values[:, 1:].T - values[:, 0])
        axes.bar(numpy.array(places) + index * width, values[:, 0], width, yerr=error, capsize=2, label=name)
    axes.axhline(0, color="black", lw=0.6)
    axes.set_xticks(numpy.arange(len(table)) + 0.4 - width / 2, list(table), rotation=12)
    axes.set_ylabel(ylabel)
    axes.legend(fontsize="small")
    return figure
