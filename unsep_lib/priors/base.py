"""Priors: what one kind of source sounds like, as a denoiser E[x_0 | x_0 + σ n]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Self, cast

import torch


class Identity(NamedTuple):
    """What a prior answers for: sources of equal identities are interchangeable.

    network: equal for priors that share one; condition: the label and the example that it was given.
    """

    network: Hashable
    condition: Hashable = None


def matched(likeness: torch.Tensor, groups: Sequence[object]) -> list[int]:
    """For each source (row) the index of the source (column) that it is paired with, of the largest sum of `likeness`.

    likeness [source, source]; only sources of equal groups, such as equal identities, change places.
    """
    order = list(range(len(groups)))
    for name in set(groups):
        group = [index for index, other in enumerate(groups) if other == name]
        if len(group) == 1:
            continue
        from scipy.optimize import linear_sum_assignment  # a third of a second that only such sources need

        rows, columns = linear_sum_assignment(-likeness[group][:, group].cpu().double().numpy())
        for row, column in zip(rows, columns, strict=True):
            order[group[row]] = group[column]
    return order


class Prior(ABC):
    """A denoiser for one kind of source.

    sigma_min, sigma_max: the noise levels it answers for; grid: the levels it was trained on, if few; labels: the
    classes that it can be asked for.
    """

    sigma_min: float
    sigma_max: float
    grid: torch.Tensor | None = None
    labels: tuple[str, ...] = ()

    @abstractmethod
    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x_0 | x_0 + σ n = noisy] for `noisy` [batch, time]; raises ValueError for σ out of range."""

    def with_condition(self, *, label: str | None = None, example: torch.Tensor | None = None) -> Self:
        """The same prior (weights shared) for one class, or for the source that sounds in `example` [time] at 16 kHz.

        None is any: what the prior was conditioned on before does not count.

        Raises:
            ValueError: no such label, an example that is silent, or a prior that takes no examples.
        """
        if label is not None and label not in self.labels:
            raise ValueError(f"unknown label {label!r}: this prior's labels are {', '.join(self.labels) or 'none'}")
        return self.conditioned(None if label is None else self.labels.index(label), example)

    def conditioned(self, index: int | None, example: torch.Tensor | None) -> Self:
        """What `with_condition` returns, by the label's index: for a prior with labels or examples to override.

        Raises:
            ValueError: an example that is silent, or a prior that takes no examples.
        """
        if example is not None:
            raise ValueError("this prior takes no examples: it was trained without them (`unsep train --examples`)")
        return self

    @property
    def identity(self) -> Identity:
        """Equal for priors whose sources can be confused."""
        return Identity(id(self))


def check_sigma(prior: Prior, sigma: float) -> None:
    """Raise ValueError unless σ lies in the prior's range (to float32 rounding)."""
    tolerance = 1e-5 * prior.sigma_max
    if not prior.sigma_min - tolerance <= sigma <= prior.sigma_max + tolerance:
        raise ValueError(f"expected a noise level from {prior.sigma_min:g} to {prior.sigma_max:g}, got σ = {sigma:g}")


class GaussianPrior(Prior):
    """A stationary Gaussian source: its exact denoiser, a Wiener filter on the whole clip's DFT.

    power [time//2 + 1]: variance of each bin of the orthonormal real DFT. `D(x, σ) = F⁻¹ P/(P + σ²) F x`.
    """

    sigma_min, sigma_max = 0.0, float("inf")

    def __init__(self, power: torch.Tensor):
        self.power = power

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """Posterior mean for `noisy` [batch, time]; raises ValueError for another length than the prior's."""
        spectrum = torch.fft.rfft(noisy, norm="ortho")
        if spectrum.shape[-1] != len(self.power):
            raise ValueError(f"expected a clip of {len(self.power)} DFT bins, got {spectrum.shape[-1]}")
        gain = self.power / (self.power + sigma**2)
        return cast(torch.Tensor, torch.fft.irfft(gain * spectrum, n=noisy.shape[-1], norm="ortho"))
