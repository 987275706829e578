"""Pictures of the paper's network: the lines that axis attention looks along, and the levels of its U."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.figures.spectrograms import decibels, draw_spectrogram, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS_SHOWN = 257  # of the spectrogram's transform, from 0 to half the sampling rate
LEVEL_WIDTH, LEVEL_HEIGHT = 1.0, 0.5  # of a box, in the units of `levels_figure`


def attention_lines(samples: torch.Tensor, bin_number: int, frame: int) -> Figure:
    """Spectrogram of samples [time] at 16 kHz with one column, a frame, and one row, a bin, marked."""
    from matplotlib.patches import Rectangle

    figure = new_figure(7.5, 3.0)
    axes = figure.subplots()
    levels = decibels(samples)
    seconds, top = samples.shape[-1] / SAMPLE_RATE, SAMPLE_RATE / 2000
    draw_spectrogram(axes, levels, levels.max(), seconds, "attention looks along columns, then along rows")
    wide, high = seconds / levels.shape[1], top / BINS_SHOWN
    axes.add_patch(Rectangle((frame * wide, 0), 4 * wide, top, color="C0", alpha=0.7))
    axes.add_patch(Rectangle((0, bin_number * high), seconds, 3 * high, color="C1", alpha=0.7))
    axes.set_ylabel("frequency (kHz)")
    return figure


def levels_figure(shapes: Mapping[str, tuple[int, int, int]], blocks: Mapping[str, int]) -> Figure:
    """The levels of a U in the order they are passed: shapes[name] = (bins, frames, channels), blocks[name]."""
    from matplotlib.patches import Rectangle

    figure = new_figure(9.0, 3.2)
    axes = figure.subplots()
    finest = max(bins for bins, _, _ in shapes.values())
    places = {}
    for column, (name, (bins, frames, channels)) in enumerate(shapes.items()):
        depth = -float(torch.tensor(finest / bins).log2())
        places[name] = 1.5 * column, depth
        corner = 1.5 * column - LEVEL_WIDTH / 2, depth - LEVEL_HEIGHT / 2
        axes.add_patch(Rectangle(corner, LEVEL_WIDTH, LEVEL_HEIGHT, color="C0", alpha=0.25))
        text = f"{name}\n{bins} × {frames}, {channels} channels\n{blocks[name]} blocks"
        axes.annotate(text, places[name], ha="center", va="center", fontsize="x-small")
    order = list(places.values())
    for before, after in [*pairwise(order), (order[0], order[-1]), (order[1], order[-2])]:
        style = "->" if abs(before[1] - after[1]) > 0 else "->, head_width=0.2"
        dashed = "--" if before[1] == after[1] else "-"
        arrow = {"arrowstyle": style, "ls": dashed, "shrinkA": 38, "shrinkB": 38, "color": "0.4"}
        axes.annotate("", after, before, arrowprops=arrow)
    axes.set(xlim=(-1, 1.5 * len(order) - 0.5), ylim=(min(y for _, y in order) - 0.6, 0.6))
    axes.set_axis_off()
    return figure
