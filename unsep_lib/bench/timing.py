"""Measured side by side: two forms of the paper's network, to be read and laid out for speed, and two solvers."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.bench.tf_reference import TfReferenceNetwork
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig, formula_state
from unsep_lib.priors.epsilon import EpsilonPrior
from unsep_lib.priors.paper_schedule import paper_signal_power
from unsep_lib.separation import load_priors
from unsep_lib.solvers import solve, solver_named
from unsep_lib.solvers.guidance import ReconstructionLoss
from unsep_lib.versions import peak_memory_mb

STEP, NETWORK_TIME = 100, 500  # a step in the middle of the paper's 200, and floor(100 · 1000/200)
WARM_UP = 2_040  # samples of the run that is not timed: libraries load and choose their kernels
SEPARATION_STEPS = 10  # of the separation whose error is measured
REFERENCE, FAST = "reference", "fast"


@dataclass(frozen=True)
class Workload:
    """One guided step of one source: `seconds` of audio through a network of `width`.

    Raises:
        ValueError: not a sample of audio, or a width that the heads cannot share.
    """

    seconds: float = 4.0
    width: int = 72
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if not self.seconds * SAMPLE_RATE >= 1:
            raise ValueError(f"expected at least one sample of audio, got {self.seconds} s")
        TfConfig(width=self.width)


@dataclass(frozen=True)
class Measurement:
    """Seconds of a step, the process's largest resident memory in MB, and the step's outputs ε and ∂ℓ/∂x."""

    seconds: float
    peak_mb: float
    outputs: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """Reference over fast, and the largest difference of an output relative to its largest value."""

    time_ratio: float
    memory_ratio: float
    error: float

    def __str__(self) -> str:
        return f"time ratio {self.time_ratio:.2f} memory ratio {self.memory_ratio:.2f} error {self.error:.1e}"


def guided_step(network: nn.Module, state: torch.Tensor, mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ε and the gradient of the paper's loss of x̂_0 with respect to x_t, for `state` and `mixture` [batch, time]."""
    power = paper_signal_power()[STEP].item()
    state = state.detach().requires_grad_()
    times = torch.full((len(state),), NETWORK_TIME)
    epsilon = network(state, times, torch.zeros_like(times))
    clean = (state - (1 - power) ** 0.5 * epsilon) / power**0.5
    (gradient,) = torch.autograd.grad(ReconstructionLoss()(clean, mixture).sum(), state)
    return epsilon.detach(), gradient


def measure(side: str, workload: Workload) -> Measurement:
    """Time one guided step in this process, after a short one that is not timed."""
    network = _network(side, workload)
    noise = np.random.RandomState(0).standard_normal((2, 1, round(workload.seconds * SAMPLE_RATE)))
    state, mixture = torch.from_numpy(noise).float() * torch.tensor([0.3, 0.1])[:, None, None]
    guided_step(network, state[:, :WARM_UP], mixture[:, :WARM_UP])
    began = time.perf_counter()
    epsilon, gradient = guided_step(network, state, mixture)
    seconds = time.perf_counter() - began
    return Measurement(seconds, peak_memory_mb(), (epsilon.numpy(), gradient.numpy()))


def separation_error(workload: Workload) -> float:
    """What bfloat16 changes in a separation: `‖x_bfloat16 − x_float32‖/‖x_float32‖` over two sources.

    The paper's guided solver on a few of its 200 levels, the fast network with the formula's weights as both priors,
    the same noise; `workload` gives length and width.
    """
    mixture = 0.1 * torch.randn(1, round(workload.seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    results = []
    for bfloat16 in (False, True):
        prior = EpsilonPrior(_network(FAST, replace(workload, bfloat16=bfloat16)))
        results.append(solve(mixture, [prior, prior], solver="hybrid", steps=SEPARATION_STEPS, seeds=[0]))
    error: float = ((results[1] - results[0]).norm() / results[0].norm()).item()
    return error


def _network(side: str, workload: Workload) -> nn.Module:
    config = TfConfig(width=workload.width)
    network = TfReferenceNetwork(config) if side == REFERENCE else TfAttentionNetwork(config)
    network.load_state_dict(formula_state(network))
    network.requires_grad_(False)
    if workload.bfloat16 and isinstance(network, TfAttentionNetwork):
        network.bfloat16_products()
    return network


def _send(side: str, workload: Workload, pipe: Connection) -> None:
    pipe.send(measure(side, workload))


def measure_apart(side: str, workload: Workload) -> Measurement:
    """`measure` in a fresh process, so that the peak memory is the step's own.

    Raises:
        ValueError: the process died, most likely for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(side, workload, sender))
    process.start()
    sender.close()
    try:
        measured: Measurement = receiver.recv()
    except EOFError:
        process.join()
        raise ValueError(f"expected a measurement of the {side} network, got exit code {process.exitcode}") from None
    finally:
        process.join()
    return measured


def compare_networks(
    workload: Workload, repeats: int = 3, on_run: Callable[[str, Measurement], None] | None = None
) -> Comparison:
    """Medians of `repeats` runs of each side, alternating, each in its own process.

    Raises:
        ValueError: no repeats, or a run that died.
    """
    if repeats < 1:
        raise ValueError(f"expected at least 1 repeat, got {repeats}")
    runs: dict[str, list[Measurement]] = {REFERENCE: [], FAST: []}
    for _ in range(repeats):
        for side, measurements in runs.items():
            measurements.append(measure_apart(side, workload))
            if on_run is not None:
                on_run(side, measurements[-1])
    slow, fast = runs[REFERENCE], runs[FAST]
    return Comparison(
        _median(slow, "seconds") / _median(fast, "seconds"),
        _median(slow, "peak_mb") / _median(fast, "peak_mb"),
        max(_error(ours.outputs, theirs.outputs) for ours, theirs in zip(fast, slow, strict=True)),
    )


def _median(measurements: list[Measurement], field: str) -> float:
    values: list[float] = [getattr(measurement, field) for measurement in measurements]
    return statistics.median(values)


def _error(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> float:
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


TASK = "1speech-1sound"  # its first embedded mixture is the one that is timed
SOLVER_WARM_UP = SAMPLE_RATE // 8  # samples of the runs that are not timed: libraries load and choose their kernels


@dataclass(frozen=True)
class Times:
    """Seconds of every run of the solver in question and of the one it is compared with, in their order."""

    own: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times longer the other solver took, one number per pair."""
        return tuple(other / own for own, other in zip(self.own, self.other, strict=True))

    def __str__(self) -> str:
        own, other, ratio = (statistics.median(values) for values in (self.own, self.other, self.ratios))
        low, high = min(self.ratios), max(self.ratios)
        return f"{own:.2f} s against {other:.2f} s: time ratio {ratio:.1f} ({low:.1f} to {high:.1f})"


def compare_solvers(
    own: str, other: str, seconds: float, pairs: int, on_run: Callable[[str, float], None] = lambda name, seconds: None
) -> Times:
    """Time `pairs` runs of both solvers in turn, each in its usual steps, on `seconds` of an embedded mixture.

    Two sources, the shipped priors, this process's threads; loading is not timed. on_run: called with a solver's name
    and its seconds after each run.

    Raises:
        ValueError: an unknown solver, no pairs, or not a sample of audio.
    """
    if pairs < 1:
        raise ValueError(f"expected at least 1 pair of runs, got {pairs}")
    if not seconds * SAMPLE_RATE >= 1:
        raise ValueError(f"expected at least one sample of audio, got {seconds} s")
    solvers = [solver_named(name) for name in (own, other)]
    example = embedded_mixtures(TASK)[0]
    piece, priors = example.mixture[None, : round(seconds * SAMPLE_RATE)], load_priors(example.specs)
    for solver in solvers:
        solve(piece[:, :SOLVER_WARM_UP], priors, solver=solver, steps=1, seeds=[0])
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for solver, times in zip(solvers, taken, strict=True):
            began = time.perf_counter()
            solve(piece, priors, solver=solver, seeds=[0])
            times.append(time.perf_counter() - began)
            on_run(solver.name, times[-1])
    return Times(*(tuple(times) for times in taken))
