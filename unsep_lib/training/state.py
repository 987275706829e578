"""Everything a training run needs to continue as if it had never stopped."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy
import torch

from unsep_lib.data.clips import Clip
from unsep_lib.files import sha256
from unsep_lib.networks.unet import CompactConfig, CompactNetwork
from unsep_lib.priors.checkpoints import find_prior, save_state
from unsep_lib.priors.edm import EdmPrior
from unsep_lib.stft import stft
from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.data import CropStream

SPECTRUM_CROPS = 256  # crops over which the average spectrum is measured
MUON_MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.98)
BUDGET_FIELDS = ("minutes", "steps")


class CardStart(TypedDict):
    """The part of a model card that is known when a run begins."""

    name: str
    corpora: dict[str, dict[str, float]]
    recipe: dict[str, object]
    warm_start: str | None
    hours_before: float


class Begun(TypedDict):
    """What a run began from: a digest of its training clips, and its warm start by name and by content."""

    clips: str
    warm_start: str | None
    weights: str | None


def begun_from(clips: Sequence[Clip], warm_start: str | None) -> Begun:
    """The record of a run on the clips of split "train"; their order and folders do not matter."""
    lines = sorted(f"{clip.sha256 or clip.file}\t{clip.label}\n" for clip in clips if clip.split == "train")
    return {
        "clips": hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
        "warm_start": warm_start,
        "weights": None if warm_start is None else sha256(find_prior(warm_start)),
    }


class LogRow(TypedDict):
    """Steps that are averaged over: the last one, its seconds, their mean loss, and the validation loss by band.

    examples: `example_losses` of a prior that takes examples.
    """

    step: int
    seconds: float
    loss: float
    count: int
    bands: NotRequired[list[float]]
    examples: NotRequired[dict[str, list[float]]]


class TrainingState:
    """Model, EMA copy, optimisers, counters, log and random states of one run."""

    def __init__(self, prior: EdmPrior, config: TrainingConfig, begun: Begun):
        self.config, self.begun = config, begun
        self.prior, self.ema = prior, copy.deepcopy(prior).requires_grad_(False)
        matrices = prior.network.body_matrices()
        of_example = prior.network.example_parameters()
        taken = {id(parameter) for parameter in (*matrices, *of_example)}
        groups: list[dict[str, Any]] = [{"params": [one for one in prior.parameters() if id(one) not in taken]}]
        if of_example:
            groups.append({"params": of_example, "lr": config.example_rate})
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=config.muon_learning_rate, momentum=MUON_MOMENTUM, weight_decay=0.0),
            torch.optim.AdamW(groups, lr=config.learning_rate, betas=ADAM_BETAS, weight_decay=0.0),
        )
        self.base_rates = [[float(group["lr"]) for group in one.param_groups] for one in self.optimisers]
        self.generator = numpy.random.default_rng(config.seed)
        self.drawn = self.generator.bit_generator.state  # before the draws of the step that comes next
        self.step, self.seconds = 0, 0.0
        self.diverged = False  # a loss was not finite: not to be saved
        self.log: list[LogRow] = []

    def save(self, path: Path) -> None:
        """Write the whole state atomically."""
        content = {
            "config": {key: value for key, value in asdict(self.config).items() if key not in BUDGET_FIELDS},
            "network": asdict(self.prior.network.config),
            "labels": list(self.prior.labels),
            "prior": self.prior.state_dict(),
            "ema": self.ema.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "begun": dict(self.begun),
            "generator": json.dumps(self.drawn),
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
        }
        save_state(path, content)

    @classmethod
    def load(
        cls, path: Path, config: TrainingConfig, begun: Begun, labels: Sequence[str], device: torch.device
    ) -> TrainingState:
        """Continue the run saved at `path`.

        begun, labels: what the call would begin from, and the labels of its clips; a state saved before runs recorded
        what they began from is compared by its labels alone.

        Raises:
            ValueError: it is another recipe's, began from other clips or another prior, or cannot be read.
        """
        try:
            content = torch.load(path, map_location=device, weights_only=True)
            saved = content["config"]
        except Exception as error:
            raise ValueError(f"{path}: not a training state that can be resumed ({error})") from error
        wanted = {key: value for key, value in asdict(config).items() if key not in BUDGET_FIELDS}
        saved = asdict(TrainingConfig(steps=1)) | saved  # fields that are younger than the run have their defaults
        changed = [
            f"{key}: saved {saved.get(key)}, got {wanted[key]}" for key in wanted if saved.get(key) != wanted[key]
        ]
        if changed:
            raise ValueError(f"{path} was trained with another recipe ({'; '.join(changed)}); choose another --out")
        _check_begun(path, content, begun, labels)
        prior = EdmPrior(
            CompactNetwork(CompactConfig(**content["network"])), content["prior"]["spectrum"], content["labels"]
        )
        state = cls(prior.to(device), config, content.get("begun", begun))
        state.prior.load_state_dict(content["prior"])
        state.ema.load_state_dict(content["ema"])
        for optimiser, saved_state in zip(state.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(saved_state)
        state.drawn = state.generator.bit_generator.state = json.loads(content["generator"])
        state.step, state.seconds, state.log = content["step"], content["seconds"], content["log"]
        return state

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        return all(bool(one.isfinite().all()) for prior in (self.prior, self.ema) for one in prior.parameters())

    def set_rate(self, factor: float) -> None:
        """Scale both learning rates by `factor`."""
        for optimiser, rates in zip(self.optimisers, self.base_rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move the EMA copy towards the model; the decay grows with the steps up to the configured one."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.prior.parameters()), 1 - decay)


def _check_begun(path: Path, content: Mapping[str, Any], begun: Begun, labels: Sequence[str]) -> None:
    """Raise ValueError unless a saved run began from the same prior and clips, as far as it recorded them."""
    remedy = "choose another --out, and give the weights of this run by --from to go on from them"
    if unknown := [label for label in labels if label not in content["labels"]]:
        raise ValueError(f"{path}: the run began without the classes {', '.join(unknown)}; {remedy}")
    saved = content.get("begun")
    if saved is None:
        return
    if saved["warm_start"] != begun["warm_start"] and saved["weights"] != begun["weights"]:
        first, now = saved["warm_start"] or "nothing", begun["warm_start"] or "nothing"
        raise ValueError(f"{path}: the run began from {first}, not from {now}; give the same --from, or another --out")
    if saved["clips"] != begun["clips"]:
        raise ValueError(f"{path}: the run began with other clips; {remedy}")


def new_prior(stream: CropStream, labels: Sequence[str], config: TrainingConfig) -> EdmPrior:
    """An untrained prior scaled to the stream's average spectrum: the per-bin Wiener denoiser."""
    crops, _ = stream.batch(SPECTRUM_CROPS)
    spectrum = stft(crops).abs().square().mean(dim=(0, 2)).sqrt()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = CompactNetwork(
            CompactConfig(labels=len(labels), widths=config.widths, blocks=config.blocks, example=config.example)
        )
    return EdmPrior(network, spectrum, labels)
