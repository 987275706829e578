"""Arithmetic of guided separation with the paper's network, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import FRAME_MULTIPLE, HOP, TfConfig
from unsep_lib.priors.paper_schedule import PAPER_STEPS

COUNTED_GROUPS = (1, 2, 3)  # lengths counted, in groups of four frames: enough for a quadratic


@dataclass(frozen=True)
class EvaluationFlop:
    """FLOP of one evaluation of a network: plain, for ε alone; guided, for ε and its gradient in the input."""

    plain: int
    guided: int

    def of_step(self, sources: int) -> int:
        """FLOP of one guided step: K − 1 plain evaluations and K guided ones (`guidance.loss_gradient`)."""
        return (sources - 1) * self.plain + sources * self.guided


class _NoModules(ModuleTracker):
    """Follows no module: the tracker's hooks do not allow a gradient inside a gradient, which recomputation takes."""

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def counter() -> FlopCounterMode:
    """A counter of all matrix products and convolutions, two FLOP per multiplication and addition."""
    mode = FlopCounterMode(display=False)
    mode.mod_tracker = _NoModules()
    return mode


def count_evaluation(network: TfAttentionNetwork, samples: int) -> EvaluationFlop:
    """Run one guided evaluation on the CPU and count, recomputed layers twice, attention as plain matrix products."""
    state, zero = torch.zeros(1, samples, requires_grad=True), torch.zeros(1, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), counter() as counted:
        epsilon = network(state, zero, zero)
        plain = counted.get_total_flops()
        torch.autograd.grad(epsilon.sum(), state)
    return EvaluationFlop(plain, counted.get_total_flops())


class NetworkFlop:
    """FLOP of a TF attention network at any length, from counts at three short ones.

    Attention along time takes FLOP quadratic in the number of frames, everything else linear or constant; so the
    counts at 4, 8 and 12 frames determine all others, exactly.
    """

    def __init__(self, config: TfConfig):
        network = TfAttentionNetwork(config)
        lengths = [FRAME_MULTIPLE * group * HOP - 1 for group in COUNTED_GROUPS]
        self._counts = [count_evaluation(network, length) for length in lengths]

    def evaluation(self, seconds: float) -> EvaluationFlop:
        """FLOP of one evaluation on a clip of `seconds`."""
        beyond = round(seconds * SAMPLE_RATE) // HOP // FRAME_MULTIPLE
        plain, guided = ([getattr(count, kind) for count in self._counts] for kind in ("plain", "guided"))
        return EvaluationFlop(_quadratic(plain, beyond), _quadratic(guided, beyond))


def _quadratic(values: Sequence[int], beyond: int) -> int:
    """The value at 1 + `beyond` of the quadratic through the values at 1, 2 and 3 (Newton's forward differences)."""
    first, second, third = values
    curvature = third - 2 * second + first
    return first + beyond * (second - first) + beyond * (beyond - 1) // 2 * curvature


@dataclass(frozen=True)
class Workload:
    """Mixtures to separate with the paper's solver: sources of each, seconds of each, and guided steps.

    Raises:
        ValueError: a mixture without a source or a sample of audio, or not a step.
    """

    mixtures: tuple[tuple[int, float], ...]
    steps: int = PAPER_STEPS

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"expected at least 1 step, got {self.steps}")
        for sources, seconds in self.mixtures:
            if sources < 1 or not 1 <= seconds * SAMPLE_RATE < float("inf"):
                raise ValueError(f"expected mixtures of at least one source and sample, got {sources}, {seconds} s")

    def flop(self, network: NetworkFlop) -> int:
        """FLOP of all its guided steps."""
        return self.steps * sum(network.evaluation(seconds).of_step(sources) for sources, seconds in self.mixtures)
