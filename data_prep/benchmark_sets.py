"""Make the in-domain benchmark sets, outside the repository: unseen speakers × unseen sound clips.

`python -m data_prep.benchmark_sets --speech LIBRISPEECH.jsonl --sounds FSDKAGGLE2018.jsonl --out DIR` writes folders
for `unsep evaluate`: `selection` (five speakers, two test clips per class; constants are chosen on it) and `claim` (the
other five speakers, the other clips; scored only for a release), both of one voice and one sound; `several`, the
selection set's voices and clips in mixtures of more sounds; and `clips.jsonl`, both manifests, whose training clips NMF
learns. With `--unknown MANIFEST`, also `unknown`: the claim set's voices and one clip of each class that the sounds
lack.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unsep_lib.audio import read_audio
from unsep_lib.data.clips import Clip, active_spans, labels_of, read_manifest, speaker_of, write_manifest
from unsep_lib.data.mixture_sets import draw_mixtures
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.source_spec import SourceSpec

SEED = 2512_07226  # the paper's arXiv number
SELECTION_SPEAKERS = 5
SELECTION_CLIPS = 2  # of each class
SEVERAL = ("1speech-2sounds", "2sounds")
SEVERAL_COUNT = 8  # mixtures of each
LEAST_SECONDS = 0.5  # of a clip of an unknown class; shorter strokes leave little to score
LEAST_LEVEL = -50.0  # dBFS of such a clip


def split_benchmarks(speech: Sequence[Clip], sounds: Sequence[Clip]) -> dict[str, tuple[list[Clip], list[Clip]]]:
    """Test clips as {"selection": (speech, sounds), "claim": (speech, sounds)}, disjoint in speakers and sound clips.

    Raises:
        ValueError: too few test speakers, or a class with too few test clips.
    """
    voices = grouped(speech, speaker_of)
    classes = grouped(sounds, lambda clip: clip.label)
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


def grouped(clips: Sequence[Clip], key: Callable[[Clip], str]) -> dict[str, list[Clip]]:
    """Test clips in the order of their hashes, by what `key` says of them, in alphabetical order."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == "test":
            groups[key(clip)].append(clip)
    return dict(sorted(groups.items()))


def unknown_mixtures(voices: Sequence[Clip], strange: Sequence[Clip]) -> Iterator[Mixture]:
    """A voice and a sound without a label, one for each of the sounds' classes."""
    audible = [clip for clip in strange if clip.seconds >= LEAST_SECONDS and (clip.level or 0) > LEAST_LEVEL]
    for mixture in draw_mixtures("1speech-1sound", voices, audible, len(labels_of(audible)), SEED):
        specs = [SourceSpec(spec.prior) for spec in mixture.specs]
        yield replace(mixture, specs=tuple(specs))


def own_rate_spans(clip: Clip) -> Clip:
    """A clip with its active spans measured at the file's own rate, as the benchmark sets were first drawn."""
    audio = read_audio(clip.file)
    return replace(clip, spans=active_spans(audio.samples.mean(dim=0), audio.sample_rate))


def main() -> None:
    """Write the folders and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="manifest with test speakers")
    parser.add_argument("--sounds", type=Path, required=True, help="manifest with labelled test clips")
    parser.add_argument("--unknown", type=Path, help="manifest with classes that no prior was trained on")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    voices, instruments = read_manifest(arguments.speech), read_manifest(arguments.sounds)
    sets = {
        name: tuple(list(map(own_rate_spans, clips)) for clips in pair)
        for name, pair in split_benchmarks(voices, instruments).items()
    }
    write_manifest(arguments.out / "clips.jsonl", [*voices, *instruments])
    for name, task, folder, count in (
        ("selection", "1speech-1sound", "selection", len(sets["selection"][1])),
        ("claim", "1speech-1sound", "claim", len(sets["claim"][1])),
        *(("selection", task, "several", SEVERAL_COUNT) for task in SEVERAL),
    ):
        speech, sounds = sets[name]
        for mixture in draw_mixtures(task, speech, sounds, count, SEED):
            write_mixture(arguments.out / folder / mixture.name, mixture)
        print(f"{arguments.out / folder}: {count} mixtures of {task}")
    if arguments.unknown:
        strange = [clip for clip in read_manifest(arguments.unknown) if clip.label not in labels_of(instruments)]
        for mixture in unknown_mixtures(sets["claim"][0], strange):
            write_mixture(arguments.out / "unknown" / mixture.name, mixture)


if __name__ == "__main__":
    main()
