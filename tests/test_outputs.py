"""No command writes over what it reads, nor over a recording, weights or notebooks that are there already."""

import json
import shutil

import pytest
import soundfile
from command_line import FAST, contents, noise, one_sentence, write
from places import REPOSITORY

from unsep_lib.__main__ import main
from unsep_lib.files import refuse_overwriting
from unsep_lib.priors.checkpoints import card_of
from unsep_lib.reproduce.run import reproduce
from unsep_lib.separation import UNFINISHED
from unsep_lib.source_spec import file_names, parse_spec

KINDS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "ogg": "OGG", "aiff": "AIFF"}


@pytest.fixture
def place(home, tmp_path, monkeypatch):
    """The working folder: two voices with their manifest, a set of one mixture, an experiment on it."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write(tmp_path / f"voice_{number}" / "a.wav", 3 * noise(16_000, seed=number).numpy(), 16_000)
        assert main(["data", "prepare", f"voice_{number}", "--out", f"{number}.jsonl", "--workers=1"]) == 0
    sources = noise(2, 1600, seed=3).numpy()
    for name, samples in (("source_1", sources[0]), ("source_2", sources[1]), ("mix", sources.sum(axis=0))):
        write(tmp_path / "mixtures" / "a_0" / f"{name}.wav", samples, 16_000)
    (tmp_path / "mixtures" / "a_0" / "labels.txt").write_text("speech\nspeech\n")
    (tmp_path / "mixtures" / "set.json").write_text("{}")
    (tmp_path / "own.toml").write_text(
        'mixtures = "mixtures"\nseeds = [0]\nsolvers = [{ name = "projection", steps = [1] }]\n'
    )
    return tmp_path


EVALUATE = ["evaluate", "--mixtures", "mixtures", *FAST]
PREPARE = ["data", "prepare", "voice_0", "--workers=1"]
MIX = ["data", "mix", "--task=2speakers", "--count=1", "--split=train", "--workers=1", "--speech", "0.jsonl", "1.jsonl"]
TRAIN = ["train", "mine", "--data", "0.jsonl", "--steps=1"]
FILES = {
    "evaluate --json": lambda file: [*EVALUATE, "--json", file],
    "data prepare --out": lambda file: [*PREPARE, "--out", file],
}
FOLDERS = {
    "data prepare --page": lambda folder: [*PREPARE, "--out", "m.jsonl", "--page", folder],
    "data mix --out": lambda folder: [*MIX, "--out", folder],
    "train --out": lambda folder: [*TRAIN, "--out", folder],
    "experiment --out": lambda folder: ["experiment", "own.toml", "--out", folder],
    "separate --out": lambda folder: ["separate", "voice_0/a.wav", "--source=speech", *FAST, "--out", folder],
    "reproduce --out": lambda folder: ["reproduce", "--profile=smoke", "--out", folder],
}


def refused(words, place, capsys, says):
    before, _ = contents(place), capsys.readouterr()
    assert main(list(map(str, words))) == 2
    assert says in one_sentence(capsys)
    assert contents(place) == before


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("suffix", KINDS)
def test_a_recording_is_never_written_over_by_a_text(command, suffix, place, capsys):
    soundfile.write(place / f"song.{suffix}", noise(4000).numpy(), 16_000, format=KINDS[suffix])
    refused(FILES[command](f"song.{suffix}"), place, capsys, "this file is no text and would be overwritten")


@pytest.mark.parametrize("command", FILES)
def test_weights_folders_and_devices_are_never_written_over_by_a_text(command, place, home, capsys):
    refused(FILES[command](home / "priors" / "speech.safetensors"), place, capsys, "no text and would be overwritten")
    refused(FILES[command]("mixtures"), place, capsys, "expected a file to write, found a folder or a device")
    refused(FILES[command]("/dev/null"), place, capsys, "expected a file to write, found a folder or a device")


@pytest.mark.parametrize("file", ["mixtures/a_0/labels.txt", "mixtures/set.json", "link.json"])
def test_an_evaluation_writes_over_nothing_that_it_reads(file, place, capsys):
    (place / "link.json").hardlink_to(place / "mixtures" / "a_0" / "labels.txt")
    refused(FILES["evaluate --json"](file), place, capsys, "this input would be overwritten")


def test_an_evaluation_writes_over_no_profile(place, capsys):
    shutil.copyfile(REPOSITORY / "unsep_lib" / "notebook" / "profiles" / "smoke.toml", "mine.toml")
    refused([*EVALUATE, "--profile=mine.toml", "--json=mine.toml"], place, capsys, "this input would be overwritten")


def test_preparing_writes_over_no_table_of_the_corpus(place, capsys):
    table = place / "voice_0" / "FSDKaggle2018.meta" / "train_post_competition.csv"
    table.parent.mkdir()
    table.write_text("fname,label\n")
    refused(FILES["data prepare --out"](table), place, capsys, "this input would be overwritten")


def test_the_list_of_skipped_files_and_the_page_write_over_no_recording(place, capsys):
    write(place / "m.skipped.wav", noise(400).numpy())
    refused(FILES["data prepare --out"]("m.wav"), place, capsys, "m.skipped.wav: this file is no text")
    write(place / "page" / "index.html.wav", noise(400).numpy()).rename(place / "page" / "index.html")
    refused(FOLDERS["data prepare --page"]("page"), place, capsys, "index.html: this file is no text")


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("file", ["voice_0/a.wav", "0.jsonl", "own.toml"])
def test_a_file_in_a_folders_place_is_refused_before_any_work(command, file, place, capsys):
    refused(FOLDERS[command](file), place, capsys, "is a file, expected a folder")


def test_weights_that_a_training_begins_from_are_never_written_over(place, home, capsys):
    for folder in (place / "run", home / "priors"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(home / "priors" / "speech.safetensors", folder / "mine.safetensors")
    begun = ["--from", "run/mine.safetensors"]
    refused([*TRAIN, *begun, "--out", "run"], place, capsys, "mine.safetensors: is there already")
    refused([*TRAIN, "--from=mine"], place, capsys, "mine.safetensors: is there already")
    shutil.copyfile(place / "run" / "mine.safetensors", home / "priors" / "other.safetensors")
    (home / "priors" / "mine.safetensors").unlink()
    assert main([*TRAIN, *begun]) == 0  # a run's own weights are written over when it goes on
    assert main([*TRAIN[:-1], *begun, "--steps=2"]) == 0
    assert card_of(home / "priors" / "mine.safetensors")["steps"] == 2


def test_a_set_of_mixtures_is_written_into_no_folder_of_recordings(place, capsys):
    refused(FOLDERS["data mix --out"]("voice_0"), place, capsys, "expected an empty folder")


def test_an_import_writes_over_no_trained_prior(place, capsys):
    (place / "vctk.pt").write_bytes(b"PK")
    refused(["checkpoint", "import", "vctk.pt", "--name=speech"], place, capsys, "a name that no trained prior has")


def test_a_table_of_a_sweep_writes_over_no_recording_and_not_over_its_manifest(place, capsys):
    out = place / "out"
    out.mkdir()
    write(out / "a.wav", noise(400).numpy()).rename(out / "table.csv")
    refused(["experiment", "own.toml", "--out=out"], place, capsys, "table.csv: this file is no text")
    (place / "0.jsonl").replace(out / "table.csv")
    with (place / "own.toml").open("a") as config:
        config.write('clips = "out/table.csv"\n')
    refused(["experiment", "own.toml", "--out=out"], place, capsys, "table.csv: this input would be overwritten")


def test_the_notebooks_are_never_written_over_by_their_run(place, capsys):
    refused(["reproduce", "--profile=smoke", "--out", REPOSITORY], place, capsys, "this input would be overwritten")
    (place / "clone" / "notebooks").mkdir(parents=True)
    (place / "clone" / "notebooks" / "00_a.ipynb").write_text(json.dumps({"cells": []}))
    (place / "linked").symlink_to(place / "clone")
    with pytest.raises(ValueError, match="this input would be overwritten"):
        reproduce(place / "clone" / "notebooks", "smoke", place / "linked")


def test_a_track_of_a_stopped_run_can_be_separated_only_elsewhere(place, capsys):
    track = place / "out" / UNFINISHED / "speech.wav"
    write(track, noise(500).numpy())
    words = ["separate", track, "--source=speech", *FAST]
    refused([*words, "--out=out"], place, capsys, "speech.wav: this input would be overwritten")
    assert main(list(map(str, [*words, "--out=elsewhere"]))) == 0
    refused([*words, "--out=next", f"--start={place}/out/{UNFINISHED}/speech.wav", "--out=out"], place, capsys,
            "this input would be overwritten")  # fmt: skip


def test_a_start_is_never_written_over(place, capsys):
    write(place / "speech.wav", noise(16_000).numpy(), 16_000)
    words = ["separate", "voice_0/a.wav", "--source=speech", *FAST, "--start=speech.wav", "--out=."]
    refused(words, place, capsys, "speech.wav: this input would be overwritten")


def test_no_source_has_the_residuals_name():
    assert file_names([parse_spec("residual"), parse_spec("speech")]) == ["residual_1", "speech"]
    assert file_names([parse_spec("Residual")] * 2) == ["Residual_1", "Residual_2"]


def test_what_is_a_text_is_told_by_its_content(tmp_path):
    for name, content in (("empty", b""), ("json", b"{}\n"), ("long", "ü".encode() * 40_000)):
        (tmp_path / name).write_bytes(content)
        refuse_overwriting([tmp_path / name, tmp_path / "new"], text=True)
    for name, content in (("latin-1", "ü".encode("latin-1")), ("UTF-16", "a".encode("utf-16")), ("zero", b"a\0b")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="no text"):
            refuse_overwriting([tmp_path / name], text=True)
        refuse_overwriting([tmp_path / name])
