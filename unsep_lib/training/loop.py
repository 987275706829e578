"""The training loop: resumable, checkpointed, reporting its progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy
import torch
from torch import nn

from unsep_lib.data.clips import Clip, labels_of
from unsep_lib.files import alone
from unsep_lib.networks.unet import with_example, with_labels
from unsep_lib.parallel import undisturbed
from unsep_lib.priors.checkpoints import card_of, find_prior, load_prior, save_prior
from unsep_lib.priors.edm import EdmPrior
from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.data import CropStream, prefetched
from unsep_lib.training.distributed import Processes, accelerated, launched
from unsep_lib.training.loss import denoising_loss, draw_sigma, example_losses, validation_loss
from unsep_lib.training.state import CardStart, TrainingState, begun_from, new_prior

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_SECONDS = 120.0  # a kill loses at most this much training
VALIDATION_SECONDS = 300.0
VALIDATION_CROPS = 64
EXAMPLE_CROPS = 16  # of these, with an example: each is denoised twelve times
VALIDATION_SEED = 20_000  # apart from any training seed
STATE_FILE = "state.pt"


@dataclass(frozen=True)
class TrainingProgress:
    """What `on_step` receives: counters, the smoothed loss, and what remains."""

    step: int
    seconds: float
    progress: float
    loss: float
    audio_seconds_per_second: float
    skipped: int

    @property
    def remaining(self) -> float:
        """Estimated seconds of training that remain."""
        return self.seconds * (1 - self.progress) / self.progress if self.progress else float("inf")


class Batch(NamedTuple):
    """Clean crops and noise [crop, time], label indices [crop], and how many clips could not be read so far.

    example [crop, time]: another passage of each crop's source, for a prior that takes examples.
    """

    clean: torch.Tensor
    label: torch.Tensor
    noise: torch.Tensor
    skipped: int
    example: torch.Tensor | None = None


class Validation(NamedTuple):
    """Fixed crops [crop, time] of clips that are not trained on, their label indices, and examples of their sources."""

    clean: torch.Tensor
    label: torch.Tensor
    example: torch.Tensor | None


def train_prior(
    name: str,
    clips: Sequence[Clip],
    folder: Path | str,
    config: TrainingConfig,
    *,
    warm_start: str | None = None,
    device: str = "cpu",
    bfloat16: bool = False,
    compiled: bool = False,
    workers: int = 0,
    on_start: Callable[[tuple[str, ...]], None] | None = None,
    on_step: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Train a prior on the clips of split "train" and return its file, `folder/name.safetensors`.

    The run's state lies in `folder/state.pt`: the same call continues it, and with a larger budget prolongs
    it. Clips of split "test" are never trained on; a fixed set of their crops gives the validation loss.
    warm_start: a prior (name or file) to start from instead of from nothing; its labels are kept, those that the clips
    have beside them are added, each begun as "no label", and with `config.example` it gets an example encoder if it has
    none, which changes nothing at first. bfloat16: multiply in bfloat16 (weights stay float32); twice as fast on
    processors with AMX, slower on others. compiled: fuse the network's steps first, which takes half a minute and pays
    on GPUs. workers: processes that prefetch crops; the crops are the same with any number of them. on_start receives
    the labels that the prior will know. Processes that `accelerate launch` started together train one prior on batches
    as many times as large as they are many: each reads its own crops, the gradients are averaged, the first writes the
    files and calls `on_start` and `on_step`.

    Raises:
        ValueError: no training clips; another recipe, other clips or another warm start in `folder`; a warm start that
            does not fit; weights of that name in `folder` that no state belongs to; or a loss that is not finite: then
            `folder` keeps the last good state.
    """
    with accelerated(device, bfloat16) as accelerator, alone(folder) if launched().first else nullcontext():
        if launched().first:
            refuse_foreign(Path(folder) / f"{name}.safetensors", Path(folder) / STATE_FILE)
        return _train(
            name, clips, Path(folder), config, warm_start, accelerator, device, compiled, workers, on_start, on_step
        )


def _train(
    name: str,
    clips: Sequence[Clip],
    folder: Path,
    config: TrainingConfig,
    warm_start: str | None,
    accelerator: Accelerator,
    device: str,
    compiled: bool,
    workers: int,
    on_start: Callable[[tuple[str, ...]], None] | None,
    on_step: Callable[[TrainingProgress], None] | None,
) -> Path:
    # The network, its optimisers and what it is trained on.
    processes = launched()
    target = processes.device(device)
    state = _start(clips, folder / STATE_FILE, config, warm_start, target)
    if compiled:
        state.prior.network.compile_body()
    model, *optimisers = accelerator.prepare(state.prior, *state.optimisers)
    stream = _stream(clips, "train", state.prior.labels, config, numpy.random.default_rng(config.seed))
    batches = prefetched(partial(_drawn, stream, config, processes), state.step, workers)

    # What is written: the state, and the prior with its card.
    save = partial(_save, state, folder, name, _card(name, clips, config, warm_start),
                   _validation_crops(clips, state.prior.labels, config))  # fmt: skip
    saved, saved_step = time.monotonic(), state.step
    torch.set_flush_denormal(True)
    if processes.first and on_start is not None:
        on_start(state.prior.labels)
    try:
        while config.progress(state.step, state.seconds) < 1.0:
            # Gradient.
            began = time.monotonic()
            batch = next(batches)
            loss, norm = _gradient(state, model, batch, accelerator, target)
            if not math.isfinite(loss + norm):
                state.diverged = True
                raise ValueError(_diverged(folder, name, state.step + 1, loss, saved_step))

            # Checkpoint: here, because these weights have just given a finite loss.
            if processes.first and time.monotonic() - saved > CHECKPOINT_SECONDS:
                paused = time.monotonic()
                save()
                saved, saved_step = time.monotonic(), state.step
                began += saved - paused

            # Step: whole, because the state that is saved at a stop must be that of a step's end.
            with undisturbed():
                _advance(state, optimisers, loss, began, accelerator, target)
            if processes.first and on_step is not None:
                on_step(_progress(state, batch.skipped))
        if not state.is_finite():
            state.diverged = True
            raise ValueError(_diverged(folder, name, state.step, math.nan, saved_step))
    finally:
        torch.set_flush_denormal(False)
        if processes.first and not state.diverged and state.is_finite():
            save()
    return folder / f"{name}.safetensors"


def refuse_foreign(weights: Path, state: Path) -> None:
    """Raise ValueError if `weights`, a file that a run is to write, is there without the run's `state`."""
    if weights.exists() and not state.is_file():
        raise ValueError(f"{weights}: is there already, and {state} is not, from which its training could go on; "
                         "choose another name or folder")  # fmt: skip


def _diverged(folder: Path, name: str, step: int, loss: float, saved_step: int) -> str:
    if not saved_step:
        return f"{folder}: the loss of step {step} is {loss}; nothing was written; try a smaller --rate"
    return (
        f"{folder}: the loss of step {step} is {loss}; step {saved_step} is kept there, and nothing was installed; "
        f"go on from it in another folder with `--from {folder / name}.safetensors` and a smaller --rate"
    )


def _start(
    clips: Sequence[Clip], path: Path, config: TrainingConfig, warm_start: str | None, device: torch.device
) -> TrainingState:
    """The run saved at `path`, or a new one."""
    labels = [label for label in labels_of([clip for clip in clips if clip.split == "train"]) if " " not in label]
    begun = begun_from(clips, warm_start)
    if path.is_file():
        return TrainingState.load(path, config, begun, labels, device)
    if warm_start is not None:
        prior = load_prior(warm_start, device)
        if not isinstance(prior, EdmPrior):
            raise ValueError(f"{warm_start}: expected a prior that `unsep train` made, got {type(prior).__name__}")
        prior = with_new_labels(prior, labels)
        if prior.network.config.example != config.example:
            if prior.network.config.example:
                raise ValueError(
                    f"{warm_start}: expected examples of {prior.network.config.example} numbers, got {config.example}"
                )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                prior.network = with_example(prior.network, config.example)
        return TrainingState(prior.to(device).train().requires_grad_(True), config, begun)
    stream = _stream(clips, "train", labels, config, numpy.random.default_rng(config.seed))
    return TrainingState(new_prior(stream, labels, config).to(device), config, begun)


def with_new_labels(prior: EdmPrior, labels: Sequence[str]) -> EdmPrior:
    """The prior with those of `labels` that it lacks, each begun as "no label"; names with a space are no labels."""
    added = [label for label in labels if label not in prior.labels and " " not in label]
    if not added:
        return prior
    network = with_labels(prior.network, len(prior.labels) + len(added))
    return EdmPrior(network, prior.spectrum, [*prior.labels, *added])


def _stream(
    clips: Sequence[Clip], split: str, labels: Sequence[str], config: TrainingConfig, generator: numpy.random.Generator
) -> CropStream:
    chosen = [clip for clip in clips if clip.split == split]
    levels = (config.level_low, config.level_high)
    return CropStream(chosen, labels, config.crop_seconds, levels, generator, config.augment and split == "train")


def _validation_crops(clips: Sequence[Clip], labels: Sequence[str], config: TrainingConfig) -> Validation | None:
    if not any(clip.split == "test" for clip in clips):
        return None
    generator = numpy.random.default_rng(VALIDATION_SEED)
    stream = _stream(clips, "test", labels, config, generator)
    if not config.example:
        return Validation(*stream.batch(VALIDATION_CROPS), None)
    return Validation(*stream.pairs_with([generator] * VALIDATION_CROPS, config.example_seconds))


def _gradient(
    state: TrainingState, model: nn.Module, batch: Batch, accelerator: Accelerator, device: torch.device
) -> tuple[float, float]:
    """Leave the loss's clipped gradient, averaged over the processes; returns the loss and the gradient's norm."""
    config = state.config
    label, sigma = _conditions(state, batch.label, launched())
    clean, label, sigma, noise = (part.to(device) for part in (batch.clean, label, sigma, batch.noise))
    with accelerator.autocast():
        example = _encoded(state, batch.example, launched(), device)
        loss = denoising_loss(model, clean, label, sigma, noise, example).mean()
    accelerator.backward(loss)
    norm = accelerator.clip_grad_norm_(model.parameters(), config.gradient_clip)
    return float(accelerator.reduce(loss.detach(), "mean")), float(norm)


def _advance(
    state: TrainingState,
    optimisers: Sequence[torch.optim.Optimizer],
    loss: float,
    began: float,
    accelerator: Accelerator,
    device: torch.device,
) -> None:
    """Apply the gradient and count the step; `began`: when it began, by this process's clock."""
    state.set_rate(state.config.rate(state.step, state.config.progress(state.step, state.seconds)))
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    state.step += 1
    state.drawn = state.generator.bit_generator.state
    state.update_ema()
    elapsed = torch.tensor(time.monotonic() - began, device=device)
    state.seconds += float(accelerator.reduce(elapsed, "mean"))  # the same in all processes: they stop together
    _log(state, loss)


def _drawn(stream: CropStream, config: TrainingConfig, processes: Processes, step: int) -> Batch:
    """This process's part of a step: the same on every run, in whichever process it is drawn."""
    generators = [numpy.random.default_rng([config.seed, step, place]) for place in processes.places(config.batch)]
    if config.example:
        clean, label, example = stream.pairs_with(generators, config.example_seconds)
    else:
        (clean, label), example = stream.drawn_with(generators), None
    noise = numpy.stack([one.standard_normal(clean.shape[-1], dtype=numpy.float32) for one in generators])
    return Batch(clean, label, torch.from_numpy(noise), len(stream.skipped), example)


def _conditions(state: TrainingState, label: torch.Tensor, processes: Processes) -> tuple[torch.Tensor, torch.Tensor]:
    """Label index, or that of no label, and noise level of this process's crops, drawn for all processes at once."""
    config, places = state.config, processes.places(state.config.batch)
    total, own = config.batch * processes.count, slice(places.start, places.stop)
    unlabelled = torch.from_numpy(state.generator.random(total) < config.null_label)[own]
    return label.masked_fill(unlabelled, len(state.prior.labels)), draw_sigma(total, state.generator)[own]


def _encoded(
    state: TrainingState, example: torch.Tensor | None, processes: Processes, device: torch.device
) -> torch.Tensor | None:
    """The codes [crop, number] of the crops' examples, zeros (no example) for a share of them."""
    if example is None:
        return None
    config, places = state.config, processes.places(state.config.batch)
    total, own = config.batch * processes.count, slice(places.start, places.stop)
    absent = state.generator.random((total, 1)) < config.null_example
    kept = ~absent * (state.generator.random((total, config.example)) >= config.example_dropout)
    weight = torch.from_numpy(kept[own] / (1 - config.example_dropout)).float()
    return state.prior.encode(example.to(device)) * weight.to(device)


def _log(state: TrainingState, loss: float) -> None:
    interval = 50  # steps that a row of the log averages over
    if not state.log or state.log[-1]["count"] == interval:
        state.log.append({"step": state.step, "seconds": state.seconds, "loss": loss, "count": 1})
        return
    row = state.log[-1]
    count = row["count"] + 1
    mean = row["loss"] + (loss - row["loss"]) / count
    row.update({"step": state.step, "seconds": state.seconds, "loss": mean, "count": count})


def _progress(state: TrainingState, skipped: int) -> TrainingProgress:
    config, loss = state.config, state.log[-1]["loss"]
    audio = state.step * config.batch * config.crop_seconds / state.seconds
    return TrainingProgress(state.step, state.seconds, config.progress(state.step, state.seconds), loss, audio, skipped)


def _save(state: TrainingState, folder: Path, name: str, card: CardStart, validation: Validation | None) -> None:
    if validation is not None and state.log:
        due = state.seconds - max((row["seconds"] for row in state.log if "bands" in row), default=0.0)
        if due > VALIDATION_SECONDS or state.config.progress(state.step, state.seconds) >= 1.0:
            clean, label, example = validation
            state.log[-1]["bands"] = validation_loss(state.ema, clean, label)
            if example is not None:
                first = slice(EXAMPLE_CROPS)
                state.log[-1]["examples"] = example_losses(state.ema, clean[first], label[first], example[first])
    state.save(folder / STATE_FILE)
    hours = card["hours_before"] + state.seconds / 3600
    curve = [{key: value for key, value in row.items() if key != "count"} for row in state.log]
    save_prior(folder / f"{name}.safetensors", state.ema, {**card, "steps": state.step, "hours": hours, "curve": curve})


def _card(name: str, clips: Sequence[Clip], config: TrainingConfig, warm_start: str | None) -> CardStart:
    corpora: dict[str, dict[str, float]] = {}
    for clip in clips:
        if clip.split == "train":
            row = corpora.setdefault(clip.corpus, {"clips": 0, "minutes": 0.0})
            row["clips"] += 1
            row["minutes"] += clip.seconds / 60
    before = 0.0 if warm_start is None else float(card_of(find_prior(warm_start)).get("hours", 0.0))
    return {
        "name": name,
        "corpora": corpora,
        "recipe": asdict(config),
        "warm_start": warm_start,
        "hours_before": before,
    }
