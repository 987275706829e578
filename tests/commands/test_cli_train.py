import functools
from pathlib import Path

import numpy
import pytest
from command_line import RATE, contents, names, read, separated, write

from unsep_lib.__main__ import main
from unsep_lib.networks.unet import CompactConfig
from unsep_lib.priors.checkpoints import card_of
from unsep_lib.training import TrainingConfig

SMALL_CONFIG = {"batch": 2, "crop_seconds": 0.25}


def tone_folder(root):
    seconds = numpy.arange(RATE) / RATE
    for label, hertz in (("low", 300), ("high", 2500)):
        write(root / label / "a.wav", 0.3 * numpy.sin(2 * numpy.pi * hertz * seconds))
    return root


@pytest.fixture
def small_training(monkeypatch):
    monkeypatch.setattr("unsep_lib.training.by_name.TrainingConfig", functools.partial(TrainingConfig, **SMALL_CONFIG))
    monkeypatch.setattr(CompactConfig, "widths", (8, 16))
    monkeypatch.setattr(CompactConfig, "blocks", (1, 1))


def test_an_own_folder_becomes_a_prior_that_separates_by_name(home, small_training, mixture, tmp_path, capsys):
    manifest = str(tmp_path / "own.jsonl")
    folder = tone_folder(tmp_path / "own")
    assert main(["data", "prepare", str(folder), "--out", manifest, "--workers", "1"]) == 0
    assert "2 clips" in capsys.readouterr().out
    assert main(["train", "mine", "--data", manifest, "--steps", "3"]) == 0
    prior = home / "priors" / "mine.safetensors"
    assert Path(capsys.readouterr().out.strip()) == prior
    assert (card_of(prior)["steps"], card_of(prior)["labels"]) == (3, ["high", "low"])
    assert separated(mixture, tmp_path / "out", "mine:low", "mine:high") == 0
    assert names(tmp_path / "out") == {"mine_low.wav", "mine_high.wav", "residual.wav", "report.json"}
    before = prior.read_bytes()
    assert main(["train", "mine", "--data", manifest, "--steps", "3"]) == 0
    assert prior.read_bytes() == before
    hours = card_of(prior)["hours"]
    assert main(["train", "mine", "--data", manifest, "--steps", "5"]) == 0
    assert card_of(prior)["steps"] == 5
    assert card_of(prior)["hours"] > hours
    assert separated(mixture, tmp_path / "again", "mine:low", "mine:high") == 0
    assert not numpy.array_equal(read(tmp_path / "again" / "mine_low.wav"), read(tmp_path / "out" / "mine_low.wav"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "gone.jsonl", "--steps", "1"], "no such manifest"),
        (["--data", "bad.jsonl", "--steps", "1"], "line 1: not a clip"),
        (["--data", "empty.jsonl", "--steps", "1"], "expected clips to train on, got none"),
        (["--data", "empty.jsonl", "--steps", "0"], "a training budget above 0, got 0"),
        (["--data", "empty.jsonl", "--steps", "1", "--device", "abacus"], "device 'abacus'"),
        (["--data", "empty.jsonl", "--steps", "1", "--from", "sound", "--widths", "8"], "or --widths and --blocks"),
    ],
)
def test_bad_training_input_writes_nothing(arguments, message, home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").write_text("")
    before = contents(tmp_path)
    assert main(["train", "mine", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert contents(tmp_path) == before
