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
from unsep_lib.figures.compared import differences, pareto
from unsep_lib.figures.shown import described
from unsep_lib.figures.solving import compared_runs, emerging, moment, step_lengths, trajectory
from unsep_lib.figures.sound import spans_figure, spectrograms
from unsep_lib.figures.words import distortion, landscape, towards_the_sum

__all__ = [
    "band_losses",
    "compared_runs",
    "cost",
    "described",
    "deviations_figure",
    "differences",
    "distortion",
    "emerging",
    "landscape",
    "lines",
    "matrix",
    "moment",
    "pareto",
    "posterior_figure",
    "scores",
    "spans_figure",
    "spectrograms",
    "step_lengths",
    "towards_the_sum",
    "training_curve",
    "trajectory",
]
