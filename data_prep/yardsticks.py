"""Make the in-domain yardsticks, outside the repository: unseen speakers × unseen sound clips, one voice + one sound.

`python -m data_prep.yardsticks --speech LIBRISPEECH.jsonl --sounds FSDKAGGLE2018.jsonl --out DIR` writes two folders
for `unsep evaluate`: `selection` (five speakers, two test clips a class; constants are chosen on it) and `claim` (the
other five speakers, the other clips; scored only for a release).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from unsep_lib.audio import read_audio
from unsep_lib.clips import Clip, active_spans, read_manifest
from unsep_lib.mixtures import draw_mixtures, speaker_of, write_mixture

SEED = 2512_07226  # the paper's arXiv number
SELECTION_SPEAKERS = 5
SELECTION_CLIPS = 2  # of each class


def split_yardsticks(speech: Sequence[Clip], sounds: Sequence[Clip]) -> dict[str, tuple[list[Clip], list[Clip]]]:
    """Test clips as {"selection": (speech, sounds), "claim": (speech, sounds)}, disjoint in speakers and sound clips.

    Raises:
        ValueError: too few test speakers, or a class with too few test clips.
    """
    voices = _grouped(speech, speaker_of)
    classes = _grouped(sounds, lambda clip: clip.label)
    if len(voices) <= SELECTION_SPEAKERS:
        raise ValueError(f"expected more than {SELECTION_SPEAKERS} test speakers, got {len(voices)}")
    for label, clips in classes.items():
        if len(clips) <= SELECTION_CLIPS:
            raise ValueError(f"expected more than {SELECTION_CLIPS} test clips of {label}, got {len(clips)}")
    first, rest = list(voices)[:SELECTION_SPEAKERS], list(voices)[SELECTION_SPEAKERS:]
    return {
        "selection": (
            [clip for name in first for clip in voices[name]],
            [clip for clips in classes.values() for clip in clips[:SELECTION_CLIPS]],
        ),
        "claim": (
            [clip for name in rest for clip in voices[name]],
            [clip for clips in classes.values() for clip in clips[SELECTION_CLIPS:]],
        ),
    }


def _grouped(clips: Sequence[Clip], key: Callable[[Clip], str]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == "test":
            groups[key(clip)].append(clip)
    return dict(sorted(groups.items()))


def own_rate_spans(clip: Clip) -> Clip:
    """A clip with its active spans measured at the file's own rate, as the yardsticks were first drawn."""
    audio = read_audio(clip.file)
    return replace(clip, spans=active_spans(audio.samples.mean(dim=0), audio.sample_rate))


def main() -> None:
    """Write both folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="manifest with test speakers")
    parser.add_argument("--sounds", type=Path, required=True, help="manifest with labelled test clips")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sets = split_yardsticks(read_manifest(arguments.speech), read_manifest(arguments.sounds))
    for name, (speech, sounds) in sets.items():
        clips = [own_rate_spans(clip) for clip in speech], [own_rate_spans(clip) for clip in sounds]
        for mixture in draw_mixtures("1speech-1sound", *clips, len(sounds), SEED):
            write_mixture(arguments.out / name / mixture.name, mixture)
        print(f"{arguments.out / name}: {len(sounds)} mixtures")


if __name__ == "__main__":
    main()
