"""The paper's guided step and the ones it is compared with: the loss's gradient pulls a sample towards the mixture.

The rules differ by one function, their guidance: (loss gradient g [batch, source, time], σ, σ_next) → what is
subtracted from the sampled state, for each source from its own g_k of L samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import posterior_variance, signal_power
from unsep_lib.solvers.initialization import VariancePreserving
from unsep_lib.solvers.loop import Noise, Problem, Step

CHUNKS = 512  # pieces the residual is cut into (arXiv 2512.07226, as released)
SPECTRAL_N_FFT, SPECTRAL_HOP = 512, 256  # samples, Hann window
DPS_SCALE = 1.5  # step along the plain gradient (this and the next five: arXiv 2512.07226, as released)
SPHERE_SCALE = 0.09  # DSG's guidance relative to the step's own noise
CQT_SCALE, CQT_FLOOR = 0.001, 1e-6  # CQT-Diff's guidance per √sample; keeps its denominator above zero
HYBRID_FLOOR = 0.002  # least guidance per √sample, which keeps the hybrid guided to the end
HYBRID_SHARPNESS = 1000.0  # κ of the smooth maximum
NORM_FLOOR = 1e-8  # added to gradient norms
Guidance = Callable[[torch.Tensor, float, float], torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (Σ x̂_0, mixture), both [batch, time] → [batch]
Cleaned = Callable[[Prior, torch.Tensor, float], torch.Tensor]


@dataclass(frozen=True)
class ReconstructionLoss:
    """`ℓ = w₁‖r‖₂ + w₂ Σ_s ‖r_s‖₂ + w₃ ‖|STFT(Σx̂)| − |STFT(y)|‖_F`, r = y − Σx̂ cut into 512 pieces r_s.

    The weights are the paper's (arXiv 2512.07226, as released); 0 switches a term off.
    """

    waveform: float = 1.0
    chunks: float = 0.05
    spectral: float = 0.1

    def __call__(self, total: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        """Loss [batch] of the sources' sum `total` [batch, time] against `mixture` [batch, time]."""
        residual = mixture - total
        loss: torch.Tensor = self.waveform * torch.linalg.vector_norm(residual, dim=-1)
        if self.chunks:
            pieces = [torch.linalg.vector_norm(piece, dim=-1) for piece in residual.chunk(CHUNKS, dim=-1)]
            loss = loss + self.chunks * torch.stack(pieces).sum(dim=0)
        if self.spectral:
            difference = _magnitude(total) - _magnitude(mixture)
            loss = loss + self.spectral * torch.linalg.matrix_norm(difference)
        return loss


def _magnitude(samples: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(SPECTRAL_N_FFT, device=samples.device, dtype=samples.dtype)
    padded = torch.nn.functional.pad(samples, (0, max(0, SPECTRAL_N_FFT - samples.shape[-1])))
    return torch.stft(padded, SPECTRAL_N_FFT, SPECTRAL_HOP, window=window, return_complex=True).abs()


def clamped_clean(prior: Prior, state: torch.Tensor, sigma: float) -> torch.Tensor:
    """x̂_0 of one source, clamped to [−1, 1], from its variance-preserving state [batch, time] (arXiv 2512.07226)."""
    return prior.denoise(state / math.sqrt(signal_power(sigma)), sigma).clamp(-1, 1)


def posterior_sample(
    state: torch.Tensor, clean: torch.Tensor, sigma: float, sigma_next: float, noise: Noise
) -> torch.Tensor:
    """A draw from q(x_next | x, x̂_0), variance-preserving [batch, source, time]; no noise is drawn for the last step.

    Mean `√ᾱ_n β/(1−ᾱ) x̂_0 + (1−ᾱ_n)√α/(1−ᾱ) x`, variance `β̃ = β(1−ᾱ_n)/(1−ᾱ)`, α = ᾱ/ᾱ_n, β = 1 − α
    (DDPM, arXiv 2006.11239).
    """
    power, power_next = signal_power(sigma), signal_power(sigma_next)
    beta = 1 - power / power_next
    to_clean = math.sqrt(power_next) * beta / (1 - power)
    to_state = (1 - power_next) * math.sqrt(1 - beta) / (1 - power)
    mean = to_clean * clean + to_state * state
    if sigma_next == 0:
        return mean
    return mean + math.sqrt(posterior_variance(sigma, sigma_next)) * noise.draw()


def loss_gradient(
    priors: Sequence[Prior],
    state: torch.Tensor,
    sigma: float,
    mixture: torch.Tensor,
    loss: Loss,
    cleaned: Cleaned = clamped_clean,
) -> tuple[torch.Tensor, torch.Tensor]:
    """x̂_0 and the gradient of the loss with respect to the state, through the networks.

    cleaned: (prior, its state [batch, time], σ) → x̂_0, which owns the state's convention: variance-preserving unless
    another is given.

    The sources meet only in their sum, so the gradient factors: that of the loss with respect to Σ x̂_0, then one
    vector–Jacobian product per source. One source's graph lives at a time, whatever their number; all but the last
    source are evaluated a second time for it.
    """
    last = len(priors) - 1
    with torch.no_grad():
        others = [cleaned(prior, state[:, k], sigma) for k, prior in enumerate(priors[:-1])]
    with torch.enable_grad():
        leaf, traced = _traced(cleaned, priors[last], state[:, last], sigma)
        clean = torch.stack([*others, traced.detach()], dim=1)
        total = clean.sum(dim=1).requires_grad_(True)
        (downhill,) = torch.autograd.grad(loss(total, mixture).sum(), total)
        gradients = [torch.autograd.grad(traced, leaf, downhill)[0]]
        for k in reversed(range(last)):
            leaf, traced = _traced(cleaned, priors[k], state[:, k], sigma)
            gradients.append(torch.autograd.grad(traced, leaf, downhill)[0])
    return clean, torch.stack(gradients[::-1], dim=1)


def _traced(cleaned: Cleaned, prior: Prior, state: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = state.detach().clone().requires_grad_(True)
    return leaf, cleaned(prior, leaf, sigma)


def _towards(gradient: torch.Tensor, length: float) -> torch.Tensor:
    """Each source's gradient scaled to the norm √L · length."""
    norm: torch.Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True) + NORM_FLOOR
    return gradient * (math.sqrt(gradient.shape[-1]) * length) / norm


def dps_guidance(gradient: torch.Tensor, sigma: float, sigma_next: float) -> torch.Tensor:
    """`1.5 · g_k` (DPS, arXiv 2209.14687)."""
    return DPS_SCALE * gradient


def dsg_guidance(gradient: torch.Tensor, sigma: float, sigma_next: float) -> torch.Tensor:
    """`√L · 0.09·√β̃ · g_k/‖g_k‖`: a fixed share of the step's own noise (DSG, arXiv 2402.03201)."""
    return _towards(gradient, SPHERE_SCALE * math.sqrt(posterior_variance(sigma, sigma_next)))


def cqt_diff_guidance(gradient: torch.Tensor, sigma: float, sigma_next: float) -> torch.Tensor:
    """`0.001·√L / (‖g_k‖·√(1−ᾱ) + 1e-6) · g_k` (CQT-Diff, arXiv 2210.15228)."""
    norm: torch.Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    scale = CQT_SCALE * math.sqrt(gradient.shape[-1])
    return gradient * scale / (norm * math.sqrt(1 - signal_power(sigma)) + CQT_FLOOR)


def hybrid_step_size(
    sigma: float, sigma_next: float, sphere_scale: float = SPHERE_SCALE, floor: float = HYBRID_FLOOR
) -> float:
    """`m_t = log(exp(κ·0.09√β̃_t) + exp(κ·0.002))/κ`: a smooth maximum (arXiv 2512.07226).

    sphere_scale: in place of 0.09; floor: in place of 0.002.
    """
    sphere = sphere_scale * math.sqrt(posterior_variance(sigma, sigma_next))
    high, low = max(sphere, floor), min(sphere, floor)
    return high + math.log1p(math.exp(HYBRID_SHARPNESS * (low - high))) / HYBRID_SHARPNESS


def hybrid_guidance(
    gradient: torch.Tensor,
    sigma: float,
    sigma_next: float,
    sphere_scale: float = SPHERE_SCALE,
    floor: float = HYBRID_FLOOR,
) -> torch.Tensor:
    """`√L · m_t · g_k/‖g_k‖`: DSG's length with a floor that keeps the last steps guided (arXiv 2512.07226)."""
    return _towards(gradient, hybrid_step_size(sigma, sigma_next, sphere_scale, floor))


@dataclass(frozen=True)
class Guided(VariancePreserving):
    """A DDPM posterior sample moved against the gradient of a reconstruction loss, variance-preserving.

    x̂_0 clamped to [−1, 1]; `x_next = sample − guidance(g, σ, σ_next)`, g the gradient of the loss with respect to
    x_t, through the network (arXiv 2512.07226). With `hybrid_guidance` it is the paper's solver.
    """

    guidance: Guidance
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)

    def __call__(self, problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        """The step; state [batch, source, time]; no noise is drawn for the last one."""
        clean, gradient = loss_gradient(problem.priors, state, sigma, problem.mixture, self.loss)
        sample = posterior_sample(state, clean, sigma, sigma_next, problem.noise)
        return Step(sample - self.guidance(gradient, sigma, sigma_next), clean, gradient)
