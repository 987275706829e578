"""Weights from a formula: random, the same on every machine, and trained on nothing."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import nn

BIAS_SCALE = 0.1  # of the formula's one-dimensional weights


def formula_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Float64 weights from a formula: N(0, 1) seeded by crc32 of the name, ·0.1 if 1-D, else /√(fan-in)."""

    def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        return torch.from_numpy(values * BIAS_SCALE if len(shape) == 1 else values / np.sqrt(np.prod(shape[1:])))

    return {name: weight(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()}
