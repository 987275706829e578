"""The TF attention U-Net of the paper's priors, laid out for speed and little memory (arXiv 2512.07226).

`unsep_lib.bench.tf_reference` is the same network written to be read. This one keeps every map as
[batch, frequency, time, channel], so that 1×1 convolutions are matrix products and attention's lines are views; it
passes a slab of lines through a whole layer while it lies in the cache; and for the gradient it keeps only each
layer's input.
"""

from __future__ import annotations

import torch
from torch import nn

from unsep_lib.networks import tf_config
from unsep_lib.networks.tf_config import TfConfig
from unsep_lib.networks.tf_layers import (
    Attention,
    Block,
    FinalLayer,
    GatedMlp,
    LabelEmbedding,
    Resampling,
    TimeEmbedding,
    convolve,
    reduce,
)


class TfAttentionNetwork(nn.Module):
    """ε(x_t, time, label) of the paper (arXiv 2512.07226): waveform [batch, time] → noise [batch, time].

    Weights are frozen: it separates, it does not train. `recompute` bounds the memory of a gradient by
    computing each layer twice; without it one second of audio takes about 15 % less time and 2.5 times the memory.
    """

    def __init__(self, config: TfConfig | None = None, recompute: bool = True):
        super().__init__()
        self.config = config = config or TfConfig()
        self.recompute = recompute
        width, embedding = config.width, config.embedding
        self.conv_1 = nn.Conv2d(2, width, 3, padding=1, bias=False)
        for level in range(1, 6):
            self.add_module(f"t_embedder_{level}", TimeEmbedding(embedding))
            self.add_module(f"y_embedder_{level}", LabelEmbedding(config.labels, embedding))
        self.t_embedder_out = TimeEmbedding(embedding)
        self.encoder_level_1 = self._blocks(1, tf_config.ENCODER_BLOCKS[0])
        self.down1_2 = Resampling(width, width // 2, up=False)
        self.encoder_level_2 = self._blocks(2, tf_config.ENCODER_BLOCKS[1])
        self.down2_3 = Resampling(2 * width, width, up=False)
        self.latent = self._blocks(4, tf_config.LATENT_BLOCKS, full_band=True)
        self.up3_2 = Resampling(4 * width, 8 * width, up=True)
        self.reduce_chan_level2 = nn.Conv2d(4 * width, 2 * width, 1)
        self.decoder_level_2 = self._blocks(2, tf_config.DECODER_BLOCKS[0])
        self.up2_1 = Resampling(2 * width, 4 * width, up=True)
        self.reduce_chan_level1 = nn.Conv2d(2 * width, width, 1)
        self.decoder_level_1 = self._blocks(1, tf_config.DECODER_BLOCKS[1])
        self.out_conv = nn.Conv2d(width, width, 3, padding=1)
        self.final_layer = FinalLayer(config)
        self.requires_grad_(False)

    def _blocks(self, widths: int, count: int, full_band: bool = False) -> nn.ModuleList:
        return nn.ModuleList(Block(self.config, widths * self.config.width, full_band) for _ in range(count))

    def bfloat16_products(self) -> TfAttentionNetwork:
        """Round the blocks' matrices to bfloat16 and multiply in it; all else stays as it is. Returns itself."""
        for block in (*self.encoder_level_1, *self.encoder_level_2, *self.latent, *self.decoder_level_2,
                      *self.decoder_level_1):  # fmt: skip
            for part in block.children():
                part.sup_conv.bfloat16()
            for module in block.modules():
                if isinstance(module, (Attention, GatedMlp)):
                    module.bfloat16()
        return self

    def forward(self, samples: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """ε for `samples` [batch, time], integer `time` [batch] (0 … 999) and `label` [batch].

        Raises:
            ValueError: shapes or labels that do not fit.
        """
        tf_config.check_input(samples, time, label, self.config)
        one, two, three, four, five = (self._conditioning(level, time, label) for level in range(1, 6))
        fine = self._run(self.encoder_level_1, convolve(tf_config.spectrum(samples), self.conv_1), one)
        middle = self._run(self.encoder_level_2, self.down1_2(fine), two)
        x = self._run(self.latent, self.down2_3(middle), three)
        x = self._run(self.decoder_level_2, reduce(self.up3_2(x), middle, self.reduce_chan_level2), four)
        x = self._run(self.decoder_level_1, reduce(self.up2_1(x), fine, self.reduce_chan_level1), five)
        parts = self.final_layer(convolve(x, self.out_conv), self.t_embedder_out(time))
        return tf_config.waveform(parts, samples.shape[-1])

    def _conditioning(self, level: int, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        timed: torch.Tensor = getattr(self, f"t_embedder_{level}")(time)
        labelled: torch.Tensor = getattr(self, f"y_embedder_{level}")(label)
        return timed + labelled

    def _run(self, level: nn.ModuleList, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        for block in level:
            x = block(x, conditioning, self.recompute)
        return x
