"""Sweeps: mixtures × conditions × priors × solvers × steps × seeds, one file per row, one table."""

from unsep_lib.experiments.config import Condition, Experiment, PriorSet, SolverChoice, load_experiment
from unsep_lib.experiments.plan import plan
from unsep_lib.experiments.results import Difference, full_run, paired_difference, read_table, summary
from unsep_lib.experiments.sweep import dask_executor, process_executor, run_sweep

__all__ = [
    "Condition",
    "Difference",
    "Experiment",
    "PriorSet",
    "SolverChoice",
    "dask_executor",
    "full_run",
    "load_experiment",
    "paired_difference",
    "plan",
    "process_executor",
    "read_table",
    "run_sweep",
    "summary",
]
