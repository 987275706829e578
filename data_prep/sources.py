"""The single-source clips that the embedded and the training audio are made of."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from data_prep.packages import Package, fetch_package
from data_prep.phrases import INSTRUMENTS, compose, render
from unsep_lib.audio import SAMPLE_RATE, read_mono

VOICES = {
    "it": ("test", "it_IT_m_Carlo"),
    "ru": ("test", "ru_RU_f_IvrvoiceRU"),
    "fr": ("train", "fr_CA_f_June"),
    "en": ("train", "en_US_f_Allison"),
    "es": ("train", "es_MX_f_Allison"),
}
VOICE_BYTES = (20_000, 80_000)  # G.722 at 64 kbit/s: prompts of 2.5 to 10 s
CC0_SAMPLES = {
    "Bass_drum": ("bd_*", "drum_bass_*", "drum_heavy_kick"),
    "Snare_drum": ("sn_*", "drum_snare_*"),
    "Hi-hat": ("drum_cymbal_closed", "drum_cymbal_open", "drum_cymbal_pedal"),
}
TEST_EVERY = 3  # every third CC0 sample is for testing only
PHRASE_SPLITS = {"test": 1, "train": 2}  # first entropy word of a phrase: keeps the splits' phrases apart
MAX_SECONDS = 6.0


@dataclass(frozen=True)
class Source:
    """A clip before it is written: samples [time] at 16 kHz and where they come from."""

    stem: str
    label: str
    split: str
    corpus: str
    samples: torch.Tensor
    package: str
    original: str
    licence: str
    credit: str


def voices(cache: Path, language: str, count: int, seed: int) -> Iterator[Source]:
    """`count` prompts of one voice, drawn by seed."""
    split, folder = VOICES[language]
    package = fetch_package(f"asterisk-core-sounds-{language}-g722", cache)
    licence, credit = package.terms(f"{language}-*" if language not in ("en", "es") else "other")
    low, high = VOICE_BYTES
    prompts = [
        f for f in package.files(f"usr/share/asterisk/sounds/{folder}/*.g722") if low <= f.stat().st_size <= high
    ]
    chosen = numpy.random.default_rng([seed, list(VOICES).index(language)]).permutation(len(prompts))[:count]
    for prompt in (prompts[index] for index in sorted(chosen)):
        yield Source(
            f"{language}_{prompt.stem}", "", split, f"asterisk-{language}", _decode_g722(prompt),
            f"{package.name} {package.version}", str(prompt.relative_to(package.root)), licence, credit,
        )  # fmt: skip


def _decode_g722(path: Path) -> torch.Tensor:
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "voice.wav"
        command = ["ffmpeg", "-loglevel", "error", "-f", "g722", "-i", path, "-ar", str(SAMPLE_RATE), wave]
        subprocess.run(command, check=True)
        return read_mono(wave)


def phrases(cache: Path, label: str, split: str, first: int, count: int) -> Iterator[Source]:
    """`count` rendered phrases of a class; the number of a phrase decides its notes."""
    package = fetch_package("fluid-soundfont-gm", cache)
    font = package.root / "usr/share/sounds/sf2/FluidR3_GM.sf2"
    for number in range(first, first + count):
        entropy = [PHRASE_SPLITS[split], list(INSTRUMENTS).index(label), number]
        phrase = compose(INSTRUMENTS[label], numpy.random.default_rng(entropy))
        samples = render(phrase, font)[: round(MAX_SECONDS * SAMPLE_RATE)]
        yield Source(
            f"phrase_{number:03d}", label, split, "fluid-phrases", samples,
            f"{package.name} {package.version}", f"phrase {entropy} on FluidR3_GM.sf2", "MIT", "Frank Wen",
        )  # fmt: skip


def cc0_samples(cache: Path, split: str) -> Iterator[Source]:
    """The drum samples of Sonic Pi whose licence is CC0."""
    package = fetch_package("sonic-pi-samples", cache)
    for label, patterns in CC0_SAMPLES.items():
        files = sorted({f for pattern in patterns for f in package.files(f"usr/share/sonic-pi/samples/{pattern}.flac")})
        for index, file in enumerate(files):
            licence, credit = package.terms(f"etc/samples/{file.name}")
            if licence == "CC0" and ("test" if index % TEST_EVERY == 0 else "train") == split:
                yield Source(
                    file.stem, label, split, "sonic-pi", read_mono(file),
                    f"{package.name} {package.version}", str(file.relative_to(package.root)), licence, credit,
                )  # fmt: skip


def package_names() -> list[str]:
    """Every Debian package that audio is taken from."""
    return [*(f"asterisk-core-sounds-{language}-g722" for language in VOICES), "sonic-pi-samples", "fluid-soundfont-gm"]


__all__ = ["VOICES", "Package", "Source", "cc0_samples", "package_names", "phrases", "voices"]
