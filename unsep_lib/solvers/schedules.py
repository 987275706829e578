"""Noise levels that a solver and its priors can agree on: functions (priors, steps) → levels, the last of them 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from unsep_lib.priors.base import Prior, check_sigma
from unsep_lib.priors.paper_schedule import LEVEL_TOLERANCE, log_grid, paper_grid

START_SIGMA, END_SIGMA = 0.7, 0.005  # of a single run; from 1.5 the projection scores 1.8 dB less
Levels = Callable[[Sequence[Prior], int], list[float]]


@dataclass(frozen=True)
class LogLevels:
    """Noise levels from `high` down to `low`, evenly spaced in ln σ, then 0, on the levels the priors were trained on.

    Priors of any σ get the levels as they are. If some were trained on a grid, each level is replaced by the trained
    one nearest in ln σ and repetitions are dropped, so that fewer than asked for may remain.
    """

    high: float = START_SIGMA
    low: float = END_SIGMA

    def __call__(self, priors: Sequence[Prior], steps: int) -> list[float]:
        """At most `steps` levels and 0.

        Raises:
            ValueError: steps < 1, priors trained on different grids, or a level outside a prior's range.
        """
        levels = log_grid(self.high, self.low, steps)
        trained = _shared_grid(priors)
        if trained is not None:
            wanted = torch.tensor(levels[:-1], dtype=torch.float64)
            distance = (wanted.log()[:, None] - trained.double().cpu().log()).abs()
            nearest = sorted({trained[index].item() for index in distance.argmin(dim=1)}, reverse=True)
            levels = [*nearest, 0.0]
        check_levels(priors, levels)
        return levels


def paper_levels(priors: Sequence[Prior], steps: int) -> list[float]:
    """The paper's levels from t = 199 to t = 0, respaced to `steps`, then 0, if all priors answer for them.

    Raises:
        ValueError: steps is not in 1 … 200, or a prior does not allow one of the levels.
    """
    levels = paper_grid(steps)
    check_levels(priors, levels)
    return levels


def check_levels(priors: Sequence[Prior], levels: Sequence[float]) -> None:
    """Raise ValueError unless every level but the final 0 lies in each prior's range and on its grid, if it has one."""
    for prior in priors:
        for sigma in levels[:-1]:
            check_sigma(prior, sigma)
            if prior.grid is None:
                continue
            nearest = prior.grid[(prior.grid - sigma).abs().argmin()].item()
            if abs(nearest - sigma) > LEVEL_TOLERANCE * nearest:
                raise ValueError(
                    f"expected one of the {len(prior.grid)} noise levels the prior was trained on, "
                    f"the nearest is {nearest:.6g}, got σ = {sigma:g}"
                )


def _shared_grid(priors: Sequence[Prior]) -> torch.Tensor | None:
    grids = [prior.grid for prior in priors if prior.grid is not None]
    for grid in grids[1:]:
        if grid.shape != grids[0].shape or not torch.allclose(grid, grids[0], rtol=LEVEL_TOLERANCE, atol=0):
            both = f"{_described(grids[0])} and {_described(grid)}"
            raise ValueError(f"expected priors trained on the same noise levels, got {both}")
    return grids[0] if grids else None


def _described(grid: torch.Tensor) -> str:
    return f"{len(grid)} levels from {grid.min().item():.4g} to {grid.max().item():.4g}"
