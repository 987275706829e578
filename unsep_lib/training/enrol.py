"""Enrolment: a prior for one voice, or one sound, of one's own, from about a minute of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from unsep_lib.data.clips import Clip
from unsep_lib.data.layouts import Entry
from unsep_lib.data.prepare import Skipped, describe
from unsep_lib.priors.edm import fastest_precision
from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.loop import TrainingProgress, train

ENROL_STEPS = 100  # of eight crops of two seconds
WARMUP_STEPS = 20
LEAST_SECONDS = 3.0  # of recordings in which something sounds


def enrol(
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
    without a label. Two priors enrolled on two voices separate these voices, where one prior for both cannot tell
    them apart. bfloat16: multiply in bfloat16; None where the processor is faster in it. The run's state lies in
    `folder`: the same call after a stop goes on.
    """
    config = TrainingConfig(steps=steps, warmup_steps=WARMUP_STEPS)
    if bfloat16 is None:
        bfloat16 = fastest_precision(device) == torch.bfloat16
    return train(name, clips, folder, config, warm_start=base, device=device, bfloat16=bfloat16, on_step=on_step)


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
