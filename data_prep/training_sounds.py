"""Make the larger training set of the sound prior, outside the repository.

`python -m data_prep.training_sounds --out DIR [--philharmonia ROOT]` writes FLAC clips below DIR/<corpus>/<label>: in
`debian` phrases rendered with other numbers than any embedded one and the CC0 samples of the training split, in
`philharmonia` phrases strung from single notes of the Philharmonia Orchestra's recordings (a folder of MP3 named
`instrument_pitch_length_dynamics_articulation`, sorted into folders by label). `unsep data prepare DIR/<corpus>` makes
the manifest of each. Needs `pip install unsep[dev]` and fluidsynth.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import numpy
import torch
from tqdm import tqdm

from data_prep.phrases import INSTRUMENTS
from data_prep.sources import cc0_samples, phrases
from unsep_lib.audio import SAMPLE_RATE, read_mono, write_audio

FIRST_PHRASE = 1000  # apart from the embedded phrases' numbers
PITCHES = ("C", "Cs", "D", "Ds", "E", "F", "Fs", "G", "Gs", "A", "As", "B")
STRUNG_SECONDS = (3.0, 7.0)
NEAR_SEMITONES = 7  # the next note lies within a fifth of the one before
FADE_SECONDS = 0.03
PEAK = 0.9
DEBIAN, PHILHARMONIA = "debian", "philharmonia"  # corpora: a class draws from each equally often


def strung_phrase(notes: list[tuple[int, torch.Tensor]], generator: numpy.random.Generator) -> torch.Tensor:
    """A phrase [time] of single notes: neighbours in pitch, varied gaps, overlaps, cuts and levels."""
    stop = generator.uniform(*STRUNG_SECONDS)
    phrase = torch.zeros(round((stop + 4) * SAMPLE_RATE))
    place, time, end = generator.integers(len(notes)), 0.0, 0
    pace, overlap = generator.uniform(0.15, 1.2), generator.uniform(0.6, 1.3)
    while time < stop:
        pitch, note = notes[place]
        length = min(len(note), round(pace * generator.choice([0.5, 1, 1, 2]) * overlap * SAMPLE_RATE) + 800)
        piece = note[:length].clone()
        fade = min(round(FADE_SECONDS * SAMPLE_RATE), length)
        piece[length - fade :] *= torch.linspace(1, 0, fade)
        start = round(time * SAMPLE_RATE)
        piece = piece[: len(phrase) - start] * 10 ** (generator.normal(0, 3) / 20)
        phrase[start : start + len(piece)] += piece
        end = max(end, start + len(piece))
        time += length / SAMPLE_RATE / overlap + (generator.exponential(0.3) if generator.random() < 0.2 else 0)
        near = [i for i, (other, _) in enumerate(notes) if abs(other - pitch) <= NEAR_SEMITONES]
        place = int(generator.choice(near))
    return phrase[:end] * (PEAK / phrase.abs().max().clamp_min(1e-6))


def read_notes(folder: Path) -> list[tuple[int, torch.Tensor]]:
    """(pitch in semitones, samples [time]) of each readable note, without leading silence; unpitched ones are 0."""
    notes = []
    for file in sorted(folder.glob("*.mp3")):
        try:
            samples = read_mono(file)
        except ValueError:
            continue
        loud = (samples.abs() > 0.02 * samples.abs().max()).nonzero()
        if len(loud) and len(samples) > 800:
            notes.append((_pitch(file.stem), samples[int(loud[0]) :] / samples.abs().max()))
    return notes


def _pitch(name: str) -> int:
    match = re.search(r"_([A-G]s?)(\d)_", name)
    return PITCHES.index(match[1]) + 12 * int(match[2]) if match else 0


def main() -> None:
    """Write the training clips and print the minutes a class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--philharmonia", type=Path, help="folder of single notes, one subfolder a label")
    parser.add_argument("--phrases", type=int, default=40, help="phrases a class")
    parser.add_argument("--cache", type=Path, default=Path("out/debian"))
    arguments = parser.parse_args()
    seconds: dict[str, float] = defaultdict(float)

    def write(corpus: str, label: str, stem: str, samples: torch.Tensor) -> None:
        write_audio(arguments.out / corpus / label / f"{stem}.flac", samples.clamp(-1, 1), SAMPLE_RATE, "PCM_16")
        seconds[f"{corpus}/{label}"] += len(samples) / SAMPLE_RATE

    for label in tqdm(INSTRUMENTS, desc="rendered"):
        for source in phrases(arguments.cache, label, "train", FIRST_PHRASE, arguments.phrases):
            write(DEBIAN, label, source.stem, source.samples)
    for source in cc0_samples(arguments.cache, "train"):
        write(DEBIAN, source.label, source.stem, source.samples)
    if arguments.philharmonia:
        for label in tqdm([name for name in INSTRUMENTS if (arguments.philharmonia / name).is_dir()], desc="strung"):
            notes = read_notes(arguments.philharmonia / label)
            for number in range(arguments.phrases):
                generator = numpy.random.default_rng([3, list(INSTRUMENTS).index(label), number])
                write(PHILHARMONIA, label, f"strung_{number:03d}", strung_phrase(notes, generator))
    for name, total in sorted(seconds.items()):
        print(f"{name}: {total / 60:.1f} min")


if __name__ == "__main__":
    main()
