"""A small sweep for the tests of unsep_lib.experiments: noise at a quarter of a second, tiny priors."""

from concurrent.futures import Future

import pytest
import torch

from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.experiments import Experiment, SolverChoice
from unsep_lib.source_spec import parse_spec

SAMPLES = 4000
MIXTURES = {"1speech-1sound_00": ("speech", "sound:Cello"), "2speakers_00": ("speech", "speech")}
SCORES = ("si_sdr", "si_sdr_improvement", "sdr", "level")
VARYING = ("seconds", "versions")  # differ from run to run


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write_mixtures(folder, mixtures=MIXTURES):
    """One folder a mixture of white noise sources; returns `folder` as text."""
    for seed, (name, labels) in enumerate(mixtures.items()):
        sources = noise(len(labels), SAMPLES, seed=seed)
        write_mixture(folder / name, Mixture(name, sources.sum(dim=0), sources, tuple(map(parse_spec, labels))))
    return str(folder)


def small(folder, **changes):
    """Two mixtures, one solver of one step, two seeds, and one baseline: 6 rows."""
    values = {"mixtures": write_mixtures(folder / "mixtures"), "seeds": (0, 1)}
    values["solvers"] = (SolverChoice("projection", (1,)), SolverChoice("oracle-ratio-mask"))
    return Experiment(**(values | changes))


class Here:
    """An executor that computes at once in this process and remembers which rows it was given."""

    def __init__(self):
        self.rows = []

    def submit(self, function, row):
        self.rows.append(row)
        future = Future()
        try:
            future.set_result(function(row))
        except ValueError as error:
            future.set_exception(error)
        return future


def assert_same_table(lines, others):
    """Equal but for timings; scores to what a float32 network's rounding can change."""
    assert list(lines.columns) == list(others.columns)
    for name in lines:
        if name in SCORES:
            assert lines[name].tolist() == pytest.approx(others[name].tolist(), abs=1e-3, nan_ok=True)
        elif name not in VARYING:
            assert lines[name].tolist() == others[name].tolist(), name
