"""`from unsep_lib import separate`: paths, arrays, names and priors in, sources by name out."""

import json
import subprocess
import sys

import numpy
import pytest
import soundfile
import torch

import unsep_lib
from unsep_lib import load_prior, separate, separate_file

RATE = 16_000
FAST = {"solver": "projection", "steps": 1}


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def stereo(home):
    return noise(2, 8000)


def test_importing_the_package_loads_neither_torch_nor_anything_else_of_weight():
    code = "import sys, unsep_lib; print([name for name in ('torch', 'numpy', 'soundfile') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_everything_that_is_exported_is_there():
    for name in unsep_lib.__all__:
        assert name == "SOLVERS" or getattr(unsep_lib, name).__name__ == name
    assert unsep_lib.SOLVERS
    with pytest.raises(AttributeError, match="no attribute 'seperate'"):
        _ = unsep_lib.seperate


def test_a_path_and_an_array_give_the_same_sources_by_name(stereo, tmp_path):
    soundfile.write(tmp_path / "mix.wav", stereo.T.numpy(), RATE, subtype="FLOAT")
    found = separate(tmp_path / "mix.wav", ["speech", "sound:Cello"], **FAST)
    same = separate(stereo, ["speech", "sound:Cello"], RATE, **FAST)
    assert list(found) == ["speech", "sound_Cello"] and found.sample_rate == RATE
    assert torch.equal(found["sound:Cello"], found["sound_Cello"]) and torch.equal(found[1], found["sound:Cello"])
    for name in found:
        assert torch.equal(found[name], same[name])
    torch.testing.assert_close(sum(found.values()) + found.residual, stereo, atol=1e-6, rtol=0)
    with pytest.raises(KeyError, match="no source 'violin': there are speech, sound_Cello"):
        found["violin"]


def test_equal_sources_are_numbered_and_a_prior_of_ones_own_has_a_number(stereo):
    assert list(separate(stereo, ["speech", "speech"], RATE, **FAST)) == ["speech_1", "speech_2"]
    assert list(separate(stereo, [load_prior("speech"), "sound"], RATE, **FAST)) == ["source_1", "sound"]
    assert list(separate(stereo, "speech", RATE, **FAST)) == ["speech"]


def test_a_prior_that_is_called_like_a_number_keeps_its_track(stereo, home):
    (home / "priors" / "speech.safetensors").rename(home / "priors" / "source_1.safetensors")
    found = separate(stereo, [load_prior("sound"), "source_1"], RATE, **FAST)
    assert (
        list(found) == ["source_1_1", "source_1_2"] and len({samples.sum().item() for samples in found.values()}) == 2
    )


@pytest.mark.parametrize(
    "given",
    [
        lambda samples: samples.numpy(),
        lambda samples: samples.T,
        lambda samples: samples.T.numpy(),
        lambda samples: numpy.asfortranarray(samples.numpy().astype(numpy.float64)),
        lambda samples: samples.flip(-1).numpy()[:, ::-1],
        lambda samples: samples.tolist(),
        lambda samples: samples.clone().requires_grad_(),
    ],
)
def test_every_sensible_layout_is_the_same_recording(given, stereo):
    expected = separate(stereo, ["speech"], RATE, **FAST)
    found = separate(given(stereo), ["speech"], numpy.float64(RATE), **FAST)
    assert found.residual.shape == stereo.shape
    torch.testing.assert_close(found["speech"], expected["speech"])


@pytest.mark.parametrize(
    ("samples", "sources", "rate", "sentence"),
    [
        (noise(100, 100), ["speech"], RATE, r"at most 64 channels, got \(100, 100\)"),
        (numpy.zeros(100, numpy.int16), ["speech"], RATE, "expected real floating-point samples from -1 to 1"),
        ("x", ["speech"], None, "x: no such audio file"),
        ("x", ["speech"], RATE, "x: a file brings its own sample rate"),
        (object(), ["speech"], RATE, r"expected samples \[time\] or \[channel, time\], got object"),
        (noise(100), ["speech"], None, "expected a sample rate from 1000 to 768000 Hz with the samples, got None"),
        (noise(100), ["speech"], "16000", "with the samples, got '16000'"),
        (noise(100), ["speech"], 16_000.5, "with the samples, got 16000.5"),
        (noise(100), ["speech"], float("nan"), "with the samples, got nan"),
        (noise(100), 16_000, ["speech"], r"expected a sample rate .* got \['speech'\]"),
        (noise(100), [3], RATE, "expected sources such as `speech` or `sound:Cello`, or priors, got 3"),
        (noise(100), [], RATE, "expected at least one source"),
        (noise(100), ["ghost"], RATE, "unknown prior 'ghost'"),
    ],
)
def test_anything_else_gets_one_sentence(samples, sources, rate, sentence, home):
    with pytest.raises(ValueError, match=sentence) as caught:
        separate(samples, sources, rate, **FAST)
    assert "\n" not in str(caught.value)


def test_words_of_the_command_line_are_words_of_the_function(stereo, home):
    weights = home / "priors" / "speech.safetensors"
    expected = separate(stereo, ["speech"], RATE, **FAST)["speech"]
    found = separate(stereo, ["mine"], RATE, prior={"mine": weights}, precision="float32", device="cpu", **FAST)
    torch.testing.assert_close(found["mine"], expected, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="expected precision float32 or bfloat16, got 'half'"):
        separate(stereo, ["speech"], RATE, precision="half")


def test_saving_writes_what_separating_the_file_writes(stereo, tmp_path):
    file = tmp_path / "mix.wav"
    soundfile.write(file, stereo.T.numpy(), 22_050, subtype="FLOAT")
    saved = separate(file, ["speech", "sound"], **FAST).save(tmp_path / "saved")
    written = separate_file(file, ["speech", "sound"], tmp_path / "written", **FAST)
    assert [path.name for path in saved] == [path.name for path in written]
    for one, other in zip(saved, written, strict=True):
        assert soundfile.info(one).subtype == "FLOAT"
        assert numpy.array_equal(soundfile.read(one)[0], soundfile.read(other)[0])
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("saved", "written")]
    for key in ("mixture", "sources", "tracks", "solver", "steps", "seed", "residual_db"):
        assert reports[0][key] == reports[1][key]


def test_a_separation_plays_and_shows_itself(stereo):
    found = separate(stereo, ["speech"], RATE, **FAST)
    assert found.play().data.count("<audio") == 2
    shown = found._repr_html_()
    assert "speech</td>" in shown and "residual</td>" in shown and "projection, 1 steps, seed 0" in shown
    assert found.report["sources"] == ["speech"] and found.report["solver"] == "projection"


def test_nan_in_a_player_is_refused():
    from unsep_lib.figures.players import player

    with pytest.raises(ValueError, match="expected finite samples to play, got NaN or infinity"):
        player(torch.tensor([0.0, float("nan")] * 100), RATE, caption="x")
