"""Make long mixtures with references, outside the repository: does every source stay in its slot?

`python -m data_prep.long_mixtures --speech LIBRISPEECH.jsonl --sounds FSDKAGGLE2018.jsonl --out DIR` writes minutes of
two voices, of a voice and an instrument, and of two instruments, test clips strung together, for `unsep evaluate`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, read_mono, scale_to_dbfs
from unsep_lib.clips import Clip, read_manifest, speaker_of
from unsep_lib.mixtures import Mixture, write_mixture
from unsep_lib.mixtures.making import LEVEL_HIGH, LEVEL_LOW, MIXTURE_PEAK
from unsep_lib.specification import SourceSpec

SECONDS = 60.0
COUNT = 2  # mixtures of each task
SEED = 2512_07226  # the paper's arXiv number


def strung(clips: Sequence[Clip], generator: numpy.random.Generator, seconds: float = SECONDS) -> torch.Tensor:
    """Clips of one source one after the other in random order, again and again until they fill `seconds`: [time]."""
    pieces: list[torch.Tensor] = []
    while sum(map(len, pieces)) < seconds * SAMPLE_RATE:
        pieces += [read_mono(clips[index].file) for index in generator.permutation(len(clips))]
    return torch.cat(pieces)[: round(seconds * SAMPLE_RATE)]


def long_mixture(name: str, sources: Sequence[Sequence[Clip]], generator: numpy.random.Generator) -> Mixture:
    """A mixture of sources, each given by its clips, that all sound throughout, at levels as in short ones."""
    tracks = [scale_to_dbfs(strung(clips, generator), generator.uniform(LEVEL_LOW, LEVEL_HIGH)) for clips in sources]
    references = torch.stack(tracks)
    references = references * (MIXTURE_PEAK / references.sum(dim=0).abs().max())
    specs = [SourceSpec("sound", clips[0].label) if clips[0].label else SourceSpec("speech") for clips in sources]
    return Mixture(name, references.sum(dim=0), references, tuple(specs))


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="manifest with test speakers")
    parser.add_argument("--sounds", type=Path, required=True, help="manifest with labelled test clips")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    generator = numpy.random.default_rng(SEED)
    voices, sounds = (
        [[clip for clip in clips if key(clip) == name] for name in sorted({key(clip) for clip in clips})]
        for key, clips in (
            (speaker_of, [clip for clip in read_manifest(arguments.speech) if clip.split == "test"]),
            (lambda clip: clip.label, [clip for clip in read_manifest(arguments.sounds) if clip.split == "test"]),
        )
    )
    for number in range(COUNT):
        voice = [voices[index] for index in generator.choice(len(voices), 2, replace=False)]
        sound = [sounds[index] for index in generator.choice(len(sounds), 2, replace=False)]
        for task, sources in (("2speakers", voice), ("1speech-1sound", [voice[0], sound[0]]), ("2sounds", sound)):
            name = f"{task}_{number:02d}"
            write_mixture(arguments.out / name, long_mixture(name, sources, generator))
            print(arguments.out / name)


if __name__ == "__main__":
    main()
