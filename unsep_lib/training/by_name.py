"""Priors of one's own by name: trained on manifests of clips, or enrolled from about a minute of one voice or sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.layouts import Entry
from unsep_lib.data.prepare import Skipped, describe
from unsep_lib.networks.unet import CompactConfig
from unsep_lib.priors.checkpoints import available_priors, home, install, prior_file
from unsep_lib.priors.edm import fastest_precision
from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.distributed import launched
from unsep_lib.training.loop import STATE_FILE, TrainingProgress, refuse_foreign, train_prior

EXAMPLE_NUMBERS = 48  # more would remember the hundreds of speakers there are to train on one by one
ENROL_STEPS = 100  # of eight crops of two seconds
WARMUP_STEPS = 20
LEAST_SECONDS = 3.0  # of recordings in which something sounds


def train(
    name: str,
    data: Sequence[Path | str],
    *,
    minutes: float | None = None,
    steps: int | None = None,
    from_: str | None = None,
    out: Path | str | None = None,
    batch: int = TrainingConfig.batch,
    rate: float = 1.0,
    widths: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    examples: bool = False,
    seed: int = 0,
    compile: bool = False,
    workers: int = 0,
    device: str = "cpu",
    bfloat16: bool = False,
    on_start: Callable[[tuple[str, ...]], None] | None = None,
    on_step: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Train a prior on manifests of clips, or continue its training, as `unsep train`; returns its file.

    It is installed where `unsep separate --source` finds it by name; with `out` it stays in that folder, which holds
    the run. minutes or steps: the budget over every resumption; from_: the prior to start from; rate: learning rates
    relative to the recipe's; widths, blocks: a new network's shape; examples: train an example encoder with it; the
    other words as in `train_prior`.

    Raises:
        ValueError: a name that no source could have, a manifest that is missing or damaged, `from_` together with a
            shape, a prior of this name that another run made, or what `TrainingConfig` and `train_prior` refuse.
    """
    if from_ and (widths or blocks):
        raise ValueError("expected --from, which keeps its prior's shape, or --widths and --blocks, got both")
    installed = prior_file(name)
    clips = [clip for manifest in data for clip in read_manifest(manifest)]
    config = TrainingConfig(
        minutes=minutes, steps=steps, batch=batch, seed=seed, widths=tuple(widths or CompactConfig.widths),
        blocks=tuple(blocks or CompactConfig.blocks), example=EXAMPLE_NUMBERS if examples else 0,
    ).at_rate(rate)  # fmt: skip
    folder = home() / "runs" / name if out is None else Path(out)
    if out is None and launched().first:
        refuse_foreign(installed, folder / STATE_FILE)
    path = train_prior(
        name, clips, folder, config, warm_start=from_, device=device,
        bfloat16=bfloat16, compiled=compile, workers=workers, on_start=on_start, on_step=on_step,
    )  # fmt: skip
    return install(path, installed) if out is None and launched().first else path


def enrol(
    name: str,
    recordings: Sequence[Path | str],
    *,
    from_: str = "speech",
    steps: int = ENROL_STEPS,
    replace: bool = False,
    device: str = "cpu",
    on_step: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Make a prior for one voice or sound from about a minute of it, as `unsep enrol`; returns its file.

    It is installed where `unsep separate --source` finds it by name. from_: the prior to begin with; replace: one of
    this name that was enrolled before. After a stop the same call goes on.

    Raises:
        ValueError: a name that no source could have or that a prior has, a recording that cannot be read, or less than
            three seconds of sound.
    """
    installed = prior_file(name)
    if (name in available_priors() or installed.exists()) and not replace:
        raise ValueError(f"a prior called {name!r} is there already: choose another name, or give --replace")
    clips, folder = clips_alone(recordings), home() / "runs" / f"enrol-{name}"
    path = fine_tune(name, clips, folder, base=from_, steps=steps, device=device, on_step=on_step)
    install(path, installed)
    shutil.rmtree(folder)
    return installed


def fine_tune(
    name: str,
    clips: Sequence[Clip],
    folder: Path | str,
    *,
    base: str = "speech",
    steps: int = ENROL_STEPS,
    device: str = "cpu",
    bfloat16: bool | None = None,
    on_step: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Fine-tune the prior `base` on clips of one source; returns `folder/name.safetensors`.

    The whole network is trained for `steps` steps of the usual recipe (`TrainingConfig`), from `base`'s weights and
    without a label. Crops keep their speed and filter: a voice at another speed is another voice. Two priors enrolled
    on two voices separate these voices, where one prior for both cannot tell them apart. bfloat16: multiply in
    bfloat16; None where the processor is faster in it. The run's state lies in `folder`: the same call after a stop
    goes on.
    """
    config = TrainingConfig(steps=steps, warmup_steps=WARMUP_STEPS, augment=False)
    if bfloat16 is None:
        bfloat16 = fastest_precision(device) == torch.bfloat16
    return train_prior(name, clips, folder, config, warm_start=base, device=device, bfloat16=bfloat16, on_step=on_step)


def clips_alone(recordings: Sequence[Path | str]) -> list[Clip]:
    """Recordings in which one source sounds alone, as clips without a label.

    Raises:
        ValueError: one that cannot be read or is silent, or less than three seconds of sound in all of them.
    """
    clips = []
    for recording in recordings:
        described = describe("enrolment", Entry(Path(recording).resolve(), label="", split="train"))
        if isinstance(described, Skipped):
            raise ValueError(described.reason)
        clips.append(described)
    seconds = sum(stop - start for clip in clips for start, stop in clip.spans)
    if seconds < LEAST_SECONDS:
        raise ValueError(
            f"expected recordings in which the source sounds for {LEAST_SECONDS:g} s or more, best a minute, "
            f"got {seconds:.1f} s"
        )
    return clips
