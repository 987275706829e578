import numpy
import pytest
import soundfile
import torch

from unsep_lib.__main__ import main
from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.training.by_name import clips_alone, fine_tune


def hum(path, seconds, seed, pitch=137):
    """Harmonics of one pitch in Hz under a slow envelope: a sound that no shipped prior was trained on."""
    generator = numpy.random.default_rng(seed)
    time = numpy.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    partials = sum(numpy.sin(2 * numpy.pi * pitch * n * time + generator.uniform(0, 6.28)) / n for n in range(1, 9))
    samples = 0.05 * partials * (1.2 + numpy.sin(2 * numpy.pi * 1.3 * time + seed))
    soundfile.write(path, samples, SAMPLE_RATE)
    return torch.from_numpy(samples).float()[None]


def error(prior, clean, sigma):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return (prior.denoise(clean + sigma * noise, sigma) - clean).square().mean().item()


@pytest.mark.full
def test_an_enrolled_prior_knows_its_sound_better_than_the_one_it_began_with(tmp_path):
    hum(tmp_path / "hum.wav", 6, seed=1)
    unheard = hum(tmp_path / "unheard.wav", 2, seed=2)
    file = fine_tune("hum", clips_alone([tmp_path / "hum.wav"]), tmp_path / "run", base="sound", steps=100)
    other = hum(tmp_path / "other.wav", 2, seed=2, pitch=155)
    before, after = load_prior("sound"), load_prior(file)
    for sigma in (0.1, 0.3):
        own, others = (error(after, clean, sigma) / error(before, clean, sigma) for clean in (unheard, other))
        assert own < 0.9
        assert others > 1.2 * own, "it learnt the sound at other speeds too"


def test_the_command_installs_a_prior_that_separate_knows(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    hum(tmp_path / "hum.wav", 4, seed=1)
    assert main(["enrol", "hum", str(tmp_path / "hum.wav"), "--from", "sound", "--steps", "1"]) == 0
    assert "--source hum" in capsys.readouterr().out
    assert [file.name for file in (tmp_path / "home").rglob("*") if file.is_file()] == ["hum.safetensors"]
    again = ["enrol", "hum", str(tmp_path / "hum.wav"), "--from", "sound", "--steps", "1"]
    assert main(again) == 2
    assert "there already" in capsys.readouterr().err
    assert main([*again, "--replace"]) == 0


def test_no_steps_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    hum(tmp_path / "hum.wav", 4, seed=1)
    assert main(["enrol", "hum", str(tmp_path / "hum.wav"), "--from", "sound", "--steps", "0"]) == 2
    assert "got 0" in capsys.readouterr().err and not list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (numpy.zeros(5 * SAMPLE_RATE), "silent"),
        (0.1 * numpy.sin(numpy.arange(SAMPLE_RATE)), "3 s or more"),
        (None, "no such audio file"),
    ],
)
def test_what_cannot_be_enrolled_is_refused_in_one_sentence(content, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    if content is not None:
        soundfile.write(tmp_path / "voice.wav", content, SAMPLE_RATE)
    assert main(["enrol", "anna", str(tmp_path / "voice.wav")]) == 2
    said = capsys.readouterr().err
    assert sentence in said.casefold()
    assert said.count("\n") == 1
    assert not (tmp_path / "home" / "priors").exists()
