"""Make the broad benchmark sets, outside the repository: two unseen voices, and unseen clips of the 41 classes.

`python -m data_prep.broad_sets --speech MANIFEST... --sounds MANIFEST... --sex TABLE... --out DIR` writes folders for
`unsep evaluate`: `voices-selection` and `voices-claim`, twenty mixtures each of two test speakers, half of them of one
sex; `classes-selection` and `classes-claim`, twenty each of a test speaker and a labelled test clip. No speaker and no
clip is in a selection set and in a claim set. Constants are chosen on the first, claims made on the second.
`voices-*/examples.json` names, for each voice of each mixture, other recordings of the same speaker: a minute at most.
A table of --sex has lines of a speaker and `m` or `f`; four digits are a speaker of speechocean762.
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy

from data_prep.benchmark_sets import LEAST_LEVEL, LEAST_SECONDS, SEED, grouped
from unsep_lib.data.clips import Clip, read_manifest, speaker_of
from unsep_lib.data.mixture_sets import draw_crop, draw_mixtures, spec_of
from unsep_lib.data.mixtures import Mixture, make_mixture, write_mixture
from unsep_lib.files import write_json

COUNT = 20  # mixtures of a set; half of the voices' are of one sex
HALVES = ("selection", "claim")
EXAMPLE_SECONDS = 60.0


def half_of(name: str) -> str:
    """Which half a speaker's name or a clip's hash belongs to, always the same."""
    return HALVES[zlib.crc32(name.encode()) % 2]


def read_sexes(tables: Sequence[Path]) -> dict[str, str]:
    """Speaker → `m` or `f`.

    Raises:
        ValueError: a line that is not a speaker and a sex.
    """
    sexes = {}
    for table in tables:
        for line in table.read_text(encoding="utf-8").splitlines():
            speaker, _, sex = line.partition("\t")
            if sex.strip().lower() not in ("m", "f"):
                raise ValueError(f"{table}: expected lines of a speaker and m or f, got {line!r}")
            sexes[f"SPEAKER{speaker}" if re.fullmatch(r"\d{4}", speaker) else speaker] = sex.strip().lower()
    return sexes


def voice_pairs(
    speakers: Sequence[str], sexes: Mapping[str, str], generator: numpy.random.Generator
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Twenty (task, two speakers), by turns of one sex and of both; every speaker is used before any comes again.

    Raises:
        ValueError: fewer than two speakers of a sex.
    """
    known = {sex: [one for one in speakers if sexes.get(one) == sex] for sex in "fm"}
    if min(map(len, known.values())) < 2:
        raise ValueError(
            f"expected two test speakers or more of either sex, got {len(known['f'])} and {len(known['m'])}"
        )
    queues: dict[str, list[str]] = {sex: [] for sex in known}

    def dealt(sex: str, but: str = "") -> str:
        if not set(queues[sex]) - {but}:
            queues[sex] += [str(one) for one in generator.permutation(known[sex])]
        chosen = next(one for one in queues[sex] if one != but)
        queues[sex].remove(chosen)
        return chosen

    for number in range(COUNT):
        first_sex = "fm"[number // 2 % 2]
        first = dealt(first_sex)
        if number % 2:
            yield "2speakers-same-sex", (first, dealt(first_sex, but=first))
        else:
            yield "2speakers-both-sexes", (first, dealt("m" if first_sex == "f" else "f"))


def voice_mixtures(
    clips: Sequence[Clip], sexes: Mapping[str, str], half: str
) -> Iterator[tuple[Mixture, list[list[str]]]]:
    """Mixtures of two voices of a half, and the examples of each voice: files of other recordings of the speaker."""
    voices = {speaker: found for speaker, found in grouped(clips, speaker_of).items() if half_of(speaker) == half}
    generator = numpy.random.default_rng([SEED, HALVES.index(half)])
    for number, (task, pair) in enumerate(voice_pairs(list(voices), sexes, generator)):
        chosen = [voices[speaker][int(generator.integers(len(voices[speaker])))] for speaker in pair]
        mixture, sources = make_mixture([draw_crop(clip, generator) for clip in chosen], generator)
        examples = [examples_of(voices[speaker], clip) for speaker, clip in zip(pair, chosen, strict=True)]
        origins = tuple(clip.file for clip in chosen)
        yield Mixture(f"{task}_{number:02d}", mixture, sources, tuple(map(spec_of, chosen)), origins=origins), examples


def examples_of(clips: Sequence[Clip], mixed: Clip) -> list[str]:
    """Files of a speaker's clips other than the mixed one, until they last a minute."""
    files, seconds = [], 0.0
    for clip in clips:
        if clip.file != mixed.file and seconds < EXAMPLE_SECONDS:
            files.append(clip.file)
            seconds += clip.seconds
    return files


def can_be_scored(clip: Clip) -> bool:
    """Whether a clip has a class that can be asked for, and is long and loud enough to score."""
    return " " not in clip.label and clip.seconds >= LEAST_SECONDS and (clip.level or 0) > LEAST_LEVEL


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="+", required=True, help="manifests with test speakers")
    parser.add_argument("--sounds", type=Path, nargs="+", default=[], help="manifests with labelled test clips")
    parser.add_argument("--sex", type=Path, nargs="+", required=True, help="tables of speakers and their sex")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    speech = [clip for manifest in arguments.speech for clip in read_manifest(manifest) if clip.split == "test"]
    sounds = [clip for manifest in arguments.sounds for clip in read_manifest(manifest) if clip.split == "test"]
    sexes = read_sexes(arguments.sex)
    for half in HALVES:
        examples = {}
        for mixture, files in voice_mixtures(speech, sexes, half):
            write_mixture(arguments.out / f"voices-{half}" / mixture.name, mixture)
            examples[mixture.name] = files
        write_json(arguments.out / f"voices-{half}" / "examples.json", examples)
        if sounds:
            voices = [clip for clip in speech if half_of(speaker_of(clip)) == half]
            labelled = [clip for clip in sounds if can_be_scored(clip) and half_of(clip.sha256) == half]
            for mixture in draw_mixtures("1speech-1sound", voices, labelled, COUNT, SEED):
                write_mixture(arguments.out / f"classes-{half}" / mixture.name, mixture)
        print(f"{arguments.out}: {half}")


if __name__ == "__main__":
    main()
