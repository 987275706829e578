"""Label contrast: classifier-free guidance with the mixture's other labels of the same prior as negatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unsep_lib.priors.base import Identity, Prior

CONTRAST = 1.0  # weight w; nine embedded mixtures, seed 0: 0.6 dB above 0; 3 in every round: 4 to 5 dB below 0


class ContrastedPrior(Prior):
    """`D + w (D − mean of the others' D)`: the denoiser of `p(x|c)^(1+w) / Π p(x|o)^(w/n)` at each noise level.

    Classifier-free guidance (arXiv 2207.12598) with the labels that compete in the mixture in place of no label.
    """

    def __init__(self, prior: Prior, others: Sequence[Prior], weight: float = CONTRAST):
        self.prior, self.others, self.weight = prior, tuple(others), weight
        self.sigma_min, self.sigma_max, self.grid = prior.sigma_min, prior.sigma_max, prior.grid

    @property
    def identity(self) -> Identity:
        """The prior's own."""
        return self.prior.identity

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """The contrasted estimate for `noisy` [batch, time]; raises ValueError for σ out of the prior's range."""
        own = self.prior.denoise(noisy, sigma)
        theirs = torch.stack([other.denoise(noisy, sigma) for other in self.others]).mean(dim=0)
        return own + self.weight * (own - theirs)


def contrasted(priors: Sequence[Prior]) -> list[Prior]:
    """Each prior with those as negatives that share its network under another condition; the rest as they are."""
    rivals = [[other for other in priors if _compete(prior.identity, other.identity)] for prior in priors]
    return [ContrastedPrior(prior, others) if others else prior for prior, others in zip(priors, rivals, strict=True)]


def _compete(own: Identity, other: Identity) -> bool:
    return own.network == other.network and own.condition != other.condition
