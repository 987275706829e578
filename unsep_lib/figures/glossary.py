"""Pictures of words, and of two sources of one number each, in a plane instead of thousands of dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy
import torch

from unsep_lib.figures.spectrograms import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTENT = 2.0  # half the width of a plane
PANEL = 3.1  # inches
CENTRES, WIDTH = numpy.array([[-0.9, 0.5], [0.9, -0.3]]), 0.45  # of the two kinds of point that `landscape` knows


def _weights(points: numpy.ndarray) -> numpy.ndarray:
    """Density of each centre at points [..., 2]: [..., centre]."""
    distances = ((points[..., None, :] - CENTRES) ** 2).sum(axis=-1)
    weights: numpy.ndarray = numpy.exp(-distances / (2 * WIDTH**2)) / (2 * math.pi * WIDTH**2) / len(CENTRES)
    return weights


def density(points: numpy.ndarray) -> numpy.ndarray:
    """Density p at points [..., 2]: an equal mixture of two round Gaussians."""
    total: numpy.ndarray = _weights(points).sum(axis=-1)
    return total


def score(points: numpy.ndarray) -> numpy.ndarray:
    """∇ log p at points [..., 2]."""
    weights = _weights(points)
    pulls = (CENTRES - points[..., None, :]) / WIDTH**2
    slope: numpy.ndarray = (weights[..., None] * pulls).sum(axis=-2) / weights.sum(axis=-1, keepdims=True)
    return slope


def landscape(*, arrows: bool) -> Figure:
    """A density over a plane as colours, and with `arrows` its score on a grid."""
    figure, axes = _plane()
    fine = numpy.stack(numpy.meshgrid(*[numpy.linspace(-EXTENT, EXTENT, 120)] * 2), axis=-1)
    image = axes.imshow(density(fine), origin="lower", cmap="viridis", extent=(-EXTENT, EXTENT) * 2)
    figure.colorbar(image, label="density p(x)")
    if arrows:
        coarse = numpy.stack(numpy.meshgrid(*[numpy.linspace(-EXTENT, EXTENT, 13)] * 2), axis=-1)
        slopes = score(coarse)
        axes.quiver(coarse[..., 0], coarse[..., 1], slopes[..., 0], slopes[..., 1], color="white")
    axes.set(xlabel="first number of x", ylabel="second number of x")
    return figure


def causes(noisy: Sequence[float], sigma: float, count: int, seed: int = 0) -> numpy.ndarray:
    """Samples [count, 2] of p(x | x + σn = noisy) for x of `density`: a mixture of two narrower Gaussians."""
    point, generator = numpy.array(noisy, dtype=float), numpy.random.default_rng(seed)
    distances = ((point - CENTRES) ** 2).sum(axis=-1)
    weights = numpy.exp(-(distances - distances.min()) / (2 * (WIDTH**2 + sigma**2)))
    chosen = generator.choice(len(CENTRES), size=count, p=weights / weights.sum())
    share = WIDTH**2 / (WIDTH**2 + sigma**2)
    means = CENTRES + share * (point - CENTRES)
    samples: numpy.ndarray = means[chosen] + sigma * math.sqrt(share) * generator.standard_normal((count, 2))
    return samples


def best_guess(noisy: Sequence[float], sigma: float) -> numpy.ndarray:
    """E[x | x + σn = noisy] for x of `density`, in closed form [2]."""
    point = numpy.array(noisy, dtype=float)
    distances = ((point - CENTRES) ** 2).sum(axis=-1)
    weights = numpy.exp(-(distances - distances.min()) / (2 * (WIDTH**2 + sigma**2)))
    means = CENTRES + WIDTH**2 / (WIDTH**2 + sigma**2) * (point - CENTRES)
    mean: numpy.ndarray = (weights[:, None] * means).sum(axis=0) / weights.sum()
    return mean


def best_guesses(noisy: Sequence[float], sigmas: Sequence[float]) -> Figure:
    """For each σ: the density, a noisy point, the cloud of its possible causes, and an arrow to their mean."""
    figure = new_figure(3.2 * len(sigmas), 3.4)
    fine = numpy.stack(numpy.meshgrid(*[numpy.linspace(-EXTENT, EXTENT, 120)] * 2), axis=-1)
    for axes, sigma in zip(figure.subplots(1, len(sigmas), squeeze=False)[0], sigmas, strict=True):
        axes.imshow(density(fine), origin="lower", cmap="viridis", extent=(-EXTENT, EXTENT) * 2)
        axes.plot(*causes(noisy, sigma, 150).T, ".", color="white", ms=3, alpha=0.6, label="possible causes")
        mean = best_guess(noisy, sigma)
        axes.annotate("", mean, noisy, arrowprops={"arrowstyle": "->", "color": "C1", "lw": 2})
        axes.plot(*noisy, "o", color="C3", label="noisy point")
        axes.plot(*mean, "o", color="C1", label="their mean")
        axes.set(title=f"σ = {sigma:g}", xlabel="first number of x", xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT))
    figure.axes[0].set_ylabel("second number of x")
    figure.axes[0].legend(fontsize="small", loc="lower left")
    return figure


def towards_the_sum(start: Sequence[float], total: float, share: float, steps: int) -> Figure:
    """Steps from the estimates (x̂_1, x̂_2) towards x_1 + x_2 = total, each by `share` of what is left over.

    A share of 1 and one step are a projection; smaller shares and more steps are guidance.
    """
    figure, axes = _plane()
    axes.plot([-EXTENT, EXTENT], [total + EXTENT, total - EXTENT], color="black", label="x₁ + x₂ = y")
    points = [numpy.array(start, dtype=float)]
    for _ in range(steps):
        points.append(points[-1] + share * (total - points[-1].sum()) / 2)
    for before, after in pairwise(points):
        ends = (after[0], after[1]), (before[0], before[1])
        axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": "C1", "lw": 2})
    axes.plot(*numpy.transpose(points), "o", color="C0", label="estimates")
    axes.set(xlabel="source 1", ylabel="source 2", xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT))
    axes.legend(loc="lower left")
    return figure


def distortion(reference: Sequence[float], estimate: Sequence[float]) -> Figure:
    """An estimate as a multiple of the reference and the error beside it; their lengths' ratio in dB is the SI-SDR."""
    figure, axes = _plane()
    truth, guess = numpy.array(reference, dtype=float), numpy.array(estimate, dtype=float)
    target = truth * (guess @ truth) / (truth @ truth)
    parts = {"reference": (0 * truth, truth), "estimate": (0 * truth, guess), "target": (0 * truth, target),
             "error": (target, guess)}  # fmt: skip
    for index, (name, (begin, end)) in enumerate(parts.items()):
        axes.plot(*numpy.transpose([begin, end]), "-o", color=f"C{index}", lw=1 + (name == "target"), label=name)
    decibels = 20 * math.log10(numpy.linalg.norm(target) / numpy.linalg.norm(guess - target))
    axes.set_title(f"SI-SDR = 20 log₁₀(target / error) = {decibels:.1f} dB")
    axes.set(xlabel="first sample", ylabel="second sample")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def _plane() -> tuple[Figure, Axes]:
    figure = new_figure(4.6, 3.6)
    axes = figure.subplots()
    axes.set_aspect("equal")
    return figure, axes


def densities_figure(
    densities: Mapping[str, torch.Tensor],
    total: float,
    extent: float,
    points: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Densities over the plane of two sources, a panel each, with the line x₁ + x₂ = total.

    densities: title → values [x₂, x₁] on an even grid from −extent to extent; points: title → marks (x₁, x₂).
    """
    figure, panels = _panels(list(densities), total, extent)
    for axes, (title, values) in zip(panels, densities.items(), strict=True):
        axes.imshow(values.numpy(), origin="lower", cmap="viridis", extent=(-extent, extent, -extent, extent))
        for x, y in (points or {}).get(title, ()):
            axes.plot(x, y, "o", color="white", markeredgecolor="black")
    return figure


def slopes_figure(
    fields: Mapping[str, Mapping[str, torch.Tensor]], places: torch.Tensor, total: float, extent: float
) -> Figure:
    """Directions of slopes over the plane of two sources, a panel each, with the line x₁ + x₂ = total.

    fields: title → label → slopes [place, 2] at `places` [place, 2]; arrows have one length, whatever the slope's.
    """
    figure, panels = _panels(list(fields), total, extent)
    for axes, labelled in zip(panels, fields.values(), strict=True):
        for index, (label, slopes) in enumerate(labelled.items()):
            directions = (slopes / slopes.norm(dim=-1, keepdim=True)).numpy()
            axes.quiver(
                *places.numpy().T, *directions.T, color=f"C{index}", label=label, scale=14, width=0.009, alpha=0.8
            )
    panels[0].legend(loc="lower left", fontsize="x-small")
    return figure


def shares_figure(estimate: tuple[float, float], total: float, shares: Mapping[str, float], extent: float) -> Figure:
    """One pair of estimates and where it lands on the line x₁ + x₂ = total by each share of the residual.

    shares: label → what the first source gets, from 0 to 1.
    """
    figure, (axes,) = _panels(["one residual, shared in three ways"], total, extent)
    residual = total - sum(estimate)
    axes.plot(*estimate, "o", color="black")
    for index, (label, share) in enumerate(shares.items()):
        end = estimate[0] + share * residual, estimate[1] + (1 - share) * residual
        axes.annotate("", end, estimate, arrowprops={"arrowstyle": "->", "color": f"C{index}", "lw": 2})
        axes.plot(*end, "o", color=f"C{index}", label=f"{label}: {share:.2f} to source 1")
    axes.legend(loc="lower left", fontsize="x-small")
    return figure


def _panels(titles: Sequence[str], total: float, extent: float) -> tuple[Figure, list[Axes]]:
    figure = new_figure(PANEL * len(titles) + 0.4, PANEL + 0.3)
    panels = list(figure.subplots(1, len(titles), squeeze=False, sharey=True)[0])
    across = numpy.array([-extent, extent])
    for axes, title in zip(panels, titles, strict=True):
        axes.plot(across, total - across, color="C3", lw=1.5)
        axes.set(title=title, xlabel="source 1", xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    panels[0].set_ylabel("source 2")
    return figure, panels
