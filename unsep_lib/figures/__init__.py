"""Figures of audio, training, separation and scores; each a function that returns a matplotlib Figure."""

from unsep_lib.figures.charts import (
    band_losses,
    cost,
    deviations_figure,
    lines,
    matrix,
    posterior_figure,
    scores,
    training_curve,
)
from unsep_lib.figures.shown import described
from unsep_lib.figures.solving import emerging, moment, step_lengths, trajectory
from unsep_lib.figures.sound import spans_figure, spectrograms

__all__ = [
    "band_losses",
    "cost",
    "described",
    "deviations_figure",
    "emerging",
    "lines",
    "matrix",
    "moment",
    "posterior_figure",
    "scores",
    "spans_figure",
    "spectrograms",
    "step_lengths",
    "training_curve",
    "trajectory",
]
