"""Pictures of one separation: what a solver's callback saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.figures.spectrograms import Seen, decibels, draw_spectrogram, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def emerging(snapshots: Sequence[Seen], names: Sequence[str], columns: int = 5) -> Figure:
    """Noisy states and clean estimates of one separation at a few steps: a row each of both for every source."""
    chosen = [snapshots[index] for index in numpy.linspace(0, len(snapshots) - 1, columns).round().astype(int)]
    figure = new_figure(2.2 * columns + 0.8, 3.4 * len(names))
    grid = figure.subplots(2 * len(names), columns, squeeze=False, sharex=True, sharey=True)
    top = max(decibels(source).max() for source in snapshots[-1].clean[0])
    for column, snapshot in enumerate(chosen):
        for source, name in enumerate(names):
            for row, (kind, tensor) in enumerate({"state": snapshot.state, "estimate": snapshot.clean}.items()):
                axes = grid[2 * source + row, column]
                seconds = tensor.shape[-1] / SAMPLE_RATE
                draw_spectrogram(
                    axes, decibels(tensor[0, source]), top, seconds, f"{name}\n{kind}, σ = {snapshot.sigma:.3f}"
                )
                axes.label_outer()
    return figure


def trajectory(snapshots: Sequence[Seen]) -> Figure:
    """Residual level, noise level and guidance norms over the steps of one separation (first mixture of a batch)."""
    guidance = snapshots[0].guidance
    guided = guidance is not None
    figure = new_figure(9 if guided else 6.5, 2.6)
    panels = figure.subplots(1, 3 if guided else 2)
    steps = [snapshot.step for snapshot in snapshots]
    residual = [20 * numpy.log10(snapshot.residual[0].square().mean().sqrt().item() + 1e-9) for snapshot in snapshots]
    panels[0].plot(steps, residual)
    panels[0].set(title="residual", xlabel="step", ylabel="level (dBFS)")
    panels[1].semilogy(steps, [snapshot.sigma for snapshot in snapshots])
    panels[1].set(title="noise level", xlabel="step", ylabel="σ")
    if guidance is not None:
        for source in range(guidance.shape[1]):
            norms = _guidance_norms(snapshots, source)
            panels[2].semilogy(steps, norms, label=f"source {source + 1}")
        panels[2].set(title="guidance ‖g‖", xlabel="step")
        panels[2].legend()
    return figure


def _guidance_norms(snapshots: Sequence[Seen], source: int) -> list[float]:
    return [snapshot.guidance[0, source].item() for snapshot in snapshots if snapshot.guidance is not None]


def moment(snapshots: Sequence[Seen], names: Sequence[str], index: int) -> Figure:
    """One step of a separation: state and clean estimate of every source, the residual, and norms over all steps."""
    snapshot, top = snapshots[index], max(decibels(source).max() for source in snapshots[-1].clean[0])
    figure = new_figure(3.0 * (len(names) + 1), 4.4)
    grid = figure.subplots(2, len(names) + 1, squeeze=False)
    seconds = snapshot.state.shape[-1] / SAMPLE_RATE
    for source, name in enumerate(names):
        draw_spectrogram(grid[0, source], decibels(snapshot.state[0, source]), top, seconds, f"{name}: state")
        draw_spectrogram(grid[1, source], decibels(snapshot.clean[0, source]), top, seconds, f"{name}: estimate")
    draw_spectrogram(grid[0, -1], decibels(snapshot.residual[0]), top, seconds, "mixture − Σ estimates")
    _norms(grid[1, -1], snapshots, names)
    grid[1, -1].axvline(snapshot.step, color="black", lw=0.8)
    grid[1, -1].set(title=f"step {snapshot.step}, σ = {snapshot.sigma:.3f}")
    return figure


def _norms(axes: Axes, snapshots: Sequence[Seen], names: Sequence[str]) -> None:
    """Norms over the steps: of the residual, of each estimate, and of each gradient where there is one."""
    steps = [snapshot.step for snapshot in snapshots]
    axes.plot(steps, [snapshot.residual[0].norm().item() for snapshot in snapshots], color="black", label="residual")
    for source, name in enumerate(names):
        colour = f"C{source}"
        axes.plot(steps, [s.clean[0, source].norm().item() for s in snapshots], color=colour, label=name)
        if snapshots[0].guidance is not None:
            norms = _guidance_norms(snapshots, source)
            axes.plot(steps, norms, ":", color=colour, label=f"{name}, gradient")
    axes.set(xlabel="step", ylabel="norm", yscale="log")
    axes.legend(fontsize="x-small")


def compared_runs(runs: Mapping[str, Sequence[Seen]], names: Sequence[str], chosen: str) -> Figure:
    """Last estimates and residual of the chosen run's snapshots; the residual's norm over the steps of every run."""
    last = runs[chosen][-1]
    top, seconds = max(decibels(source).max() for source in last.clean[0]), last.clean.shape[-1] / SAMPLE_RATE
    figure = new_figure(3.0 * (len(names) + 2), 2.6)
    panels = figure.subplots(1, len(names) + 2)
    for axes, name, source in zip(panels, names, last.clean[0], strict=False):
        draw_spectrogram(axes, decibels(source), top, seconds, f"{name}\nguidance {chosen}")
    draw_spectrogram(panels[-2], decibels(last.residual[0]), top, seconds, "mixture − Σ estimates")
    for label, snapshots in runs.items():
        panels[-1].plot(
            [snapshot.step for snapshot in snapshots],
            [snapshot.residual[0].norm().item() for snapshot in snapshots],
            lw=2.5 if label == chosen else 1.0, label=label,
        )  # fmt: skip
    panels[-1].set(xlabel="step", ylabel="residual ‖r‖", yscale="log")
    panels[-1].legend(fontsize="x-small")
    return figure


def step_lengths(
    lengths: Mapping[str, Sequence[float]], right: Mapping[str, Sequence[float]] | None = None, last: int = 0
) -> Figure:
    """How far each rule moves a source per √sample, for t = T − 1 … 0.

    right: dotted lines in other units, on an axis of their own; last: steps at the end that a second panel enlarges.
    """
    figure = new_figure(9.5 if last else 6.5, 3.0)
    panels = figure.subplots(1, 2 if last else 1, squeeze=False)[0]
    for axes, since in zip(panels, (0, -last), strict=False):
        for name, values in lengths.items():
            shown = list(values)[since:]
            axes.plot(numpy.arange(len(shown))[::-1], shown, label=name)
        axes.invert_xaxis()
        axes.set(xlabel="t", ylabel="length of the guidance per √sample", yscale="log")
        axes.legend(fontsize="small", loc="upper left")
    if right:
        beside = panels[0].twinx()
        for (name, values), style in zip(right.items(), cycle([":", "-."]), strict=False):
            beside.plot(numpy.arange(len(values))[::-1], values, style, color="0.3")
            panels[0].plot([], [], style, color="0.3", label=f"right scale, {name}")
        beside.set(yscale="log", ylabel="right scale 1/Σv")
        panels[0].legend(fontsize="small", loc="upper left")
    return figure
