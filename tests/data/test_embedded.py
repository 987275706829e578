import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
import soundfile
import torch

from unsep_lib.data.embedded import EMBEDDED, embedded_clips, embedded_mixtures
from unsep_lib.data.mixture_sets import TASKS

RATE, SECONDS = 16_000, 4
SIXTEEN_BIT = 1 / 32_768
LIMIT_BYTES = 10_000_000
LEAST_MIXTURES = 20
TEST_VOICES, TRAIN_VOICES = {"it", "ru"}, {"fr", "en", "es"}


@pytest.fixture(scope="module")
def rows():
    with (EMBEDDED / "ATTRIBUTION.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def mixtures():
    return embedded_mixtures()


def audio_files():
    return sorted(EMBEDDED.rglob("*.flac"))


def origins(rows, folder):
    """What the files below `folder` were made from, one entry an original."""
    return {name for row in rows if row["file"].startswith(folder) for name in row["original"].split("; ")}


def languages(packages):
    return set(re.findall(r"asterisk-core-sounds-(\w+)-g722", packages))


def test_every_listed_file_has_its_checksum_and_a_licence(rows):
    assert rows
    for row in rows:
        content = (EMBEDDED / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"], row["file"]
        assert all(row[field].strip() for field in ("package", "original", "licence", "credit")), row["file"]


def test_every_audio_file_is_listed_once(rows):
    assert [path.relative_to(EMBEDDED).as_posix() for path in audio_files()] == sorted(row["file"] for row in rows)


def test_the_audio_is_small_and_at_16_khz():
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*") if path.is_file()) <= LIMIT_BYTES
    assert {soundfile.info(path).samplerate for path in audio_files()} == {RATE}
    assert {soundfile.info(path).channels for path in audio_files()} == {1}


def test_there_are_mixtures_of_every_task_with_its_sources(mixtures):
    counts = Counter(mixture.name.rpartition("_")[0] for mixture in mixtures)
    assert set(counts) == set(TASKS)
    assert sum(counts.values()) >= LEAST_MIXTURES
    assert len(embedded_mixtures("2speakers")) == counts["2speakers"]
    for mixture in mixtures:
        task, kinds = TASKS[mixture.name.rpartition("_")[0]], Counter(spec.prior for spec in mixture.specs)
        assert kinds == Counter(speech=task.speech, sound=task.sounds), mixture.name
        assert all((spec.label is not None) == (spec.prior == "sound") for spec in mixture.specs), mixture.name


def test_references_last_four_seconds_and_sum_to_their_mixture(mixtures):
    for mixture in mixtures:
        assert mixture.sources.shape == (len(mixture.specs), SECONDS * RATE), mixture.name
        rounding = (len(mixture.specs) + 1) / 2 * SIXTEEN_BIT
        error = (mixture.sources.sum(dim=0) - mixture.mixture).abs().max().item()
        assert error <= rounding + 1e-6, mixture.name
        at_full_scale = mixture.sources.abs().max().item() >= 1 - SIXTEEN_BIT
        peak = mixture.mixture.abs().max().item()
        assert peak == pytest.approx(0.95, abs=2 * SIXTEEN_BIT) or (at_full_scale and peak < 0.95), mixture.name


def test_levels_within_a_mixture_differ_by_at_most_five_decibels(mixtures):
    for mixture in mixtures:
        levels = 10 * mixture.sources.double().square().mean(dim=1).log10()
        assert (levels.max() - levels.min()).item() <= 5.02, mixture.name


def test_test_voices_and_training_voices_are_different_people(rows):
    for row in rows:
        allowed = TEST_VOICES if row["file"].startswith("mixtures/") else TRAIN_VOICES
        assert languages(row["package"]) <= allowed, row["file"]
    used = set().union(*(languages(row["package"]) for row in rows))
    assert used == TEST_VOICES | TRAIN_VOICES


def test_two_speakers_are_two_voices(rows):
    for row in rows:
        if re.fullmatch(r"mixtures/2speakers_\d+/mix\.flac", row["file"]):
            assert languages(row["package"]) == TEST_VOICES, row["file"]


def test_nothing_in_a_mixture_was_cut_from_a_training_clip(rows):
    test, train = origins(rows, "mixtures/"), origins(rows, "clips/train/")
    assert test and train
    assert not test & train


def test_a_mixture_credits_exactly_its_references(rows):
    for mix in (row for row in rows if row["file"].endswith("/mix.flac")):
        folder = mix["file"].removesuffix("mix.flac")
        references = [row for row in rows if row["file"].startswith(folder + "source_")]
        for field in ("package", "original", "licence", "credit"):
            assert mix[field] == "; ".join(dict.fromkeys(row[field] for row in references)), mix["file"]


def test_the_manifest_describes_the_files_it_names(rows):
    clips = embedded_clips()
    listed = {row["file"]: row["sha256"] for row in rows}
    files = [Path(clip.file).relative_to(EMBEDDED).as_posix() for clip in clips]
    assert sorted(files) == sorted(name for name in listed if not name.endswith("/mix.flac"))
    for file, clip in zip(files, clips, strict=True):
        info = soundfile.info(clip.file)
        assert (clip.sha256, clip.frames, clip.sample_rate) == (listed[file], info.frames, info.samplerate), file
        assert clip.split == ("test" if file.startswith("mixtures/") else "train"), file
        assert all(0 <= start < stop <= clip.seconds for start, stop in clip.spans), file


def test_every_class_of_the_test_mixtures_can_be_trained(mixtures):
    train = {clip.label for clip in embedded_clips() if clip.split == "train"}
    assert {spec.label or "" for mixture in mixtures for spec in mixture.specs} <= train


def test_no_clip_is_silent_or_broken():
    for path in audio_files():
        samples, _ = soundfile.read(path, dtype="float32")
        assert 0.01 < torch.from_numpy(samples).abs().max() <= 1.0, path.name
