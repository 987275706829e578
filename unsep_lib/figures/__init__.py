"""Figures of audio, training, separation and scores; each a function that returns a matplotlib Figure."""

from unsep_lib.figures.charts import (
    band_losses,
    bars,
    cost,
    curves,
    deviations_figure,
    differences,
    lines,
    matrix,
    pareto,
    posterior_figure,
    scatter,
    scores,
    staircase,
    training_curve,
)
from unsep_lib.figures.glossary import best_guesses, distortion, landscape, towards_the_sum
from unsep_lib.figures.planes import densities_figure, shares_figure, slopes_figure
from unsep_lib.figures.solving import compared_runs, emerging, moment, step_lengths, trajectory
from unsep_lib.figures.spectrograms import described, spans_figure, spectrograms

__all__ = [
    "band_losses",
    "bars",
    "best_guesses",
    "compared_runs",
    "cost",
    "curves",
    "densities_figure",
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
    "scatter",
    "scores",
    "shares_figure",
    "slopes_figure",
    "spans_figure",
    "spectrograms",
    "staircase",
    "step_lengths",
    "towards_the_sum",
    "training_curve",
    "trajectory",
]
