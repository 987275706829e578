"""Pictures of two sources of one number each: densities, the line of their sum, and slopes of a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy
import torch

from unsep_lib.figures.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 3.1  # inches


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
