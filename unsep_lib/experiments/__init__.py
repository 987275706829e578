"""Sweeps: mixtures × conditions × priors × solvers × steps × seeds, one file a row, one table."""

from unsep_lib.experiments.config import Condition, Experiment, PriorSet, SolverChoice, load_experiment
from unsep_lib.experiments.plan import plan
from unsep_lib.experiments.results import Difference, Line, Summary, full_run, paired_difference, read_table, summarise
from unsep_lib.experiments.sweep import Progress, dask_client, process_executor, run_sweep

__all__ = [
    "Condition",
    "Difference",
    "Experiment",
    "Line",
    "PriorSet",
    "Progress",
    "SolverChoice",
    "Summary",
    "dask_client",
    "full_run",
    "load_experiment",
    "paired_difference",
    "plan",
    "process_executor",
    "read_table",
    "run_sweep",
    "summarise",
]
