"""Corpora made to layout with as many files as the real ones have, and small ones for every day."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy
import pytest
import soundfile

from unsep_lib.data.clips import speaker_of
from unsep_lib.data.prepare import read_corpus, read_prepared, write_prepared
from unsep_lib.reproduce.corpus_report import departures, write_page

TEMPLATES = 8  # different files; the others are hard links to them
VCTK_SPEAKERS, VCTK_UTTERANCES = 110, 404  # 44 440 recordings of the first microphone
FSD_TRAIN, FSD_TEST, FSD_CLASSES = 9473, 1600, 41
real_size = pytest.mark.full


@pytest.fixture
def templates(tmp_path):
    """templates(rate, suffix): short recordings of noise to link to."""

    def make(rate, suffix):
        folder = tmp_path / f"templates{rate}"
        folder.mkdir()
        for number in range(TEMPLATES):
            noise = 0.1 * numpy.random.default_rng(number).standard_normal(rate // 10 * (number + 1))
            soundfile.write(folder / f"{number}{suffix}", noise, rate)
        return sorted(folder.iterdir())

    return make


def link(template, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(template, path)


def prepared_twice(root, manifest, workers):
    first = read_corpus(root, workers=workers)
    assert write_prepared(manifest, first)
    before = manifest.stat().st_mtime_ns
    second = read_corpus(root, workers=workers, before=[read_prepared(manifest)])
    assert not write_prepared(manifest, second)
    assert (second.read, second.clips, manifest.stat().st_mtime_ns) == (0, first.clips, before)
    return first


@pytest.mark.parametrize(
    ("speakers", "utterances", "workers"),
    [(103, 2, 1), pytest.param(VCTK_SPEAKERS, VCTK_UTTERANCES, None, marks=real_size)],
)
def test_vctk(speakers, utterances, workers, templates, tmp_path):
    root, sources = tmp_path / "VCTK-Corpus-0.92", templates(48_000, ".flac")
    for speaker in range(speakers):
        name = f"p{225 + speaker}"
        for number in range(utterances):
            for microphone in (1, 2):
                file = root / "wav48_silence_trimmed" / name / f"{name}_{number:03d}_mic{microphone}.flac"
                link(sources[(speaker + number) % TEMPLATES], file)
    prepared = prepared_twice(root, tmp_path / "vctk.jsonl", workers)
    assert prepared.read == len(prepared.clips) == speakers * utterances
    splits = {speaker_of(clip): clip.split for clip in prepared.clips}
    assert Counter(splits.values()) == {"train": 100, "test": speakers - 100}
    assert max(who for who, split in splits.items() if split == "train") < min(
        who for who, split in splits.items() if split == "test"
    )
    assert all(Path(clip.file).stem.endswith("_mic1") and clip.spans for clip in prepared.clips)
    assert bool(departures(prepared.clips)) == (speakers != VCTK_SPEAKERS)
    assert write_page(tmp_path / "page", "VCTK", root, prepared).stat().st_size < 3_000_000


@pytest.mark.parametrize(
    ("train", "test", "classes", "workers"),
    [(90, 30, 10, 1), pytest.param(FSD_TRAIN, FSD_TEST, FSD_CLASSES, None, marks=real_size)],
)
def test_fsdkaggle2018(train, test, classes, workers, templates, tmp_path):
    root, sources = tmp_path / "FSDKaggle2018", templates(44_100, ".wav")
    tables = {
        "train": ("train_post_competition.csv", "manually_verified", train),
        "test": ("test_post_competition_scoring_clips.csv", "usage", test),
    }
    (root / "FSDKaggle2018.meta").mkdir(parents=True)
    for split, (table, column, count) in tables.items():
        with (root / "FSDKaggle2018.meta" / table).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["fname", "label", column])
            for number in range(count):
                name = f"{split}{number:05d}.wav"
                link(sources[number % TEMPLATES], root / f"FSDKaggle2018.audio_{split}" / name)
                writer.writerow([name, f"Class_{number % classes:02d}", int(number % 3 == 0)])
    prepared = prepared_twice(root, tmp_path / "fsd.jsonl", workers)
    assert Counter(clip.split for clip in prepared.clips) == {"train": train, "test": test}
    assert Counter(clip.label for clip in prepared.clips).keys() == {f"Class_{n:02d}" for n in range(classes)}
    flags = Counter((clip.split, clip.verified) for clip in prepared.clips)
    assert flags == {("train", True): -(-train // 3), ("train", False): train - -(-train // 3), ("test", None): test}
    assert bool(departures(prepared.clips)) == (classes != FSD_CLASSES)
    assert write_page(tmp_path / "page", "FSDKaggle2018", root, prepared).stat().st_size < 3_000_000
