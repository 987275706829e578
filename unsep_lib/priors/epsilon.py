"""A network that predicts the noise of the paper's 200 steps (arXiv 2512.07226), as a prior."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from unsep_lib.priors.base import Identity, Prior
from unsep_lib.priors.paper_schedule import LEVEL_TOLERANCE, PAPER_STEPS, paper_sigma, signal_power

TIME_SCALE = 1000  # the network's time is floor(t · 1000/200) (arXiv 2512.07226, as released)
SPEECH_LABELS = 1  # num_class of the released speech prior, which has one voice class
SOUND_ROWS = 50  # num_class of the released sound prior, of which the first 41 are used
SOUND_LABELS = (
    "Hi-hat", "Saxophone", "Trumpet", "Cello", "Clarinet", "Snare_drum", "Laughter", "Fart", "Flute", "Bass_drum",
    "Squeak", "Double_bass", "Shatter", "Fireworks", "Applause", "Acoustic_guitar", "Violin_or_fiddle", "Tearing",
    "Oboe", "Gong", "Knock", "Writing", "Cough", "Bark", "Tambourine", "Burping_or_eructation", "Cowbell",
    "Harmonica", "Drawer_open_or_close", "Meow", "Electric_piano", "Gunshot_or_gunfire", "Microwave_oven",
    "Keys_jangling", "Telephone", "Computer_keyboard", "Finger_snapping", "Chime", "Bus", "Scissors", "Glockenspiel",
)  # fmt: skip


def labels_of_classes(classes: int) -> tuple[str, ...]:
    """Names of a network's classes: none for one class, the sound prior's 41 for 50, numbers for any other count."""
    named = {SPEECH_LABELS: (), SOUND_ROWS: SOUND_LABELS}
    return named.get(classes, tuple(str(number) for number in range(classes)))


class EpsilonPrior(nn.Module, Prior):
    """An ε-network ε(x_VP [batch, time], time [batch], label [batch]) as a denoiser on the paper's 200 levels.

    `x_VP = √ᾱ x_VE`, `D(x_VE, σ_t) = (x_VP − √(1−ᾱ_t) ε(x_VP, floor(t·1000/200), label))/√ᾱ_t`, not clamped.
    labels: names of the label indices 0, 1, …; unlabelled: the index that stands for no label.
    grid: σ_t from t = 199 down to t = 0, float64 [200].
    """

    grid: torch.Tensor

    def __init__(self, network: nn.Module, labels: Sequence[str] = (), unlabelled: int = 0):
        super().__init__()
        self.network = network
        self.labels = tuple(labels)
        self.unlabelled = self.label_index = unlabelled
        self.grid = torch.tensor([paper_sigma(t) for t in reversed(range(PAPER_STEPS))], dtype=torch.float64)
        self.sigma_min, self.sigma_max = self.grid[-1].item(), self.grid[0].item()

    def conditioned(self, index: int | None, example: torch.Tensor | None) -> Self:
        """The same prior (weights shared) for the label of an index; None is "no class", or the only one there is.

        Raises:
            ValueError: an example, which the paper's networks do not take.
        """
        if example is not None:
            raise ValueError("this prior takes no examples: the paper's networks have no input for one")
        prior = copy.copy(self)
        prior.label_index = self.unlabelled if index is None else index
        return prior

    @property
    def identity(self) -> Identity:
        """The network and the label."""
        return Identity(id(self.network), self.label_index)

    def step_of(self, sigma: float) -> int:
        """The step t whose σ_t is `sigma`, to one part in a thousand.

        Raises:
            ValueError: no trained level lies that close.
        """
        index = int((self.grid - sigma).abs().argmin())
        nearest = self.grid[index].item()
        if not abs(sigma - nearest) <= LEVEL_TOLERANCE * nearest:
            raise ValueError(
                f"expected one of the paper's {PAPER_STEPS} noise levels, from {self.sigma_min:.4g} to "
                f"{self.sigma_max:.4g} and the nearest {nearest:.6g}, got σ = {sigma:g}"
            )
        return PAPER_STEPS - 1 - index

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x_0 | noisy] for `noisy` [batch, time] at one of the 200 levels and this prior's label.

        Raises:
            ValueError: σ is none of them.
        """
        t = self.step_of(sigma)
        power = signal_power(paper_sigma(t))
        time = torch.full((len(noisy),), t * TIME_SCALE // PAPER_STEPS, device=noisy.device)
        label = torch.full((len(noisy),), self.label_index, device=noisy.device)
        state = power**0.5 * noisy
        clean: torch.Tensor = (state - (1 - power) ** 0.5 * self.network(state, time, label)) / power**0.5
        return clean
