import json
from pathlib import Path

import numpy
import pytest
import torch
from torchmetrics.functional.audio import short_time_objective_intelligibility

from unsep_lib.__main__ import main
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.evaluation.evaluate import evaluate
from unsep_lib.evaluation.metrics import pesq, stoi, voices_of
from unsep_lib.source_spec import parse_spec


@pytest.fixture(scope="module")
def mixture():
    return embedded_mixtures("1speech-1sound")[0]


def test_stoi_is_torchmetrics_and_best_for_the_voice_itself(mixture):
    voice = mixture.sources[0]
    expected = float(short_time_objective_intelligibility(mixture.mixture, voice, 16_000))
    assert stoi(mixture.mixture, voice) == pytest.approx(expected, abs=1e-5)
    assert stoi(voice, voice) == pytest.approx(1.0, abs=1e-6)
    assert expected < 0.99


def test_pesq_is_the_packages_and_falls_with_noise(mixture):
    package = pytest.importorskip("pesq", reason="the package pesq is not installed (pip install unsep[pesq])")
    voice = mixture.sources[0]
    noisy = voice + 0.02 * torch.randn(len(voice), generator=torch.Generator().manual_seed(0))
    assert pesq(noisy, voice) == pytest.approx(package.pesq(16_000, voice.numpy(), noisy.numpy(), "wb"), abs=1e-4)
    assert pesq(voice, voice) > pesq(noisy, voice)
    assert pesq(torch.zeros(8000), torch.zeros(8000)) is None


def test_only_voices_are_scored_and_two_of_them_in_the_better_order(mixture):
    assert [(voice.source, voice.stoi) for voice in voices_of(mixture, mixture.sources)] == [
        (1, pytest.approx(1.0, abs=1e-6))
    ]
    two = embedded_mixtures("2speakers")[0]
    swapped = voices_of(two, two.sources.flip(0))
    assert [voice.source for voice in swapped] == [1, 2]
    numpy.testing.assert_allclose([voice.stoi for voice in swapped], 1.0, atol=1e-6)
    assert all(voice.stoi_of_mixture < voice.stoi for voice in swapped)


def test_a_voice_of_25_ms_has_no_stoi_and_the_others_keep_theirs(home, tmp_path, capsys):
    generator = torch.Generator().manual_seed(0)
    for name, samples in {"long": 16_000, "short": 400, "tiny": 10}.items():
        sources = 0.1 * torch.randn(2, samples, generator=generator)
        specs = (parse_spec("speech"), parse_spec("sound"))
        write_mixture(tmp_path / "mixtures" / name, Mixture(name, sources.sum(dim=0), sources, specs, 16_000))
    file = tmp_path / "scores.json"
    words = ["evaluate", "--mixtures", str(tmp_path / "mixtures"), "--solver", "projection", "--steps", "1", "--voices"]
    assert main([*words, "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "stoi: 0." in shown and "1 voices" in shown
    assert "left out of STOI: 2 voices that sound for less than 0.4 s" in shown
    told = {voice["mixture"]: voice["stoi"] for voice in json.loads(file.read_text())["voices"]}
    assert (told["short"], told["tiny"]) == (None, None) and 0 < told["long"] < 1


def test_evaluate_tells_of_voices(home, tmp_path, capsys):
    folder, file = Path("data_prep/embedded/mixtures"), tmp_path / "scores.json"
    words = ["evaluate", "--mixtures", str(folder), "--only", "2speakers_0", "--part", "1/4", "--solver", "projection"]
    assert main([*words, "--steps", "1", "--voices", "--json", str(file)]) == 0
    assert "stoi_of_mixture: 0." in capsys.readouterr().out
    told = json.loads(file.read_text())["voices"]
    assert [(voice["mixture"], voice["source"]) for voice in told] == [("2speakers_00", 1), ("2speakers_00", 2)]


def test_an_estimate_that_is_not_finite_loses_no_evaluation(mixture):
    for number in (float("nan"), float("inf")):
        lost = mixture.sources.clone()
        lost[0, 100] = number
        found = evaluate([mixture], lambda _, lost=lost: lost, voices=True)
        (voice,) = json.loads(json.dumps(found.as_json(), allow_nan=False))["voices"]
        assert (voice["stoi"], voice["pesq"]) == (None, None) and 0 < voice["stoi_of_mixture"] < 1
        assert found.left_out["silent estimates"] == 1
