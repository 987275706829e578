"""Build the embedded audio: `python -m data_prep.build_embedded` (Debian or Ubuntu; fluidsynth, ffmpeg, mido).

Writes below data_prep/embedded: clips/ (single sources to train on for show), mixtures/ (the test set with
references), manifest.jsonl and ATTRIBUTION.csv. Everything is decided by the seed below.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data_prep.phrases import INSTRUMENTS
from data_prep.sources import VOICES, Source, cc0_samples, phrases, voices
from unsep_lib.audio import SAMPLE_RATE, read_mono, rms_dbfs, scale_to_dbfs, write_audio
from unsep_lib.data.clips import Clip, active_spans, write_manifest
from unsep_lib.data.embedded import EMBEDDED
from unsep_lib.data.mixture_sets import draw_mixtures
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.files import sha256, write_text

SEED = 2512_07226  # the paper's arXiv number
TEST_PROMPTS, TRAIN_PROMPTS = 12, 7  # voice clips drawn a language
TEST_PHRASES, TRAIN_PHRASES = 5, 3  # rendered phrases a class
MIXTURES = {"1speech-1sound": 8, "1speech-2sounds": 4, "2sounds": 5, "3sounds": 4, "2speakers": 4}
LEVEL = -23.0  # dBFS, every clip's RMS as shipped
ATTRIBUTION_FIELDS = ("file", "package", "original", "licence", "credit", "sha256")


def write_clip(folder: Path, source: Source) -> Clip:
    """Write a source as 16-bit FLAC at 16 kHz below `folder/split/label` and describe it as a clip."""
    samples = scale_to_dbfs(source.samples, LEVEL)
    samples = samples / max(1.0, samples.abs().max().item())
    path = folder / source.split / (source.label or "speech") / f"{source.corpus}_{source.stem}.flac"
    write_audio(path, samples, SAMPLE_RATE, "PCM_16")
    return describe(path, source)


def describe(path: Path, source: Source) -> Clip:
    """A written file as a clip."""
    samples = read_mono(path)
    spans = active_spans(samples, SAMPLE_RATE)
    return Clip(source.corpus, str(path), sha256(path), source.label, source.split, SAMPLE_RATE, len(samples), spans)


def usable(source: Source) -> bool:
    """Whether a source can be heard at all."""
    return rms_dbfs(source.samples) > -60


def collect(cache: Path) -> tuple[list[Source], list[Source]]:
    """The clips of the test mixtures and those to train on for show."""
    test, train = [], []
    for language, (split, _) in VOICES.items():
        count = TEST_PROMPTS if split == "test" else TRAIN_PROMPTS
        (test if split == "test" else train).extend(voices(cache, language, count, SEED))
    for label in tqdm(INSTRUMENTS, desc="phrases"):
        test.extend(phrases(cache, label, "test", 0, TEST_PHRASES))
        train.extend(phrases(cache, label, "train", 0, TRAIN_PHRASES))
    test.extend(cc0_samples(cache, "test"))
    train.extend(cc0_samples(cache, "train"))
    return [source for source in test if usable(source)], [source for source in train if usable(source)]


def reference_clips(folder: Path, mixture: Mixture) -> list[Clip]:
    """A written mixture's references as clips of split "test"."""
    clips = []
    for number, spec in enumerate(mixture.specs, start=1):
        path = folder / f"source_{number}.flac"
        spans = active_spans(read_mono(path), SAMPLE_RATE)
        length = mixture.sources.shape[1]
        clips.append(
            Clip("test-mixtures", str(path), sha256(path), spec.label or "", "test", SAMPLE_RATE, length, spans)
        )
    return clips


def attribution(path: Path, out: Path, sources: Sequence[Source]) -> list[str]:
    """The attribution row of a shipped file made from `sources`."""

    def joined(values: Sequence[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    return [
        path.resolve().relative_to(out.resolve()).as_posix(),
        joined([source.package for source in sources]),
        joined([source.original for source in sources]),
        joined([source.licence for source in sources]),
        joined([source.credit for source in sources]),
        sha256(path),
    ]


def mixture_rows(folder: Path, out: Path, sources: Sequence[Source]) -> list[list[str]]:
    """Attribution of a mixture's files: each reference its source, the mixture all of them."""
    rows = [attribution(folder / f"source_{n}.flac", out, [source]) for n, source in enumerate(sources, start=1)]
    return [*rows, attribution(folder / "mix.flac", out, sources)]


def main() -> None:
    """Build everything anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=EMBEDDED)
    parser.add_argument("--cache", type=Path, default=Path("out/debian"), help="where packages are unpacked")
    arguments = parser.parse_args()
    out, cache = arguments.out, arguments.cache
    for part in ("clips", "mixtures"):
        shutil.rmtree(out / part, ignore_errors=True)
    test, train = collect(cache)
    test_list = [write_clip(cache / "test-sources", source) for source in test]
    test_clips = {clip.file: source for clip, source in zip(test_list, test, strict=True)}
    clips = [write_clip(out / "clips", source) for source in train]
    rows = [attribution(Path(clip.file), out, [source]) for clip, source in zip(clips, train, strict=True)]
    speech, sounds = [c for c in test_list if not c.label], [c for c in test_list if c.label]
    for task, count in MIXTURES.items():
        for mixture in draw_mixtures(task, speech, sounds, count, SEED):
            folder = out / "mixtures" / mixture.name
            write_mixture(folder, mixture)
            clips += reference_clips(folder, mixture)
            rows += mixture_rows(folder, out, [test_clips[origin] for origin in mixture.origins])
    write_manifest(out / "manifest.jsonl", clips)
    write_table(out / "ATTRIBUTION.csv", rows)
    print(f"{len(rows)} files, {sum((out / row[0]).stat().st_size for row in rows) / 1e6:.1f} MB")


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write the attribution table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([ATTRIBUTION_FIELDS, *rows])
    write_text(path, text.getvalue())


if __name__ == "__main__":
    main()
