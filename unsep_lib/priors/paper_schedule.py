"""Noise levels: the paper's variance-preserving schedule, and grids of σ for any solver.

σ is the noise level in the variance-exploding convention, `x_σ = x_0 + σ n`; the paper's state is
`x_t = √ᾱ_t · x_σ` with `σ_t = √((1−ᾱ_t)/ᾱ_t)`.
"""

from __future__ import annotations

import math

import torch

PAPER_STEPS = 200  # T (arXiv 2512.07226)
PAPER_BETA_FIRST, PAPER_BETA_LAST = 1e-4, 0.02  # β_t is linear between them
LEVEL_TOLERANCE = 1e-3  # relative distance from a trained level that still counts as that level


def paper_betas() -> torch.Tensor:
    """β_t for t = 0 … 199, float64 [200]."""
    return torch.linspace(PAPER_BETA_FIRST, PAPER_BETA_LAST, PAPER_STEPS, dtype=torch.float64)


def paper_signal_power() -> torch.Tensor:
    """ᾱ_t = Π (1 − β) up to t, float64 [200]."""
    return torch.cumprod(1 - paper_betas(), dim=0)


def signal_power(sigma: float) -> float:
    """ᾱ = 1/(1 + σ²), the share of signal in the variance-preserving state."""
    return 1.0 / (1.0 + sigma**2)


def posterior_variance(sigma: float, sigma_next: float) -> float:
    """β̃ = β (1−ᾱ_next)/(1−ᾱ), the variance of x_next given x_0 and x, with β = 1 − ᾱ/ᾱ_next."""
    power, power_next = signal_power(sigma), signal_power(sigma_next)
    return (1 - power / power_next) * (1 - power_next) / (1 - power)


def paper_grid(steps: int = PAPER_STEPS) -> list[float]:
    """σ from t = 199 down to t = 0, then 0; with fewer steps, evenly respaced over the trained t.

    Raises:
        ValueError: steps is not in 1 … 200.
    """
    if not 1 <= steps <= PAPER_STEPS:
        raise ValueError(f"expected 1 to {PAPER_STEPS} steps on the paper's schedule, got {steps}")
    power = paper_signal_power()
    times = torch.linspace(PAPER_STEPS - 1, 0, steps).round().long()
    return [*((1 - power[times]) / power[times]).sqrt().tolist(), 0.0]


def paper_sigma(t: int) -> float:
    """σ_t of the paper's schedule for t in 0 … 199."""
    power = paper_signal_power()[t].item()
    return math.sqrt((1 - power) / power)


def log_grid(high: float, low: float, steps: int) -> list[float]:
    """`steps` noise levels evenly spaced in ln σ from `high` to `low`, then 0.

    Raises:
        ValueError: steps < 1, or the levels are not high ≥ low > 0.
    """
    if steps < 1:
        raise ValueError(f"expected at least 1 step, got {steps}")
    if not high >= low > 0:
        raise ValueError(f"expected noise levels high ≥ low > 0, got {high} and {low}")
    return [*torch.linspace(math.log(high), math.log(low), steps, dtype=torch.float64).exp().tolist(), 0.0]
