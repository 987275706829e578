"""The supervised control: torchaudio's Conv-TasNet that parts a voice from another sound, its size and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torchaudio.models import ConvTasNet

from unsep_lib.priors.checkpoints import save_weights


@dataclass(frozen=True)
class ControlSize:
    """Conv-TasNet's hyperparameters (arXiv 1809.07454, table I: L, N, B, H, P, X and R in this order).

    The published best has 5 million parameters on 8 kHz; this is the size that won at equal minutes on one thread.
    """

    kernel: int = 64
    filters: int = 256
    bottleneck: int = 128
    hidden: int = 256
    block_kernel: int = 3
    blocks: int = 7
    repeats: int = 1


FORMAT = "unsep-conv-tasnet-1"
SHIPPED = Path(__file__).parent / "conv_tasnet.safetensors"
SOURCES = ("speech", "sound")  # which output is which: the priors' names
LEVEL_FLOOR = 1e-8  # added to a mixture's RMS, so that silence is not divided by zero


class Control(torch.nn.Module):
    """Conv-TasNet (arXiv 1809.07454) with one output for the voice and one for the other sound."""

    def __init__(self, size: ControlSize):
        super().__init__()
        self.size = size
        self.network = ConvTasNet(
            num_sources=len(SOURCES), enc_kernel_size=size.kernel, enc_num_feats=size.filters,
            msk_kernel_size=size.block_kernel, msk_num_feats=size.bottleneck, msk_num_hidden_feats=size.hidden,
            msk_num_layers=size.blocks, msk_num_stacks=size.repeats, msk_activate="relu",
        )  # fmt: skip

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Estimates [batch, source, time] of mixtures [batch, time] at 16 kHz, each seen at an RMS of one."""
        level = mixture.square().mean(dim=-1, keepdim=True).sqrt() + LEVEL_FLOOR
        estimates: torch.Tensor = self.network((mixture / level)[:, None]) * level[:, None]
        return estimates

    @torch.no_grad()
    def separate(self, mixture: torch.Tensor) -> torch.Tensor:
        """The voice and the other sound [source, time] in `mixture` [time] at 16 kHz."""
        estimates: torch.Tensor = self(mixture[None])[0]
        return estimates


def save_control(path: Path | str, control: Control, card: Mapping[str, object]) -> None:
    """Write weights and card (JSON-serialisable) as one safetensors file, atomically."""
    save_weights(path, control, {**card, "format": FORMAT, "size": asdict(control.size)})


def find_control(path: Path | str) -> Path:
    """`path`, absolute.

    Raises:
        ValueError: no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such control file")
    return Path(path).resolve()


def load_control(path: Path | str = SHIPPED) -> Control:
    """The control in a file, ready to separate.

    Raises:
        ValueError: the file is missing or holds no such weights.
    """
    find_control(path)
    try:
        with safe_open(path, framework="pt") as archive:
            card = json.loads((archive.metadata() or {})["card"])
            if card["format"] != FORMAT:
                raise ValueError(f"expected format {FORMAT}, got {card['format']!r}")
            control = Control(ControlSize(**card["size"]))
            control.load_state_dict({name: archive.get_tensor(name) for name in archive.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: not a control saved by unsep ({' '.join(str(error).split())})") from error
    return control.eval().requires_grad_(False)
