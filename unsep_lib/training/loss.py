"""The denoising objective: its noise levels, its weights, and the validation loss."""

from __future__ import annotations

import math

import numpy
import torch
from torch import nn

from unsep_lib.priors.edm import SIGMA_MAX, SIGMA_MIN, EdmPrior

DATA_SCALE = 0.08  # −22 dBFS, the RMS of a source in a mixture: EDM's σ_data (arXiv 2206.00364)
FOCUS_LOW, FOCUS_HIGH = 0.01, 0.7  # below: the recordings' own noise; above: nothing can be known
FOCUS_SHARE = 0.85  # of the draws lie between the two
EXAMPLE_SIGMAS = (0.25, 0.5, 1.0, 1.5)  # where a separation decides which source is whose
VALIDATION_BANDS = 8  # octiles of ln σ that the validation loss is reported in


def draw_sigma(size: int, generator: numpy.random.Generator) -> torch.Tensor:
    """Noise levels [size], stratified: log-uniform in the focus range for 85 %, in the whole range for the rest."""
    quantile = (generator.permutation(size) + generator.random(size)) / size
    focused = quantile < FOCUS_SHARE
    inner = quantile / FOCUS_SHARE
    outer = (quantile - FOCUS_SHARE) / (1 - FOCUS_SHARE)
    logs = numpy.where(
        focused,
        math.log(FOCUS_LOW) + inner * math.log(FOCUS_HIGH / FOCUS_LOW),
        math.log(SIGMA_MIN) + outer * math.log(SIGMA_MAX / SIGMA_MIN),
    )
    return torch.from_numpy(numpy.exp(logs)).float()


def band_shares() -> list[float]:
    """The share of `draw_sigma`'s noise levels in each band of `validation_loss`: weights for its mean."""
    low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
    edges = numpy.linspace(low, high, VALIDATION_BANDS + 1)
    focus = numpy.clip(edges, math.log(FOCUS_LOW), math.log(FOCUS_HIGH))
    inside = numpy.diff(focus) / math.log(FOCUS_HIGH / FOCUS_LOW)
    shares: list[float] = (FOCUS_SHARE * inside + (1 - FOCUS_SHARE) / VALIDATION_BANDS).tolist()
    return shares


def denoising_loss(
    prior: nn.Module,
    clean: torch.Tensor,
    label: torch.Tensor,
    sigma: torch.Tensor,
    noise: torch.Tensor,
    example: torch.Tensor | None = None,
) -> torch.Tensor:
    """Weighted denoising error of each example [batch].

    `λ(σ) · mean((D(x + σ n) − x)²)` with `λ = (σ² + s²)/(σ s)²`, s = 0.08 (EDM, arXiv 2206.00364);
    prior: an `EdmPrior`, or one that accelerate wrapped; clean, noise [batch, time]; sigma, label [batch]; example
    [batch, number]: what `EdmPrior.encode` makes of examples.
    """
    denoised = prior(clean + sigma[:, None] * noise, sigma, label, example)
    weight = (sigma**2 + DATA_SCALE**2) / (sigma * DATA_SCALE) ** 2
    error: torch.Tensor = (denoised - clean).square().mean(dim=1)
    return weight * error


@torch.no_grad()
def validation_loss(prior: EdmPrior, clean: torch.Tensor, label: torch.Tensor, batch: int = 16) -> list[float]:
    """The loss on fixed crops [crop, time], by octile of ln σ over the prior's range.

    Noise levels are log-spaced over the crops and the noise is seeded, so that two priors are compared on
    the same examples; the mean of the list is the mean loss.
    """
    count = len(clean)
    generator = torch.Generator().manual_seed(0)
    quantile = (torch.randperm(count, generator=generator) + 0.5) / count
    sigma = (math.log(SIGMA_MIN) + quantile * math.log(SIGMA_MAX / SIGMA_MIN)).exp()
    noise = torch.randn(clean.shape, generator=generator)
    device = prior.spectrum.device
    losses = []
    for rows in torch.arange(count).split(batch):
        parts = (part[rows].to(device) for part in (clean, label, sigma, noise))
        losses.append(denoising_loss(prior, *parts).cpu())
    every, band = torch.cat(losses), (quantile * VALIDATION_BANDS).long()
    return [every[band == index].mean().item() for index in range(VALIDATION_BANDS)]


@torch.no_grad()
def example_losses(
    prior: EdmPrior, clean: torch.Tensor, label: torch.Tensor, example: torch.Tensor, batch: int = 16
) -> dict[str, list[float]]:
    """The loss on fixed crops [crop, time] at `EXAMPLE_SIGMAS`, with the right example, another crop's, and none.

    example [crop, time]; the noise is seeded. What an example is worth is none − right; that other − right is positive
    shows that it says which source is meant, and not only that it is some.
    """
    device = prior.spectrum.device
    right = torch.cat([prior.encode(part.to(device)) for part in example.split(batch)])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    losses: dict[str, list[float]] = {}
    for name, given in (("right", right), ("other", right.roll(1, dims=0)), ("none", torch.zeros_like(right))):
        losses[name] = []
        for sigma in EXAMPLE_SIGMAS:
            everywhere = torch.full((len(clean),), sigma)
            parts = (part.to(device).split(batch) for part in (clean, label, everywhere, noise, given))
            rows = torch.cat([denoising_loss(prior, *row) for row in zip(*parts, strict=True)])
            losses[name].append(rows.mean().item())
    return losses
