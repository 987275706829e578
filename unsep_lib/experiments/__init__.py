"""Sweeps: mixtures × conditions × priors × solvers × steps × seeds, one file a row, one table."""

from unsep_lib.experiments.config import Condition, Experiment, PriorSet, SolverChoice, load_experiment
from unsep_lib.experiments.executors import dask_client, process_executor
from unsep_lib.experiments.plan import plan
from unsep_lib.experiments.statistics import Difference, Summary, paired_difference, summarise
from unsep_lib.experiments.sweep import Progress, run_sweep
from unsep_lib.experiments.table import Line, full_run, read_table

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
