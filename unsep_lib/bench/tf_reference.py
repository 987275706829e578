"""The TF attention U-Net written to be read: one operation a line, channels first, nothing fused.

It is the oracle for `unsep_lib.networks.tf_attention`, which computes the same several times faster, and shares
its parameter names. All maps are [batch, channel, frequency, time].
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from unsep_lib.networks import tf_config
from unsep_lib.networks.tf_config import FOLD, FULL_BAND_CHANNELS, FULL_BAND_WIDTH, TfConfig
from unsep_lib.networks.tf_layers import LabelEmbedding, Modulation, TimeEmbedding

FREQUENCY, TIME = 2, 3  # axes of a map


def channel_norm(x: torch.Tensor, axis: int = 1) -> torch.Tensor:
    """`(x − mean)/√(variance + 1e-6)` over the channel axis."""
    variance, mean = torch.var_mean(x, dim=axis, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + tf_config.NORM_EPS)


def gated(x: torch.Tensor) -> torch.Tensor:
    """Value · SiLU(gate), the two halves of the channels [batch, 2·channel, …]."""
    value, gate = x.chunk(2, dim=1)
    return value * functional.silu(gate)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Turn each adjacent pair of channels by its rotary angle: [..., position, channel] (arXiv 2104.09864)."""
    angles = tf_config.rope_angles(x.shape[-2], x.shape[-1], x.device)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


def vectors(modulation: Modulation, conditioning: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The modulation's vectors, each as [batch, channel, 1, 1]."""
    parts: torch.Tensor = modulation(conditioning)
    return parts[..., None, None].unbind(1)


class Attention(nn.Module):
    """Multi-head self-attention with rotary embedding over sequences [batch, position, channel]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, positions, width = x.shape
        qkv = self.to_qkv(x).reshape(batch, positions, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scores = rotate(query) @ rotate(key).transpose(-1, -2) / (width // self.heads) ** 0.5
        mixed = torch.softmax(scores, dim=-1) @ value
        joined: torch.Tensor = self.to_out(mixed.transpose(1, 2).reshape(batch, positions, width))
        return joined


class GatedMlp(nn.Module):
    """1×1 convolution to twice two widths, value · SiLU(gate), 1×1 convolution back."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.fc2 = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mapped: torch.Tensor = self.fc2(gated(self.fc1(x)))
        return mapped


class AxisAttention(nn.Module):
    """Attention along one axis of the map, then a gated MLP; shift, scale and gate come from the conditioning."""

    def __init__(self, config: TfConfig, width: int, axis: int):
        super().__init__()
        self.axis = axis
        self.sup_conv = nn.Conv2d(width, 2 * width, 1)
        self.attn = Attention(width, config.heads)
        self.mlp = GatedMlp(width)
        self.adaLN_modulation = Modulation(config.embedding, width, 6)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = vectors(self.adaLN_modulation, conditioning)
        hidden = gated(self.sup_conv(channel_norm(x)))
        hidden = channel_norm(hidden) * (1 + scale) + shift
        x = x + gate * self.attend(hidden)
        fed: torch.Tensor = self.mlp(channel_norm(x) * (1 + mlp_scale) + mlp_shift)
        return x + mlp_gate * fed

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Every line along `axis` is one sequence."""
        lines = x.movedim(1, -1).movedim(self.axis - 1, -2)
        mixed: torch.Tensor = self.attn(lines.reshape(-1, *lines.shape[-2:])).reshape(lines.shape)
        return mixed.movedim(-2, self.axis - 1).movedim(-1, 1)


class FullBandAttention(nn.Module):
    """Attention along time over all bins at once, then a gated MLP."""

    def __init__(self, config: TfConfig, width: int):
        super().__init__()
        self.sup_conv = nn.Conv2d(FOLD * width, 2 * FULL_BAND_CHANNELS, 1)
        self.recov_conv = nn.Conv2d(FULL_BAND_CHANNELS, FOLD * width, (3, 1), padding=(1, 0))
        self.attn = Attention(FULL_BAND_WIDTH, config.heads)
        self.mlp = GatedMlp(width)
        self.adaLN_modulation_att = Modulation(config.embedding, FULL_BAND_WIDTH, 3)
        self.adaLN_modulation_mlp = Modulation(config.embedding, width, 3)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        shift, scale, gate = self.adaLN_modulation_att(conditioning).split(1, dim=1)
        mlp_shift, mlp_scale, mlp_gate = vectors(self.adaLN_modulation_mlp, conditioning)
        hidden = gated(self.sup_conv(fold(channel_norm(x))))
        frames = hidden.flatten(1, 2).movedim(1, 2)
        frames = gate * self.attn(channel_norm(frames, axis=2) * (1 + scale) + shift)
        hidden = channel_norm(frames, axis=2).movedim(2, 1).unflatten(1, hidden.shape[1:3])
        x = x + unfold(self.recov_conv(hidden))
        fed: torch.Tensor = self.mlp(channel_norm(x) * (1 + mlp_scale) + mlp_shift)
        return x + mlp_gate * fed


def fold(x: torch.Tensor) -> torch.Tensor:
    """Four adjacent bins into channels: [batch, c, 4·j + r, time] → [batch, 4·c + r, j, time]."""
    parted: torch.Tensor = x.unflatten(2, (-1, FOLD))
    return parted.movedim(3, 2).flatten(1, 2)


def unfold(x: torch.Tensor) -> torch.Tensor:
    """Inverse of `fold`."""
    parted: torch.Tensor = x.unflatten(1, (-1, FOLD))
    return parted.movedim(2, 3).flatten(2, 3)


class Block(nn.Module):
    """[latent only: full-band attention →] attention along frequency → attention along time."""

    def __init__(self, config: TfConfig, width: int, full_band: bool = False):
        super().__init__()
        if full_band:
            self.fullatt = FullBandAttention(config, width)
        self.freatt = AxisAttention(config, width, FREQUENCY)
        self.timeatt = AxisAttention(config, width, TIME)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        for part in self.children():
            x = part(x, conditioning)
        return x


class Resampling(nn.Module):
    """3×3 convolution, then channels into 2×2 bins × frames (`up`) or the reverse."""

    def __init__(self, channels_in: int, channels_out: int, up: bool):
        super().__init__()
        self.up = up
        self.body = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shuffle = functional.pixel_shuffle if self.up else functional.pixel_unshuffle
        return shuffle(self.body(x), 2)


class FinalLayer(nn.Module):
    """LayerNorm, modulated by the output's time embedding, then a 3×3 convolution to two channels."""

    def __init__(self, config: TfConfig):
        super().__init__()
        self.out_proj = nn.Conv2d(config.width, 2, 3, padding=1, bias=False)
        self.adaLN_modulation = Modulation(config.embedding, config.width, 2)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        shift, scale = vectors(self.adaLN_modulation, conditioning)
        projected: torch.Tensor = self.out_proj(channel_norm(x) * (1 + scale) + shift)
        return projected


def blocks(config: TfConfig, width: int, count: int, full_band: bool = False) -> nn.ModuleList:
    """The blocks of one level."""
    return nn.ModuleList(Block(config, width, full_band) for _ in range(count))


class TfReferenceNetwork(nn.Module):
    """ε(x_t, time, label) of the paper (arXiv 2512.07226): waveform [batch, time] → noise [batch, time]."""

    def __init__(self, config: TfConfig | None = None):
        super().__init__()
        self.config = config = config or TfConfig()
        width, embedding = config.width, config.embedding
        self.conv_1 = nn.Conv2d(2, width, 3, padding=1, bias=False)
        for level in range(1, 6):
            self.add_module(f"t_embedder_{level}", TimeEmbedding(embedding))
            self.add_module(f"y_embedder_{level}", LabelEmbedding(config.labels, embedding))
        self.t_embedder_out = TimeEmbedding(embedding)
        self.encoder_level_1 = blocks(config, width, tf_config.ENCODER_BLOCKS[0])
        self.down1_2 = Resampling(width, width // 2, up=False)
        self.encoder_level_2 = blocks(config, 2 * width, tf_config.ENCODER_BLOCKS[1])
        self.down2_3 = Resampling(2 * width, width, up=False)
        self.latent = blocks(config, 4 * width, tf_config.LATENT_BLOCKS, full_band=True)
        self.up3_2 = Resampling(4 * width, 8 * width, up=True)
        self.reduce_chan_level2 = nn.Conv2d(4 * width, 2 * width, 1)
        self.decoder_level_2 = blocks(config, 2 * width, tf_config.DECODER_BLOCKS[0])
        self.up2_1 = Resampling(2 * width, 4 * width, up=True)
        self.reduce_chan_level1 = nn.Conv2d(2 * width, width, 1)
        self.decoder_level_1 = blocks(config, width, tf_config.DECODER_BLOCKS[1])
        self.out_conv = nn.Conv2d(width, width, 3, padding=1)
        self.final_layer = FinalLayer(config)

    def conditioning(self, level: int, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Vector [batch, embedding] of one level (1 … 5, in the order they are passed through)."""
        timed: torch.Tensor = getattr(self, f"t_embedder_{level}")(time)
        labelled: torch.Tensor = getattr(self, f"y_embedder_{level}")(label)
        return timed + labelled

    def forward(self, samples: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """ε for `samples` [batch, time], integer `time` [batch] (0 … 999) and `label` [batch].

        Raises:
            ValueError: shapes or labels that do not fit.
        """
        tf_config.check_input(samples, time, label, self.config)
        one, two, three, four, five = (self.conditioning(level, time, label) for level in range(1, 6))
        fine = run(self.encoder_level_1, self.conv_1(tf_config.spectrum(samples).movedim(-1, 1)), one)
        middle = run(self.encoder_level_2, self.down1_2(fine), two)
        x = run(self.latent, self.down2_3(middle), three)
        x = run(self.decoder_level_2, self.reduce_chan_level2(torch.cat([self.up3_2(x), middle], dim=1)), four)
        x = run(self.decoder_level_1, self.reduce_chan_level1(torch.cat([self.up2_1(x), fine], dim=1)), five)
        parts = self.final_layer(self.out_conv(x), self.t_embedder_out(time))
        return tf_config.waveform(parts.movedim(1, -1).contiguous(), samples.shape[-1])


def run(level: nn.ModuleList, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
    """Pass the map through every block of a level."""
    for block in level:
        x = block(x, conditioning)
    return x
