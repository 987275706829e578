"""Charts that compare solvers: quality against cost, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

MARKS = "osD^v"  # told apart where colours are not
Interval = tuple[float, float, float]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, quality) that no other point beats in one without losing in the other, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((cost, quality))
    return front


def pareto(points: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str) -> Figure:
    """Quality against cost, points[name] = (cost, quality) by number of steps; the front as a thick line behind."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    front = pareto_front([point for own in points.values() for point in own])
    axes.step(*zip(*front, strict=True), where="post", color="0.8", lw=6, solid_capstyle="round", label="Pareto front")
    colours = colormaps["viridis"](numpy.linspace(0, 0.95, len(points)))
    for (name, own), colour, mark in zip(points.items(), colours, cycle(MARKS), strict=False):
        axes.plot(*zip(*sorted(own), strict=True), "-", color=colour, marker=mark, markersize=5, label=name)
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set(major_formatter=FuncFormatter(lambda value, _: f"{value:g}"), minor_formatter=NullFormatter())
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def differences(rows: Mapping[str, Interval], xlabel: str) -> Figure:
    """Differences with their intervals, one line each, beside zero: rows[name] = (mean, low, high)."""
    figure = Figure(figsize=(7.5, 0.32 * len(rows) + 1.0), layout="constrained")
    axes = figure.subplots()
    places = numpy.arange(len(rows))
    means, lows, highs = (numpy.array(values) for values in zip(*rows.values(), strict=True))
    axes.errorbar(means, places, xerr=[means - lows, highs - means], fmt="o", capsize=3, color="C0")
    axes.axvline(0, color="black", lw=0.6)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    return figure
