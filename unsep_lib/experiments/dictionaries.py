"""What a baseline learns from single-source clips: a dictionary a specification."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from unsep_lib.audio import SILENCE_DBFS, read_mono, rms_dbfs, scale_to_dbfs
from unsep_lib.baselines import nmf_dictionary
from unsep_lib.clips import Clip, read_manifest
from unsep_lib.experiments.rows import check_planned
from unsep_lib.specification import SourceSpec

UNLABELLED_PRIOR = "speech"  # its clips carry no label, those of every other prior do (as in draw_mixtures)
TRAINING_SECONDS = 60.0  # of clips a dictionary, so that a large corpus costs no more than the embedded clips
TRAINING_LEVEL = -20.0  # dBFS of each clip, so that loud ones count no more


def clips_of(clips: Sequence[Clip], spec: SourceSpec) -> list[Clip]:
    """Up to a minute of training clips that a specification describes, in an order that means nothing.

    `speech` is the clips without a label, `PRIOR:LABEL` those of the label, another prior alone all labelled ones.

    Raises:
        ValueError: there are none.
    """
    chosen, seconds = [], 0.0
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == "train" and _described(clip, spec) and seconds < TRAINING_SECONDS:
            chosen.append(clip)
            seconds += clip.seconds
    if not chosen:
        raise ValueError(f"expected training clips of {spec} for a baseline that learns, got none")
    return chosen


def _described(clip: Clip, spec: SourceSpec) -> bool:
    if spec.label is not None:
        return clip.label == spec.label
    return bool(clip.label) != (spec.prior == UNLABELLED_PRIOR)


@functools.cache
def dictionary(manifest: str, digest: str, spec: SourceSpec) -> torch.Tensor:
    """The dictionary [component, bin] of a specification, learned once a process from the manifest's clips.

    Raises:
        ValueError: the manifest is not the one with this SHA-256, or holds no such clips.
    """
    check_planned(manifest, digest, "manifest")
    samples = (read_mono(clip.file) for clip in clips_of(read_manifest(manifest), spec))
    return nmf_dictionary([scale_to_dbfs(x, TRAINING_LEVEL) for x in samples if rms_dbfs(x) > SILENCE_DBFS])
