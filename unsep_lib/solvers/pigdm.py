"""ΠGDM: guidance by a Gaussian guess of what the noisy sources say about the mixture."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.guidance import loss_gradient
from unsep_lib.solvers.loop import Problem, Step
from unsep_lib.solvers.projection import ancestral

DATA_VARIANCE = 1.0  # of the clean data in r_t², as in ΠGDM; ours is smaller, and a smaller one overshoots in loud bins


def half_square(total: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """`½‖y − Σx̂‖²` [batch], whose gradient in Σx̂ is the residual with its sign changed."""
    return (mixture - total).square().sum(dim=-1) / 2


def unclamped_clean(prior: Prior, state: torch.Tensor, sigma: float) -> torch.Tensor:
    """x̂_0 of one source as it is, from its variance-exploding state [batch, time]."""
    return prior.denoise(state, sigma)


@dataclass(frozen=True)
class PseudoinverseGuided:
    """x̂_0 moved along the score of a Gaussian p(y | x_σ) (ΠGDM, Song et al., ICLR 2023).

    p(x_0 | x_σ) is taken for N(x̂_0, r²I) with `r² = σ²c/(σ² + c)`, c the data's variance, so that y | x_σ is
    N(Σx̂_0, K r² I) for the pseudoinverse A⁺ = [I … I]ᵀ/K. By Tweedie's formula, variance-exploding:
    `x̂_k + σ²/(K r²) J_kᵀ (y − Σx̂)`, J_k = ∂x̂_k/∂x_k, through the networks. Then an ancestral step, where ΠGDM takes
    one of DDIM. The sources add up to the mixture as far as J_k is the identity at the last level.
    """

    def __call__(self, problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        """The step; its gradient is that of `½‖y − Σx̂‖²` with respect to the state, −J_kᵀ (y − Σx̂)."""
        clean, gradient = loss_gradient(problem.priors, state, sigma, problem.mixture, half_square, unclamped_clean)
        clean = clean - (sigma**2 + DATA_VARIANCE) / (DATA_VARIANCE * problem.sources) * gradient
        return Step(ancestral(problem, state, clean, sigma, sigma_next), clean, gradient)
