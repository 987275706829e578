"""One step of the reverse process: estimate the clean sources, then move to the next noise level.

A rule has `estimate(priors, state, sigma, mixture)` and `advance(state, estimate, sigma, sigma_next, noise)`
and owns the convention of its state (variance-exploding or variance-preserving) [batch, source, time].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from unsep_lib.consistency import share_by_power
from unsep_lib.initialise import Noise
from unsep_lib.likelihood import ReconstructionLoss
from unsep_lib.priors import Prior
from unsep_lib.schedule import posterior_variance, signal_power

SPHERE_SCALE = 0.09  # DSG's guidance relative to the step's own noise (arXiv 2512.07226, as released)
HYBRID_FLOOR = 0.002  # least guidance per √sample, which keeps the hybrid guided to the end
HYBRID_SHARPNESS = 1000.0  # κ of the smooth maximum
NORM_FLOOR = 1e-8  # added to gradient norms


@dataclass(frozen=True)
class Estimate:
    """Clean sources x̂_0 [batch, source, time] and, for guided rules, the loss gradient of the same shape."""

    clean: torch.Tensor
    gradient: torch.Tensor | None = None


class StepRule(Protocol):
    """What the reverse loop asks of a step."""

    def estimate(self, priors: Sequence[Prior], state: torch.Tensor, sigma: float, mixture: torch.Tensor) -> Estimate:
        """x̂_0 from the state at noise level σ."""

    def advance(
        self, state: torch.Tensor, estimate: Estimate, sigma: float, sigma_next: float, noise: Noise
    ) -> torch.Tensor:
        """The state at the next noise level; at σ_next = 0 the separated sources."""


def denoise_all(priors: Sequence[Prior], noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    """Each source's own denoiser on its own noisy state [batch, source, time]."""
    return torch.stack([prior.denoise(noisy[:, k], sigma) for k, prior in enumerate(priors)], dim=1)


@dataclass(frozen=True)
class Projection:
    """Gradient-free: make x̂_0 add up to the mixture, then draw from q(x_next | x, x̂_0) (DDNM, arXiv 2212.00490).

    Variance-exploding: `x_next = x̂_0 + (σ_n²/σ²)(x − x̂_0) + σ_n √(1 − σ_n²/σ²) z`.
    """

    consistency: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = share_by_power

    def estimate(self, priors: Sequence[Prior], state: torch.Tensor, sigma: float, mixture: torch.Tensor) -> Estimate:
        """Denoise every source and project onto the mixture."""
        with torch.no_grad():
            return Estimate(self.consistency(denoise_all(priors, state, sigma), mixture))

    def advance(
        self, state: torch.Tensor, estimate: Estimate, sigma: float, sigma_next: float, noise: Noise
    ) -> torch.Tensor:
        """Ancestral sampling; no noise is drawn for the last step."""
        if sigma_next == 0:
            return estimate.clean
        ratio = (sigma_next / sigma) ** 2
        mean = estimate.clean + ratio * (state - estimate.clean)
        return mean + sigma_next * math.sqrt(1 - ratio) * noise.draw()


def hybrid_step_size(sigma: float, sigma_next: float) -> float:
    """`m_t = log(exp(κ·0.09√β̃_t) + exp(κ·0.002))/κ`: a smooth maximum (arXiv 2512.07226)."""
    sphere = SPHERE_SCALE * math.sqrt(posterior_variance(sigma, sigma_next))
    high, low = max(sphere, HYBRID_FLOOR), min(sphere, HYBRID_FLOOR)
    return high + math.log1p(math.exp(HYBRID_SHARPNESS * (low - high))) / HYBRID_SHARPNESS


@dataclass(frozen=True)
class Hybrid:
    """The paper's guided step, variance-preserving (arXiv 2512.07226).

    x̂_0 clamped to [−1, 1]; a DDPM posterior sample, then `− √L · m_t · g_k/‖g_k‖` for each source k of L samples,
    g the gradient of the reconstruction loss with respect to x_t, through the network.
    """

    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)
    step_size: Callable[[float, float], float] = hybrid_step_size

    def estimate(self, priors: Sequence[Prior], state: torch.Tensor, sigma: float, mixture: torch.Tensor) -> Estimate:
        """x̂_0 and the gradient of the loss with respect to the state."""
        with torch.enable_grad():
            state = state.detach().requires_grad_(True)
            clean = denoise_all(priors, state / math.sqrt(signal_power(sigma)), sigma).clamp(-1, 1)
            loss = self.loss(clean.sum(dim=1), mixture).sum()
            (gradient,) = torch.autograd.grad(loss, state)
        return Estimate(clean.detach(), gradient)

    def advance(
        self, state: torch.Tensor, estimate: Estimate, sigma: float, sigma_next: float, noise: Noise
    ) -> torch.Tensor:
        """Posterior sample moved against the gradient; no noise is drawn for the last step."""
        power, power_next = signal_power(sigma), signal_power(sigma_next)
        beta = 1 - power / power_next
        to_clean = math.sqrt(power_next) * beta / (1 - power)
        to_state = (1 - power_next) * math.sqrt(1 - beta) / (1 - power)
        sample = to_clean * estimate.clean + to_state * state
        if sigma_next > 0:
            sample = sample + math.sqrt(posterior_variance(sigma, sigma_next)) * noise.draw()
        norm = torch.linalg.vector_norm(estimate.gradient, dim=-1, keepdim=True) + NORM_FLOOR
        length = math.sqrt(state.shape[-1]) * self.step_size(sigma, sigma_next)
        return sample - length * estimate.gradient / norm
