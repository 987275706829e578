"""The control's size and its training recipe, as named numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from unsep_lib.training.config import decayed, share_of


@dataclass(frozen=True)
class ControlSize:
    """Conv-TasNet's hyperparameters (arXiv 1809.07454, table I: L, N, B, H, P, X and R in this order).

    The published best has 5 million parameters on 8 kHz; this is the size that won at equal minutes on one thread.
    """

    kernel: int = 64
    filters: int = 256
    bottleneck: int = 128
    hidden: int = 256
    block_kernel: int = 3
    blocks: int = 7
    repeats: int = 1


@dataclass(frozen=True)
class ControlConfig:
    """How the control is trained: the published loss, optimiser, rate and clipping (arXiv 1809.07454).

    minutes: training time in all, over every resumption; batch: mixtures a step; segment_seconds: half the published,
    which gained more in equal minutes; decay_from (share of the minutes): from there on the rate falls linearly to
    zero, as the priors' does. (The published recipe halves it when the validation loss stands still, which it does not
    within hours on one thread.)
    """

    minutes: float
    size: ControlSize = field(default_factory=ControlSize)
    batch: int = 4
    segment_seconds: float = 2.0
    learning_rate: float = 1e-3
    gradient_clip: float = 5.0
    decay_from: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise ValueError(f"expected minutes of training above 0, got {self.minutes}")
        if self.batch < 1:
            raise ValueError(f"expected a batch of at least 1 mixture, got {self.batch}")

    def progress(self, seconds: float) -> float:
        """Share of the minutes that is spent, 0 … 1."""
        return share_of(self.minutes, seconds)

    def rate(self, seconds: float) -> float:
        """The learning rate after `seconds` of training: constant, then falling linearly to zero."""
        return self.learning_rate * decayed(self.progress(seconds), self.decay_from, final=0.0)
