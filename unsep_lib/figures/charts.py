"""Charts of training, scores and ground truth, and of solvers compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy
import torch

from unsep_lib.figures.spectrograms import Deviating, Trained, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MARKS = "osD^v"  # told apart where colours are not
Interval = tuple[float, float, float]
LABELLED = {1.0: (1, 2, 3, 4, 6, 8), 2.5: (1, 2, 5)}  # digits with a label, where so many decades are shown at most


def training_curve(curves: Mapping[str, Sequence[Trained]], shares: Sequence[float]) -> Figure:
    """Training loss (thin) and validation loss (points) over minutes, one colour per prior, from its card.

    shares: of each band of noise levels among the training's draws, so that both losses count noise levels alike.
    """
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot([r["seconds"] / 60 for r in curve], [r["loss"] for r in curve], lw=0.8, color=f"C{index}", label=name)
        checked = [row for row in curve if "bands" in row]
        minutes = [row["seconds"] / 60 for row in checked]
        axes.plot(
            minutes,
            [numpy.dot(r["bands"], shares) for r in checked],
            "o",
            color=f"C{index}",
            label=f"{name}, unseen clips",
        )
    axes.set(xlabel="minutes of training", ylabel="weighted denoising loss", yscale="log")
    _plain(axes.yaxis)
    axes.legend()
    return figure


def band_losses(losses: Mapping[str, Sequence[float]], low: float, high: float) -> Figure:
    """Validation loss by band of ln σ between `low` and `high`, one line per prior."""
    figure = new_figure(6.0, 2.8)
    axes = figure.subplots()
    for name, bands in losses.items():
        edges = numpy.geomspace(low, high, len(bands) + 1)
        axes.plot(numpy.sqrt(edges[1:] * edges[:-1]), bands, "o-", label=name)
    axes.set(xscale="log", xlabel="noise level σ", ylabel="weighted denoising loss")
    _plain(axes.xaxis)
    axes.legend()
    return figure


def matrix(values: torch.Tensor, rows: Sequence[str], columns: Sequence[str], label: str) -> Figure:
    """Values [row, column] as colours, with names on both axes."""
    figure = new_figure(0.5 * len(columns) + 3, 0.4 * len(rows) + 2)
    axes = figure.subplots()
    image = axes.imshow(values.numpy(), cmap="viridis")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="given label", ylabel="true class")
    figure.colorbar(image, label=label)
    return figure


def cost(
    points: Mapping[str, tuple[float, float, float, float]], ylabel: str, xlabel: str = "seconds per mixture"
) -> Figure:
    """Quality against cost: points[name] = (cost, mean, low, high)."""
    figure = new_figure(5.5, 3.0)
    axes = figure.subplots()
    for name, (seconds, mean, low, high) in points.items():
        axes.errorbar(seconds, mean, [[mean - low], [high - mean]], fmt="o", capsize=3, label=name)
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    _plain(axes.xaxis)
    axes.legend()
    return figure


def lines(series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """Series over their index, on a logarithmic scale; zeros leave a gap."""
    figure = new_figure(6.5, 2.6)
    axes = figure.subplots()
    for name, values in series.items():
        axes.plot(values, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
    _plain(axes.yaxis)
    axes.legend()
    return figure


def posterior_figure(powers: Sequence[torch.Tensor], covariance: torch.Tensor) -> Figure:
    """Prior power of each source by DFT bin, and what the posterior leaves: covariance [bin, source, source]."""
    figure = new_figure(7, 2.6)
    axes = figure.subplots()
    for source, power in enumerate(powers):
        axes.semilogy(power.numpy(), color=f"C{source}", label=f"source {source + 1}: prior")
        axes.semilogy(
            covariance[:, source, source].numpy(), "--", color=f"C{source}", label=f"source {source + 1}: posterior"
        )
    axes.set(xlabel="bin of the clip's Fourier transform", ylabel="variance")
    axes.legend(fontsize="small")
    return figure


def deviations_figure(rows: Sequence[Deviating]) -> Figure:
    """Bias against spread of `evaluation.gaussian.Deviation` rows: a line per solver, most steps largest."""
    from matplotlib import colormaps

    figure = new_figure(9, 5)
    axes = figure.subplots()
    names = list(dict.fromkeys(row.solver for row in rows))
    colours = colormaps["viridis"](numpy.linspace(0, 0.95, len(names)))
    for name, colour, mark in zip(names, colours, cycle(MARKS), strict=False):
        own = sorted((row for row in rows if row.solver == name), key=lambda row: row.steps)
        spreads, biases = [row.spread for row in own], [row.bias for row in own]
        axes.plot(spreads, biases, "-", color=colour, marker=mark, markersize=4, label=name)
        axes.plot(spreads[-1], biases[-1], mark, color=colour, markersize=8)
    axes.axhline(rows[0].bias_floor, color="grey", lw=0.8, ls=":")
    axes.axvline(1.0, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="spread relative to the posterior's", ylabel="bias", yscale="log")
    _plain(axes.yaxis)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def scores(table: Mapping[str, Mapping[str, tuple[float, float, float]]], ylabel: str) -> Figure:
    """Means with intervals: table[group][series] = (mean, low, high); the bars of a single group carry its series."""
    if len(table) == 1:
        ((group, row),) = table.items()
        table = {name: {group: interval} for name, interval in row.items()}
    series = list(dict.fromkeys(name for row in table.values() for name in row))
    figure = new_figure(1.6 * len(table) + 3, 3.2)
    axes = figure.subplots()
    width = 0.8 / len(series)
    for index, name in enumerate(series):
        places = [place for place, row in enumerate(table.values()) if name in row]
        values = numpy.array([row[name] for row in table.values() if name in row])
        error = numpy.abs(values[:, 1:].T - values[:, 0])
        interval = {"yerr": error, "capsize": 2} if error.any() else {}
        axes.bar(numpy.array(places) + index * width, values[:, 0], width, label=name, **interval)
    axes.axhline(0, color="black", lw=0.6)
    axes.set_xticks(numpy.arange(len(table)) + 0.4 - width / 2, list(table), rotation=12)
    axes.set_ylabel(ylabel)
    if len(series) > 1:
        axes.legend(fontsize="small")
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, quality) that no other point beats in one without losing in the other, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((cost, quality))
    return front


def pareto(points: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str) -> Figure:
    """Quality against cost, points[name] = (cost, quality) by number of steps; the front as a thick line behind."""
    from matplotlib import colormaps

    figure = new_figure(9, 4.5)
    axes = figure.subplots()
    front = pareto_front([point for own in points.values() for point in own])
    axes.step(*zip(*front, strict=True), where="post", color="0.8", lw=6, solid_capstyle="round", label="Pareto front")
    colours = colormaps["viridis"](numpy.linspace(0, 0.95, len(points)))
    for (name, own), colour, mark in zip(points.items(), colours, cycle(MARKS), strict=False):
        axes.plot(*zip(*sorted(own), strict=True), "-", color=colour, marker=mark, markersize=5, label=name)
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    _plain(axes.xaxis)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def differences(rows: Mapping[str, Interval], xlabel: str) -> Figure:
    """Differences with their intervals, one line each, beside zero: rows[name] = (mean, low, high)."""
    figure = new_figure(7.5, 0.32 * len(rows) + 1.0)
    axes = figure.subplots()
    places = numpy.arange(len(rows))
    means, lows, highs = (numpy.array(values) for values in zip(*rows.values(), strict=True))
    axes.errorbar(means, places, xerr=[means - lows, highs - means], fmt="o", capsize=3, color="C0")
    axes.axvline(0, color="black", lw=0.6)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, log: str = "xy"
) -> Figure:
    """Lines series[name] = (x, y); log: the axes on a logarithmic scale, "", "x", "y" or "xy"."""
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    for (name, (across, up)), mark in zip(series.items(), cycle(MARKS), strict=False):
        axes.plot(across, up, marker=mark, markersize=4, label=name)
    axes.set(
        xlabel=xlabel, ylabel=ylabel, xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear"
    )
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            _plain(axis)
    axes.legend(fontsize="small")
    return figure


def bars(table: Mapping[str, Mapping[str, float]], ylabel: str) -> Figure:
    """Values as bars: table[group][series]."""
    return scores({group: {name: (value,) * 3 for name, value in row.items()} for group, row in table.items()}, ylabel)


def staircase(values: Mapping[str, float], ylabel: str) -> Figure:
    """A value after each of several changes, in order, each with what it adds to the one before it."""
    figure = new_figure(1.25 * len(values) + 1.5, 3.0)
    axes = figure.subplots()
    heights = list(values.values())
    axes.bar(range(len(values)), heights, color="C0", width=0.95)
    for place, (before, after) in enumerate(zip([0.0, *heights], heights, strict=False)):
        text = f"{after:.1f}" if place == 0 else f"{after:.1f}\n({after - before:+.1f})"
        axes.annotate(text, (place, after), ha="center", va="bottom", xytext=(0, 2), textcoords="offset points")
    axes.set_xticks(range(len(values)), [name.replace(" ", "\n", 1) for name in values], fontsize="small")
    axes.set(ylabel=ylabel, ylim=(min(0, *heights), max(heights) * 1.25 + 1))
    return figure


def scatter(points: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str) -> Figure:
    """Points points[name] = (x, y)."""
    figure = new_figure(5.5, 3.4)
    axes = figure.subplots()
    _scattered(axes, points)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def reliability(points: Mapping[str, Sequence[tuple[float, float]]], spread: float) -> Figure:
    """True values over estimated ones: points[name] = (estimated, true); a band of ± `spread` about equality."""
    figure = new_figure(5.5, 4.0)
    axes = figure.subplots()
    estimates = [estimated for own in points.values() for estimated, _ in own]
    ends = numpy.array([min(estimates), max(estimates)])
    axes.plot(ends, ends, color="black", lw=0.8, label="true = estimated")
    axes.fill_between(ends, ends - spread, ends + spread, color="0.9", label=f"± {spread:g} dB")
    _scattered(axes, points)
    axes.set(xlabel="estimated improvement (dB)", ylabel="true improvement (dB)")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def _scattered(axes: Axes, points: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for index, ((name, own), mark) in enumerate(zip(points.items(), cycle(MARKS), strict=False)):
        axes.plot(*zip(*own, strict=True), mark, color=f"C{index}", markersize=5, alpha=0.8, label=name)


def _plain(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, as many as do not run into each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = numpy.log10(high / low)
    digits = next((digits for most, digits in LABELLED.items() if decades <= most), (1,))
    axis.set(
        major_locator=LogLocator(subs=digits, numticks=20),
        major_formatter=FuncFormatter(lambda value, _: f"{value:g}"),
        minor_formatter=NullFormatter(),
    )
