"""A prepared corpus in numbers, and where they are not the publisher's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from unsep_lib.clips import Clip, labels_of, speaker_of

SPLITS = ("train", "test")
CLIPPED_RUN = 3  # samples at full scale in a row from which a file counts as clipped

# Clips, classes and speakers a split, as the publishers state them: Zenodo record 2552860 and its tables (clips and
# classes), the readme of VCTK 0.92 (110 speakers, of which arXiv 2512.07226 trains on 100).
PUBLISHED = {
    ("FSDKaggle2018", "train"): {"clips": 9473, "classes": 41},
    ("FSDKaggle2018", "test"): {"clips": 1600, "classes": 41},
    ("VCTK", "train"): {"speakers": 100},
    ("VCTK", "test"): {"speakers": 10},
}


@dataclass(frozen=True)
class SplitSummary:
    """One split of a corpus: counts, hours of audio and of active spans, seconds and levels (dBFS) of its clips.

    verified: clips whose label a person checked, None where the corpus does not say; clipped: clips with three samples
    or more at full scale in a row; spanless: clips without an active span.
    """

    split: str
    clips: int
    hours: float
    active_hours: float
    classes: int
    speakers: int
    verified: int | None
    clipped: int
    spanless: int
    seconds: tuple[float, float, float]  # shortest, median, longest
    level: tuple[float, float, float] | None  # quietest, median, loudest


def summarise(clips: Sequence[Clip]) -> tuple[SplitSummary, ...]:
    """A summary of each split that has clips."""
    groups = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    return tuple(_summarise(split, group) for split, group in groups.items() if group)


def _summarise(split: str, clips: Sequence[Clip]) -> SplitSummary:
    flags = [clip.verified for clip in clips if clip.verified is not None]
    levels = [clip.level for clip in clips if clip.level is not None]
    return SplitSummary(
        split=split,
        clips=len(clips),
        hours=sum(clip.seconds for clip in clips) / 3600,
        active_hours=sum(stop - start for clip in clips for start, stop in clip.spans) / 3600,
        classes=len(labels_of(clips)),
        speakers=len({speaker_of(clip) for clip in clips if not clip.label}),
        verified=sum(flags) if flags else None,
        clipped=sum(is_clipped(clip) for clip in clips),
        spanless=sum(not clip.spans for clip in clips),
        seconds=_extremes([clip.seconds for clip in clips]),
        level=_extremes(levels) if levels else None,
    )


def _extremes(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def is_clipped(clip: Clip) -> bool:
    """Whether a clip has three samples or more at full scale in a row."""
    return clip.clipped is not None and clip.clipped >= CLIPPED_RUN


def departures(clips: Sequence[Clip]) -> list[str]:
    """Sentences that name where a corpus has other counts than its publisher states."""
    sentences = []
    for (corpus, split), published in PUBLISHED.items():
        group = [clip for clip in clips if (clip.corpus, clip.split) == (corpus, split)]
        counts = {"clips": len(group), "classes": len(labels_of(group)), "speakers": len({*map(speaker_of, group)})}
        if any(clip.corpus == corpus for clip in clips):
            sentences += [
                f"{corpus} {split}: expected {number} {what}, found {counts[what]}"
                for what, number in published.items()
                if counts[what] != number
            ]
    return sentences
