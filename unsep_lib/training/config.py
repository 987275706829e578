"""The training recipe, as named numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from unsep_lib.networks.unet import CompactConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How a prior is trained; the defaults are the recipe that won at equal seconds on two cores.

    minutes or steps: the budget, exactly one of them (minutes count training time, not pauses);
    crop_seconds: length of a training crop; level_low, level_high: range of the crops' RMS in dBFS;
    learning_rate: AdamW's; muon_learning_rate: for the convolution matrices;
    warmup_steps, decay_from (share of the budget), final_rate (share of the rate): the rate's course;
    null_label: share of examples trained without their label (classifier-free guidance, arXiv 2207.12598);
    widths, blocks: channels and residual blocks of the network's levels, finest first (not used by a warm start);
    example: size of the code of an example of the source (0: the prior takes no examples); example_seconds: an
    example's length; null_example: share of crops trained without their example; example_dropout: share of the
    code's numbers left out, so that no single one stands for a speaker; example_rate: AdamW's for the example's
    encoder and the weights that read it, which start at zero when the rest is trained already.
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 8
    crop_seconds: float = 2.0
    level_low: float = -27.0
    level_high: float = -15.0
    learning_rate: float = 1e-3
    muon_learning_rate: float = 0.01
    warmup_steps: int = 100
    decay_from: float = 0.5
    final_rate: float = 0.02
    gradient_clip: float = 1.0
    ema: float = 0.999
    null_label: float = 0.1
    augment: bool = True
    widths: tuple[int, ...] = CompactConfig.widths
    blocks: tuple[int, ...] = CompactConfig.blocks
    seed: int = 0
    example: int = 0
    example_seconds: float = 3.0
    null_example: float = 0.15
    example_dropout: float = 0.1
    example_rate: float = 1e-3

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(f"expected either minutes or steps, got minutes={self.minutes}, steps={self.steps}")
        check_recipe(self.minutes if self.steps is None else self.steps, self.batch, self.seed)
        CompactConfig(widths=self.widths, blocks=self.blocks, example=self.example)

    def at_rate(self, share: float) -> TrainingConfig:
        """The same recipe with both learning rates times `share`; raises ValueError unless it is above 0 and finite."""
        if not 0 < share < math.inf:
            raise ValueError(f"expected a learning rate above 0 times the recipe's, got {share}")
        rates = {name: share * getattr(self, name) for name in ("learning_rate", "muon_learning_rate")}
        return replace(self, **rates)

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent, 0 … 1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return share_of(self.minutes, seconds) if self.minutes is not None else 1.0

    def rate(self, step: int, progress: float) -> float:
        """Learning rate relative to its maximum: linear warm-up, constant, linear decay."""
        warmup = min(1.0, (step + 1) / self.warmup_steps)
        return warmup * decayed(progress, self.decay_from, self.final_rate)


def check_recipe(budget: float | None, batch: int, seed: int) -> None:
    """Raise ValueError unless a recipe's minutes or steps, its batch and its seed are possible ones."""
    if budget is None or not 0 < budget < math.inf:
        raise ValueError(f"expected a training budget above 0, got {budget}")
    if batch < 1:
        raise ValueError(f"expected a batch of at least 1, got {batch}")
    if not 0 <= seed < 1 << 63:
        raise ValueError(f"expected a seed from 0 to 2^63 - 1, got {seed}")


def share_of(minutes: float, seconds: float) -> float:
    """Share of a budget of `minutes` that `seconds` of training spent, 0 … 1."""
    return min(seconds / (60 * minutes), 1.0)


def decayed(progress: float, start: float, final: float) -> float:
    """A rate relative to its maximum: constant up to the share `start` of a budget, then linear down to `final`."""
    return 1.0 - (1.0 - final) * max(0.0, progress - start) / (1.0 - start)
