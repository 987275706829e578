"""A trained network as a denoiser at any noise level of its range (EDM, arXiv 2206.00364)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from unsep_lib.networks.unet import CompactNetwork
from unsep_lib.priors.base import Identity, Prior, check_sigma
from unsep_lib.stft import inverse_stft, stft

BFLOAT16_CAPABILITIES = ("amx_bf16", "avx512_bf16")  # Intel since Sapphire Rapids, AMD since Zen 4
SPECTRUM_FLOOR = 1e-3  # least average magnitude of a bin, so that none is divided by zero
SIGMA_MIN, SIGMA_MAX = 0.005, 3.0  # noise levels the compact priors are trained on (full scale = 1)


def fastest_precision(device: str | torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies in it (half the time by AMX, two thirds by AVX-512), else float32.

    Where ATEN_CPU_CAPABILITY keeps torch from AVX-512, its attention cannot compute in bfloat16.
    """
    usable = torch.device(device).type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    capable = torch.cpu.get_capabilities() if usable else {}
    return torch.bfloat16 if any(capable.get(name) for name in BFLOAT16_CAPABILITIES) else torch.float32


class EdmPrior(nn.Module, Prior):
    """A trained network as a denoiser at any σ of its range, preconditioned per frequency.

    On the STFT X of the noisy clip, with s_f the training data's RMS in bin f,
    `D = s_f²/(s_f²+σ²)·X + σ s_f/√(s_f²+σ²)·F(X/√(s_f²+σ²), σ, label, example)`:
    EDM's preconditioning (arXiv 2206.00364) with one data scale per bin. With F = 0 it is the Wiener
    denoiser of the average spectrum. precision: what `denoise` multiplies matrices in; all else is float32.
    """

    spectrum: torch.Tensor
    precision: torch.dtype = torch.float32
    sigma_min, sigma_max = SIGMA_MIN, SIGMA_MAX

    def __init__(self, network: CompactNetwork, spectrum: torch.Tensor, labels: Sequence[str] = ()):
        super().__init__()
        self.network = network
        self.register_buffer("spectrum", spectrum.clamp_min(SPECTRUM_FLOOR))
        self.labels = tuple(labels)
        self.label_index = len(self.labels)
        self.example: torch.Tensor | None = None  # [1, number], what `encode` makes of one

    @torch.no_grad()
    def conditioned(self, index: int | None, example: torch.Tensor | None) -> Self:
        """The same prior (weights shared) under a label and an example [time] at 16 kHz, each None for any.

        Raises:
            ValueError: nothing sounds in the example, or the prior takes none.
        """
        prior = copy.copy(self)
        prior.label_index, prior.example = len(self.labels) if index is None else index, None
        if example is not None:
            if example.ndim != 1 or not example.any() or not example.isfinite().all():
                raise ValueError(f"expected an example [time] in which the source sounds, got {tuple(example.shape)}")
            prior.example = self.encode(example[None].to(self.spectrum))
        return prior

    @property
    def identity(self) -> Identity:
        """The network, the label, and the code of the example."""
        example = None if self.example is None else tuple(self.example.flatten().tolist())
        return Identity(id(self.network), (self.label_index, example))

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x_0 | noisy] for `noisy` [batch, time] at one noise level and this prior's label."""
        check_sigma(self, sigma)
        sigmas = torch.full((len(noisy),), float(sigma), device=noisy.device)
        labels = torch.full((len(noisy),), self.label_index, device=noisy.device)
        with torch.autocast(noisy.device.type, self.precision, enabled=self.precision != torch.float32):
            example = None if self.example is None else self.example.to(noisy.device).expand(len(noisy), -1)
            clean: torch.Tensor = self(noisy, sigmas, labels, example)
        return clean

    def encode(self, example: torch.Tensor) -> torch.Tensor:
        """Codes [batch, number] of examples [batch, time] at 16 kHz, of any level and length.

        Raises:
            ValueError: this prior takes no examples.
        """
        encoder = self.network.example_encoder
        if encoder is None:
            raise ValueError("this prior takes no examples: it was trained without them (`unsep train --examples`)")
        vector: torch.Tensor = encoder(stft(example))
        return vector

    def forward(
        self, noisy: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor, example: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Denoise `noisy` [batch, time], each row at its own `sigma` [batch] and `label` index [batch].

        example [batch, number]: what `encode` makes of each row's example; None, or zeros in a row, for no example.
        """
        spectrum = stft(noisy)
        variance = self.spectrum[:, None] ** 2
        noise = sigma[:, None, None] ** 2
        scale = (variance + noise).sqrt()
        residual = self.network(spectrum / scale, sigma, label, example)
        clean = variance / scale**2 * spectrum + noise.sqrt() * variance.sqrt() / scale * residual
        return inverse_stft(clean, noisy.shape[-1])
