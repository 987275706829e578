"""Shape, transform, checkpoint layout and formula weights of both TF attention U-Nets (arXiv 2512.07226)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

N_FFT, HOP = 510, 255  # samples; 256 bins, √Hann window (arXiv 2512.07226, released configuration)
FRAME_MULTIPLE = 4  # two halvings of time
NORM_EPS = 1e-6  # of every LayerNorm
ROPE_THETA = 10_000.0  # base of the rotary embedding (arXiv 2104.09864)
FOLD = 4  # adjacent bins that full-band attention folds into channels
FULL_BAND_CHANNELS = 16  # channels a folded bin keeps in full-band attention
FULL_BAND_WIDTH = 256  # those 16 channels × the latent's 64/4 bins
ENCODER_BLOCKS, LATENT_BLOCKS, DECODER_BLOCKS = (2, 4), 8, (4, 2)  # in the order they are passed through


@dataclass(frozen=True)
class TfConfig:
    """Shape of a TF attention U-Net; the defaults are the released speech prior's (37 212 016 parameters).

    width: channels of the finest level; embedding: width of the conditioning; labels: classes, not counting the
    row for "no class".

    Raises:
        ValueError: a width that the heads cannot share in pairs of channels.
    """

    width: int = 72
    embedding: int = 128
    heads: int = 4
    labels: int = 1

    def __post_init__(self) -> None:
        pairs = 2 * self.heads
        if self.width < 1 or self.width % pairs:
            raise ValueError(f"expected a width that is a multiple of {pairs} for {self.heads} heads, got {self.width}")


def config_of(shapes: Mapping[str, tuple[int, ...]], heads: int = 4) -> TfConfig:
    """The configuration that a checkpoint's shapes {name: shape} belong to; the number of heads is given.

    Raises:
        ValueError: a tensor that decides it is missing, or has the shape of no such network.
    """
    rows, embedding = _shape(shapes, "y_embedder_1.embedding_table.weight", 2)
    width = _shape(shapes, "out_conv.weight", 4)[0]
    if rows < 2:
        raise ValueError(f"expected a label embedding of at least 2 rows, one class and no class, got {rows}")
    return TfConfig(width, embedding, heads, rows - 1)


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"expected a tensor {name}, got none")
    if len(shapes[name]) != dimensions:
        raise ValueError(f"expected {name} with {dimensions} dimensions, got shape {shapes[name]}")
    return tuple(shapes[name])


def spectrum(samples: torch.Tensor) -> torch.Tensor:
    """Real and imaginary part of the STFT of `samples` [batch, time], as [batch, bins, frames, 2].

    Whole hops of zeros are added at the end so that the `time//255 + 1` frames become a multiple of four.
    """
    frames = samples.shape[-1] // HOP + 1
    padded = functional.pad(samples, (0, -frames % FRAME_MULTIPLE * HOP))
    return torch.view_as_real(torch.stft(padded, N_FFT, HOP, window=_window(samples), return_complex=True))


def waveform(parts: torch.Tensor, length: int) -> torch.Tensor:
    """Inverse of `spectrum`, cut to `length` samples: [batch, bins, frames, 2] → [batch, time]."""
    return torch.istft(torch.view_as_complex(parts), N_FFT, HOP, window=_window(parts), length=length)


def _window(like: torch.Tensor) -> torch.Tensor:
    return torch.hann_window(N_FFT, device=like.device, dtype=like.dtype).sqrt()


def rope_angles(positions: int, head_width: int, device: torch.device) -> torch.Tensor:
    """Rotary angles `p · θ^(−2i/width)` (arXiv 2104.09864): float32 [positions, head_width/2]."""
    exponent = torch.arange(0, head_width, 2, dtype=torch.float32, device=device) / head_width
    return torch.arange(positions, dtype=torch.float32, device=device)[:, None] * ROPE_THETA**-exponent


def check_input(samples: torch.Tensor, time: torch.Tensor, label: torch.Tensor, config: TfConfig) -> None:
    """Raise ValueError unless samples [batch, time ≥ 1], time [batch] and label [batch] in 0 … labels fit."""
    if samples.ndim != 2 or samples.shape[-1] < 1:
        raise ValueError(f"expected samples [batch, time] with at least one sample, got shape {tuple(samples.shape)}")
    for name, value in (("time", time), ("label", label)):
        if value.shape != samples.shape[:1]:
            raise ValueError(f"expected {name} [{len(samples)}], got shape {tuple(value.shape)}")
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) <= config.labels:
        raise ValueError(f"expected labels from 0 to {config.labels}, got {label.tolist()}")


BIAS_SCALE = 0.1  # of the formula's one-dimensional weights


def formula_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Float64 weights from a formula: N(0, 1) seeded by crc32 of the name, ·0.1 if 1-D, else /√(fan-in)."""

    def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        return torch.from_numpy(values * BIAS_SCALE if len(shape) == 1 else values / np.sqrt(np.prod(shape[1:])))

    return {name: weight(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()}
