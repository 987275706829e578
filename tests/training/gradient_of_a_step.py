"""Run one training step, in the processes that launched this, and keep its gradients: MANIFEST BATCH FILE."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from unsep_lib.data.clips import read_manifest
from unsep_lib.training import TrainingConfig, train_prior
from unsep_lib.training.distributed import launched

manifest, batch, file = sys.argv[1:]
clip_grad_norm = torch.nn.utils.clip_grad_norm_


def kept(parameters, most, norm_type=2):
    parameters = list(parameters)
    if launched().first:
        save_file({str(number): parameter.grad for number, parameter in enumerate(parameters)}, file)
    return clip_grad_norm(parameters, most, norm_type)


torch.nn.utils.clip_grad_norm_ = kept
config = TrainingConfig(steps=1, batch=int(batch))
train_prior("own", read_manifest(Path(manifest)), f"{file}.run", config, warm_start="speech")
