"""Gaussian sources, whose posterior is known: what a solver should sample, and how far from it each one is.

Stationary Gaussian priors are diagonal in the orthonormal DFT of the whole clip, so every bin is a problem of K
variables. With prior variances C_k and mixture Y a bin's posterior is `mean_k = C_k/ΣC · Y`,
`Cov_kl = C_k δ_kl − C_k C_l/ΣC`, singular along the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from unsep_lib.priors.base import GaussianPrior, Prior
from unsep_lib.solvers import Problem, Sampler, Solver, Step
from unsep_lib.solvers.projection import ancestral

POWER_FLOOR = 1e-30  # keeps 0/0 out of bins where no source has power
EXAMPLE_RMS = 0.08  # of each source: −22 dBFS, inside the paper's −25 … −20, far from the clamp at 1
BUMP_WIDTH = 0.5  # standard deviation of a source's spectrum, in distances between two sources'
BUMP_FLOOR = 1e-3  # its least power relative to its peak

Shares = Callable[[torch.Tensor, float], torch.Tensor]


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of K sources of `length` samples, in each bin of the orthonormal real DFT.

    mean [bin, source], complex; covariance [bin, source, source], `E (X − mean)(X − mean)ᴴ`, real.
    """

    length: int
    mean: torch.Tensor
    covariance: torch.Tensor

    def waveforms(self) -> torch.Tensor:
        """The mean as waveforms [source, time]."""
        return _waves(self.mean.T, self.length)

    def variance(self) -> torch.Tensor:
        """Variance of a sample of each source [source], averaged over time: the mean over all DFT bins."""
        twice = torch.full((len(self.covariance),), 2.0, dtype=torch.float64)
        twice[0] = 1
        if self.length % 2 == 0:
            twice[-1] = 1
        return (twice[:, None] * self.covariance.diagonal(dim1=-2, dim2=-1)).sum(dim=0) / self.length


def posterior(priors: Sequence[GaussianPrior], mixture: torch.Tensor) -> Moments:
    """The exact posterior of the sources given `mixture` [time]."""
    powers = _powers(priors)
    shares = powers / powers.sum(dim=1, keepdim=True).clamp_min(POWER_FLOOR)
    covariance = torch.diag_embed(powers) - powers[:, :, None] * shares[:, None, :]
    return Moments(len(mixture), shares * _spectrum(mixture)[:, None], covariance)


def sample_moments(sources: torch.Tensor) -> Moments:
    """Mean and covariance over independent samples `sources` [sample, source, time] (at least two)."""
    spectra = torch.fft.rfft(sources.double(), norm="ortho")
    mean = spectra.mean(dim=0)
    centred = spectra - mean
    covariance = torch.einsum("nkf,nlf->fkl", centred, centred.conj()).real / (len(sources) - 1)
    return Moments(sources.shape[-1], mean.T, covariance)


@dataclass(frozen=True)
class AffineStep:
    """A step that is affine in the state of each bin: `X ← A X + b + Z`, Z normal, its covariance `noise` in any bin.

    matrix A [bin, to, from]; offset b [bin, to]; noise [to, to].
    """

    matrix: torch.Tensor
    offset: torch.Tensor
    noise: torch.Tensor


def propagate(start: Moments, steps: Iterable[AffineStep]) -> Moments:
    """Moments after affine steps: `mean ← A mean + b`, `Cov ← A Cov Aᵀ + noise`, bin by bin."""
    mean, covariance = start.mean, start.covariance
    for step in steps:
        mean = (step.matrix.to(mean.dtype) @ mean[..., None])[..., 0] + step.offset
        covariance = step.matrix @ covariance @ step.matrix.mT + step.noise
    return Moments(start.length, mean, covariance)


def equal_shares(powers: torch.Tensor, sigma: float) -> torch.Tensor:
    """1/K of the residual to each source, for variances `powers` [bin, source]."""
    return torch.full_like(powers, 1 / powers.shape[1])


def exact_shares(powers: torch.Tensor, sigma: float) -> torch.Tensor:
    """The shares [bin, source] that make the projection exact: `v_k/Σv`, `v_k = C_k σ²/(C_k + σ²)`.

    v_k is what the noisy state leaves unknown of source k. The shares are equal for small σ and Wiener's, C_k/ΣC,
    for large σ.
    """
    unknown = powers / (powers + sigma**2)
    return unknown / unknown.sum(dim=1, keepdim=True).clamp_min(POWER_FLOOR)


def noisy_mixture_moments(mixture: torch.Tensor, sources: int, sigma: float) -> Moments:
    """Moments of the start `noisy_mixture` for a mixture [time]: mean Y/K, covariance σ² I."""
    mean = _spectrum(mixture)[:, None].expand(-1, sources) / sources
    covariance = sigma**2 * torch.eye(sources, dtype=torch.float64).expand(len(mean), -1, -1)
    return Moments(len(mixture), mean, covariance)


def projected_moments(
    priors: Sequence[GaussianPrior], mixture: torch.Tensor, grid: Sequence[float], shares: Shares
) -> Moments:
    """What projection with the given shares samples on `grid` from a noisy mixture [time], in closed form."""
    start = noisy_mixture_moments(mixture, len(priors), grid[0])
    return propagate(start, projection_steps(_powers(priors), mixture, grid, shares))


def projection_steps(
    powers: torch.Tensor, mixture: torch.Tensor, grid: Sequence[float], shares: Shares
) -> Iterator[AffineStep]:
    """The steps of `Projection` for Gaussian priors of variance `powers` [bin, source].

    With the denoiser D = diag C/(C + σ²), shares w and ρ = σ_n²/σ²: `X̂ = (I − w1ᵀ)D X + w Y`,
    `X ← (1 − ρ)X̂ + ρX + σ_n √(1 − ρ) Z`.
    """
    identity = torch.eye(powers.shape[1], dtype=torch.float64)
    for sigma, sigma_next in pairwise(grid):
        share, ratio = shares(powers, sigma), (sigma_next / sigma) ** 2
        denoiser = torch.diag_embed(powers / (powers + sigma**2))
        projected = (identity - share[:, :, None]) @ denoiser
        matrix = (1 - ratio) * projected + ratio * identity
        offset = (1 - ratio) * share * _spectrum(mixture)[:, None]
        yield AffineStep(matrix, offset, sigma_next**2 * (1 - ratio) * identity)


def exact_posterior(problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
    """A rule: Gaussian priors' exact denoiser `E[x_0 | x_σ, y]`, then an ancestral step; only steps are approximate.

    The residual is shared by what is unknown of each source, `exact_shares`, bin by bin.

    Raises:
        ValueError: a prior that is not Gaussian.
    """
    clean = problem.denoise(state, sigma)
    residual = torch.fft.rfft(problem.residual(clean), norm="ortho")[:, None]
    shares = exact_shares(_powers(problem.priors), sigma).T.to(clean)
    clean = clean + _waves(shares * residual, clean.shape[-1])
    return Step(ancestral(problem, state, clean, sigma, sigma_next), clean)


EXACT = Sampler("exact", exact_posterior, steps=200, summary="the loop with Gaussian priors' exact posterior denoiser")


@dataclass(frozen=True)
class GaussianExample:
    """Gaussian priors, sources drawn from them [source, time] and their mixture [time]."""

    priors: list[GaussianPrior]
    sources: torch.Tensor
    mixture: torch.Tensor


def gaussian_example(sources: int = 2, length: int = 512, seed: int = 0) -> GaussianExample:
    """Sources of one bump each, side by side in frequency and overlapping, RMS 0.08, drawn with `seed`.

    Raises:
        ValueError: fewer than one source or sample.
    """
    if sources < 1 or length < 1:
        raise ValueError(f"expected at least one source and one sample, got {sources} and {length}")
    bins = torch.linspace(0, sources, length // 2 + 1, dtype=torch.float64)
    centres = torch.arange(sources) + 0.5
    powers = BUMP_FLOOR + torch.exp(-(((bins - centres[:, None]) / BUMP_WIDTH) ** 2) / 2)
    spread = Moments(length, powers.T, torch.diag_embed(powers.T)).variance()
    powers = powers * (EXAMPLE_RMS**2 / spread)[:, None]
    white = torch.randn(sources, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    clean = _waves(powers.sqrt() * torch.fft.rfft(white, norm="ortho"), length).float()
    return GaussianExample([GaussianPrior(power.float()) for power in powers], clean, clean.sum(dim=0))


@dataclass(frozen=True)
class Deviation:
    """How far a solver's samples are from the posterior.

    bias: `‖mean over seeds − posterior mean‖/‖posterior mean‖`; bias_floor: what exact samples would show with as
    many seeds; spread: standard deviation relative to the posterior's, 1 if right.
    """

    solver: str
    steps: int
    bias: float
    bias_floor: float
    spread: float


def deviations(
    solvers: Iterable[Solver], example: GaussianExample, steps: Sequence[int], seeds: int = 64
) -> list[Deviation]:
    """A row for each solver and number of steps: its deviation over seeds 0 … seeds − 1, run as one batch.

    Raises:
        ValueError: fewer than two seeds, or a number of steps a solver does not allow.
    """
    if seeds < 2:
        raise ValueError(f"expected at least 2 seeds to tell a spread, got {seeds}")
    truth = posterior(example.priors, example.mixture)
    size = truth.waveforms().norm()
    batch = example.mixture.expand(seeds, -1)
    floor = (truth.variance().sum() * truth.length / seeds).sqrt() / size
    rows = []
    for solver in solvers:
        for count in steps:
            found = sample_moments(solver.run(batch, example.priors, count, range(seeds)))
            bias = (found.waveforms() - truth.waveforms()).norm() / size
            spread = (found.variance().sum() / truth.variance().sum()).sqrt()
            rows.append(Deviation(solver.name, count, bias.item(), floor.item(), spread.item()))
    return rows


def _powers(priors: Sequence[Prior]) -> torch.Tensor:
    powers = [prior.power for prior in priors if isinstance(prior, GaussianPrior)]
    if len(powers) < len(priors):
        raise ValueError("expected Gaussian priors alone, got another one")
    return torch.stack(powers, dim=1).double()


def _spectrum(mixture: torch.Tensor) -> torch.Tensor:
    spectrum: torch.Tensor = torch.fft.rfft(mixture.double(), norm="ortho")
    return spectrum


def _waves(spectra: torch.Tensor, length: int) -> torch.Tensor:
    waves: torch.Tensor = torch.fft.irfft(spectra, n=length, norm="ortho")
    return waves
