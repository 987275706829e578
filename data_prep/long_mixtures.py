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

from data_prep.benchmark_sets import SEED, grouped
from unsep_lib.audio import SAMPLE_RATE, read_mono, scale_to_dbfs
from unsep_lib.data.clips import Clip, read_manifest, speaker_of
from unsep_lib.data.mixture_sets import spec_of
from unsep_lib.data.mixtures import LEVEL_HIGH, LEVEL_LOW, Mixture, added, write_mixture

SECONDS = 60.0
COUNT = 2  # mixtures of each task


def strung(clips: Sequence[Clip], generator: numpy.random.Generator, seconds: float = SECONDS) -> torch.Tensor:
    """Clips of one source one after the other in random order, again and again until they fill `seconds`: [time]."""
    pieces: list[torch.Tensor] = []
    while sum(map(len, pieces)) < seconds * SAMPLE_RATE:
        pieces += [read_mono(clips[index].file) for index in generator.permutation(len(clips))]
    return torch.cat(pieces)[: round(seconds * SAMPLE_RATE)]


def long_mixture(name: str, sources: Sequence[Sequence[Clip]], generator: numpy.random.Generator) -> Mixture:
    """A mixture of sources, each given by its clips, that all sound throughout, at levels as in short ones."""
    tracks = [scale_to_dbfs(strung(clips, generator), generator.uniform(LEVEL_LOW, LEVEL_HIGH)) for clips in sources]
    mixture, references = added(torch.stack(tracks))
    return Mixture(name, mixture, references, tuple(spec_of(clips[0]) for clips in sources))


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="manifest with test speakers")
    parser.add_argument("--sounds", type=Path, required=True, help="manifest with labelled test clips")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    generator = numpy.random.default_rng(SEED)
    voices = list(grouped(read_manifest(arguments.speech), speaker_of).values())
    sounds = list(grouped(read_manifest(arguments.sounds), lambda clip: clip.label).values())
    for number in range(COUNT):
        voice = [voices[index] for index in generator.choice(len(voices), 2, replace=False)]
        sound = [sounds[index] for index in generator.choice(len(sounds), 2, replace=False)]
        for task, sources in (("2speakers", voice), ("1speech-1sound", [voice[0], sound[0]]), ("2sounds", sound)):
            name = f"{task}_{number:02d}"
            write_mixture(arguments.out / name, long_mixture(name, sources, generator))
            print(arguments.out / name)


if __name__ == "__main__":
    main()
