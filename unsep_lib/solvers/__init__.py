"""Solvers: ways to sample sources that follow their priors and add up to a mixture."""

from unsep_lib.solvers.ablations import ABLATIONS
from unsep_lib.solvers.loop import Snapshot, reverse
from unsep_lib.solvers.registry import DEFAULT_SOLVER, SOLVERS, Solver, solve, solver_named
from unsep_lib.solvers.schedules import grid_for, paper_levels

__all__ = [
    "ABLATIONS", "DEFAULT_SOLVER", "SOLVERS", "Snapshot", "Solver", "grid_for", "paper_levels", "reverse", "solve",
    "solver_named",
]  # fmt: skip
