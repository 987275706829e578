"""Solvers: ways to sample sources that follow their priors and add up to a mixture."""

from unsep_lib.solvers.loop import Problem, Rule, Snapshot, Step, reverse
from unsep_lib.solvers.registry import (
    ABLATIONS,
    DEFAULT_SOLVER,
    SOLVERS,
    check_solver,
    solve,
    solve_judged,
    solver_named,
)
from unsep_lib.solvers.restarts import Restart, Restarts
from unsep_lib.solvers.sampler import Sampler, Solver
from unsep_lib.solvers.schedules import LogLevels, paper_levels

__all__ = [
    "ABLATIONS", "DEFAULT_SOLVER", "SOLVERS", "LogLevels", "Problem", "Restart", "Restarts", "Rule", "Sampler",
    "Snapshot", "Solver", "Step", "check_solver", "paper_levels", "reverse", "solve", "solve_judged", "solver_named",
]  # fmt: skip
