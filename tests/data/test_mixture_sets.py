import json
import shutil
from pathlib import Path

import numpy
import pytest
import soundfile
import torch

from unsep_lib.__main__ import main
from unsep_lib.data.clips import Clip, write_manifest
from unsep_lib.data.mixture_sets import TASKS, MixtureSet, checksum, mixture_of, write_set
from unsep_lib.data.mixtures import read_mixtures

RATES = (16_000, 44_100, 48_000)
SPEAKERS, CLASSES = ("p1", "p2", "p3"), ("Cello", "Flute", "Gong")
COUNT = 6
CHECKSUMS = {
    "1speech-2sounds": "89ec83872949254c0763fb51c37086c2ea6b44abf5bccd5de8db9a0d38489042",
    "2speakers": "9bdb18cc98241c781a262c348b18f22939da7fd73887603a6359bfe07f47e430",
}


def integers(length, seed):
    """Noise as 16-bit integers, by a linear congruential generator: the same on every machine."""
    values = numpy.empty(length, numpy.uint32)
    state = numpy.uint32(seed)
    with numpy.errstate(over="ignore"):
        for index in range(length):
            state = state * numpy.uint32(1_664_525) + numpy.uint32(1_013_904_223)
            values[index] = state
    return ((values >> 20).astype(numpy.int32) - 2048).astype(numpy.int16)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(root):
    """(speech, sounds): three voices and three classes of two clips each, five seconds at three rates."""

    def clip(corpus, name, label, number):
        rate, path = RATES[number % 3], root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = numpy.tile(integers(997, number + 1), 5 * rate // 997 + 1)[: 5 * rate]
        samples[: rate // 2] = 0
        soundfile.write(path, samples, rate, subtype="PCM_16")
        return Clip(corpus, str(path), f"{number:064x}", label, "test", rate, 5 * rate, ((0.5, 5.0),))

    speech = [clip("VCTK", f"{who}/{who}_{n}.wav", "", 2 * i + n) for i, who in enumerate(SPEAKERS) for n in range(2)]
    sounds = [clip("F", f"{k}{n}.wav", k, 10 + 2 * i + n) for i, k in enumerate(CLASSES) for n in range(2)]
    return speech, sounds


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("task", CHECKSUMS)
def test_a_small_set_has_the_checksum_it_has_everywhere(task, clips):
    assert checksum(MixtureSet(task, *clips, COUNT, 0)) == CHECKSUMS[task]


def test_files_and_mixtures_made_on_the_fly_are_the_same_for_any_number_of_workers(clips, tmp_path):
    mixtures = MixtureSet("1speech-1sound", *clips, COUNT, 3)
    totals = [write_set(tmp_path / str(workers), mixtures, workers) for workers in (1, 2)]
    assert files(tmp_path / "1") == files(tmp_path / "2")
    written = read_mixtures(tmp_path / "1")
    assert {*totals, checksum(mixtures), checksum(written)} == {totals[0]}
    assert [mixture.name for mixture in written] == [f"1speech-1sound_{index:05d}" for index in range(COUNT)]
    for made, read in zip(mixtures, written, strict=True):
        assert made.specs == read.specs
        torch.testing.assert_close(read.sources, made.sources, atol=1 / 32_768, rtol=0)


def test_a_mixture_depends_neither_on_how_many_there_are_nor_on_the_others(clips):
    few, many = MixtureSet("2sounds", *clips, 2, 0), MixtureSet("2sounds", *clips, 5, 0)
    assert [checksum([mixture]) for mixture in few] == [checksum([many[index]]) for index in range(2)]
    assert len({checksum([mixture]) for mixture in many}) == len(many) == 5


def test_paths_and_the_order_of_the_clips_do_not_matter(clips, root, tmp_path):
    moved = shutil.copytree(root, tmp_path / "elsewhere")

    def elsewhere(group):
        return [
            Clip(**(vars(clip) | {"file": str(moved / Path(clip.file).relative_to(root))})) for clip in reversed(group)
        ]

    speech, sounds = clips
    expected = checksum(MixtureSet("1speech-1sound", speech, sounds, 2, 0))
    assert checksum(MixtureSet("1speech-1sound", elsewhere(speech), elsewhere(sounds), 2, 0)) == expected
    assert checksum(MixtureSet("1speech-1sound", speech, sounds, 2, 1)) != expected


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_sources_at_their_levels(task, clips):
    for mixture in MixtureSet(task, *clips, 2, 0):
        assert [spec.prior for spec in mixture.specs] == ["speech"] * TASKS[task].speech + ["sound"] * TASKS[
            task
        ].sounds
        torch.testing.assert_close(mixture.sources.sum(dim=0), mixture.mixture)
        assert mixture.mixture.abs().max().item() == pytest.approx(0.95, abs=1e-6)
        levels = 10 * mixture.sources.square().mean(dim=1).log10()
        assert (levels.max() - levels.min()).item() <= 5.0 + 1e-3


def test_a_data_loader_takes_a_set(clips):
    mixtures = MixtureSet("2sounds", *clips, 3, 0)
    loaded = list(torch.utils.data.DataLoader(mixtures, batch_size=None))
    assert checksum(loaded) == checksum(mixtures)


def test_clips_known_to_be_too_quiet_and_clips_of_the_other_kind_are_left_out(clips):
    speech, sounds = clips
    quiet = Clip(**(vars(sounds[0]) | {"label": "Quiet", "level": -70.0}))
    mixtures = MixtureSet("2sounds", speech, [*sounds, *speech, quiet], 8, 0)
    assert {spec.label for recipe in mixtures.recipes for spec in recipe.specs} == set(CLASSES)
    assert mixtures.clips == tuple(sounds)


def test_an_interrupted_set_is_completed_without_making_the_rest_again(clips, tmp_path, monkeypatch):
    mixtures, made = MixtureSet("2speakers", *clips, 3, 0), []
    total = write_set(tmp_path / "set", mixtures, 1)
    before = files(tmp_path / "set")
    middle = tmp_path / "set" / "2speakers_00001"
    middle.rename(middle.with_name(".2speakers_00001.partial"))
    (tmp_path / "set" / ".2speakers_00007.partial").mkdir()
    (tmp_path / "set" / ".2speakers_00007.partial" / "mix.flac").write_text("half")

    def counted(recipe):
        made.append(recipe.name)
        return mixture_of(recipe)

    monkeypatch.setattr("unsep_lib.data.mixture_sets.mixture_of", counted)
    assert write_set(tmp_path / "set", mixtures, 1) == total
    assert made == ["2speakers_00001"]
    assert files(tmp_path / "set") == before
    more = write_set(tmp_path / "set", MixtureSet("2speakers", *clips, 4, 0), 1)
    assert made == ["2speakers_00001", "2speakers_00003"]
    assert json.loads((tmp_path / "set" / "set.json").read_text()) | {"clips": ""} == {
        "task": "2speakers", "seed": 0, "clips": "", "count": 4, "sha256": more,
    }  # fmt: skip


def test_a_folder_of_something_else_is_refused_and_kept(clips, tmp_path):
    write_set(tmp_path / "set", MixtureSet("2sounds", *clips, 2, 0), 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    before = files(tmp_path)
    for folder, seed in (("set", 1), ("other", 0)):
        with pytest.raises(ValueError, match="expected an empty folder or one with mixtures of the same task, seed"):
            write_set(tmp_path / folder, MixtureSet("2sounds", *clips, 2, seed), 1)
    with pytest.raises(ValueError, match="at most the 1 mixtures asked for, found also 2sounds_00001"):
        write_set(tmp_path / "set", MixtureSet("2sounds", *clips, 1, 0), 1)
    assert files(tmp_path) == before


def test_the_command_draws_what_the_library_draws(clips, tmp_path, capsys):
    for name, group in zip(("speech", "sounds"), clips, strict=True):
        write_manifest(tmp_path / f"{name}.jsonl", group)
    manifests = ["--speech", str(tmp_path / "speech.jsonl"), "--sounds", str(tmp_path / "sounds.jsonl")]
    command = ["data", "mix", "--task", "1speech-2sounds", "--count", str(COUNT), "--out", str(tmp_path / "out")]
    assert main([*command, *manifests, "--workers", "1"]) == 0
    assert CHECKSUMS["1speech-2sounds"] in capsys.readouterr().out
    assert checksum(read_mixtures(tmp_path / "out")) == CHECKSUMS["1speech-2sounds"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "9sounds", "--count", "1"], "unknown task '9sounds'"),
        (["--task", "2sounds", "--count", "0"], "expected a count above 0"),
        (["--task", "2sounds", "--count", "1", "--seed", "-1"], "a seed of at least 0, got 1 and -1"),
        (["--task", "1speech-1sound", "--count", "1"], "at least 1 different speakers or classes, got 0"),
        (["--task", "2sounds", "--count", "1", "--split", "train"], "at least 2 different speakers or classes, got 0"),
        (["--task", "2sounds", "--count", "1", "--workers", "0"], "expected at least 1 worker, got 0"),
    ],
)
def test_bad_orders_write_nothing(arguments, message, clips, tmp_path, capsys):
    write_manifest(tmp_path / "sounds.jsonl", clips[1])
    options = ["--sounds", str(tmp_path / "sounds.jsonl"), "--out", str(tmp_path / "out")]
    assert main(["data", "mix", *arguments, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
