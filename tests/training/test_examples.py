"""A prior that is told of an example of its source: the encoder, the crops it learns from, and what it learns."""

import numpy
import pytest
import soundfile
import torch
import torchaudio
from safetensors.torch import load_file

from unsep_lib.data.clips import Clip
from unsep_lib.networks.example_encoder import BANDS, LOWEST_HZ, ExampleEncoder, mel_bands
from unsep_lib.networks.unet import CompactConfig, CompactNetwork, with_example, with_labels
from unsep_lib.priors.checkpoints import card_of, load_prior, save_prior
from unsep_lib.priors.edm import EdmPrior
from unsep_lib.priors.label_contrast import ContrastedPrior, contrasted
from unsep_lib.separation import interchangeable
from unsep_lib.stft import stft
from unsep_lib.training import TrainingConfig, train_prior
from unsep_lib.training.data import CropStream

RATE = 16_000
NOTES = {"deep": 300, "high": 2500}


@pytest.fixture
def voices(tmp_path):
    """Two files of either of two "speakers", each on a note of its own, and one more of each to test."""
    generator = numpy.random.default_rng(0)
    made = []
    for speaker, hertz in NOTES.items():
        for number, split in enumerate(("train", "train", "test")):
            path = tmp_path / "corpus" / speaker / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = numpy.sin(2 * numpy.pi * (hertz + 20 * number) * numpy.arange(2 * RATE) / RATE)
            soundfile.write(path, 0.3 * tone + 0.003 * generator.standard_normal(2 * RATE), RATE)
            made.append(Clip("an4", str(path), f"{speaker}{number}", "", split, RATE, 2 * RATE, ((0.0, 2.0),)))
    return made


def small(**changes):
    shape = {"widths": (8, 16), "blocks": (1, 1), "example": 4, "example_seconds": 0.5}
    return TrainingConfig(**({"steps": 6, "batch": 4, "crop_seconds": 0.5, "warmup_steps": 2} | shape | changes))


def loudest(samples):
    return torch.fft.rfft(samples).abs().argmax(dim=-1) / (samples.shape[-1] / RATE)


def test_the_bands_are_those_of_torchaudio():
    reference = torchaudio.functional.melscale_fbanks(256, LOWEST_HZ, RATE / 2, BANDS, RATE).T
    torch.testing.assert_close(mel_bands(256, RATE), reference, atol=1e-4, rtol=0)


def test_an_example_of_any_level_and_length_is_a_vector_of_one_length():
    torch.manual_seed(0)
    encoder = ExampleEncoder(6, 256).eval()
    samples = torch.randn(2, RATE)
    vectors = encoder(stft(samples))
    assert vectors.shape == (2, 6)
    torch.testing.assert_close(vectors.square().sum(dim=1), torch.full((2,), 6.0))
    torch.testing.assert_close(encoder(stft(100 * samples)), vectors, atol=1e-4, rtol=1e-4)
    assert encoder(stft(torch.randn(1, 3 * RATE))).shape == (1, 6)
    assert encoder(stft(torch.zeros(1, RATE))).isfinite().all()


def test_the_shipped_weights_with_an_encoder_that_knows_nothing_yet_denoise_as_before(tmp_path):
    shipped = load_prior("speech", precision=torch.float32)
    told = EdmPrior(with_example(shipped.network, 5), shipped.spectrum, shipped.labels)
    save_prior(tmp_path / "told.safetensors", told, {})
    told = load_prior(tmp_path / "told.safetensors", precision=torch.float32)
    noisy = torch.randn(2, RATE // 2, generator=torch.Generator().manual_seed(0))
    before = shipped.denoise(noisy, 0.5)
    told.example = told.encode(noisy[:1])
    torch.testing.assert_close(told.denoise(noisy, 0.5), before)
    with pytest.raises(ValueError, match="this prior takes no examples"):
        shipped.encode(noisy)
    with pytest.raises(ValueError, match="expected a network without examples"):
        with_example(told.network, 5)


def test_sources_of_two_examples_are_told_apart_and_lean_from_each_other():
    torch.manual_seed(0)
    network = CompactNetwork(CompactConfig(widths=(8, 16), blocks=(1, 1), example=3))
    with torch.no_grad():
        for weight in (network.output.weight, network.encoder[0].blocks[0].conv_out.weight):
            weight.normal_(std=0.1)
        network.encoder[0].blocks[0].modulation.weight.normal_()
    prior = EdmPrior(network, torch.full((256,), 0.1)).eval().requires_grad_(False)
    time = torch.arange(RATE) / RATE
    examples = [torch.sin(6.2832 * hertz * time) for hertz in NOTES.values()]
    deep, high = (prior.with_condition(example=example) for example in examples)
    noisy = torch.randn(1, RATE // 2)
    assert not torch.allclose(deep.denoise(noisy, 0.5), high.denoise(noisy, 0.5))
    torch.testing.assert_close(deep.with_condition().denoise(noisy, 0.5), prior.denoise(noisy, 0.5))
    assert [type(one) for one in contrasted([deep, high])] == [ContrastedPrior] * 2
    assert contrasted([deep, deep]) == [deep, deep]
    assert len(set(interchangeable([deep, high, prior]))) == 3
    assert len(set(interchangeable([deep, prior.with_condition(example=examples[0])]))) == 1
    for silent in (torch.zeros(RATE), torch.full((RATE,), float("nan")), torch.ones(1, RATE)):
        with pytest.raises(ValueError, match=r"expected an example \[time\] in which the source sounds"):
            prior.with_condition(example=silent)


def test_new_labels_begin_as_no_label_and_the_old_ones_stay():
    torch.manual_seed(0)
    network = CompactNetwork(CompactConfig(labels=2, widths=(8, 16), blocks=(1, 1)))
    with torch.no_grad():
        network.embedding.label.weight.normal_()
        network.output.weight.normal_()
    wider = with_labels(network, 5)
    spectrum, sigma = torch.randn(1, 256, 8, dtype=torch.complex64), torch.full((1,), 0.5)
    for new, old in {0: 0, 1: 1, 2: 2, 4: 2, 5: 2}.items():
        torch.testing.assert_close(
            wider(spectrum, sigma, torch.tensor([new])), network(spectrum, sigma, torch.tensor([old]))
        )
    with pytest.raises(ValueError, match="expected 2 labels or more, got 1"):
        with_labels(network, 1)


def test_a_warm_start_takes_up_new_labels_but_no_name_that_cannot_be_asked_for(voices, tmp_path):
    config = small(steps=1, example=0)
    first = train_prior("first", [*voices[:2]], tmp_path / "first", config)
    labelled = [Clip("x", clip.file, "", name, "train", RATE, 2 * RATE, clip.spans) for clip, name in
                zip(voices, ("Meow", "other animals"), strict=False)]  # fmt: skip
    second = train_prior("second", labelled, tmp_path / "second", config, warm_start=str(first))
    assert load_prior(second).labels == ("Meow",)
    assert card_of(second)["network"]["labels"] == 1


def test_an_example_is_of_the_crops_own_speaker_and_from_another_file(voices):
    stream = CropStream(voices[:2] + voices[3:5], (), 0.5, (-22, -22), numpy.random.default_rng(0), augment=False)
    crops, labels, examples = stream.pairs_with([numpy.random.default_rng(n) for n in range(12)], 1.0)
    assert examples.shape == (12, RATE) and labels.tolist() == [0] * 12
    difference = (loudest(crops) - loudest(examples)).abs()
    torch.testing.assert_close(difference, torch.full((12,), 20.0), atol=2.1, rtol=0)
    plain, _ = stream.drawn_with([numpy.random.default_rng(n) for n in range(12)])
    assert torch.equal(plain, crops)


def test_a_clip_that_is_its_speakers_only_one_gives_its_own_example(voices):
    stream = CropStream([voices[0], voices[3]], (), 0.5, (-22, -22), numpy.random.default_rng(0), augment=False)
    crops, _, examples = stream.pairs_with([numpy.random.default_rng(n) for n in range(8)], 0.5)
    torch.testing.assert_close(loudest(crops), loudest(examples), atol=2.1, rtol=0)
    assert not torch.equal(crops / crops.norm(dim=1, keepdim=True), examples / examples.norm(dim=1, keepdim=True))


def test_some_examples_hold_a_weaker_source_and_some_noise(voices):
    stream = CropStream(voices[:2] + voices[3:5], (), 0.5, (-22, -22), numpy.random.default_rng(0), augment=True)
    _, _, examples = stream.pairs_with([numpy.random.default_rng(n) for n in range(60)], 0.5)
    spectra = torch.fft.rfft(examples).abs().square()
    hertz = torch.fft.rfftfreq(examples.shape[1], 1 / RATE)
    powers = torch.stack([spectra[:, (hertz - note).abs() < note / 3].sum(dim=1) for note in NOTES.values()], dim=1)
    both = powers.min(dim=1).values / powers.max(dim=1).values > 10**-1.7
    assert 6 <= both.sum() <= 24  # an other source in 45 %, of the other speaker in half of these
    noisy = 1 - powers.sum(dim=1) / spectra.sum(dim=1) > 10**-3
    assert 12 <= noisy.sum() <= 32  # 35 %, against the clips' own noise at -37 dB


def test_a_prior_that_is_told_examples_learns_which_source_is_meant(tmp_path):
    generator, bands = numpy.random.default_rng(0), {"deep": (200, 1500), "high": (4000, 7000)}
    hertz, clips = numpy.fft.rfftfreq(2 * RATE, 1 / RATE), []
    for speaker, (low, high) in bands.items():
        for number, split in enumerate(("train", "train", "test")):
            spectrum = numpy.fft.rfft(generator.standard_normal(2 * RATE)) * ((hertz > low) & (hertz < high))
            samples = numpy.fft.irfft(spectrum)
            path = tmp_path / speaker / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * samples / samples.std(), RATE)
            clips.append(Clip("an4", str(path), "", "", split, RATE, 2 * RATE, ((0.0, 2.0),)))
    rates = {"learning_rate": 1e-2, "muon_learning_rate": 0.05, "example_rate": 1e-2, "ema": 0.9}
    levels = {"level_low": -16.0, "level_high": -15.0, "augment": False}
    config = small(steps=100, widths=(16, 16), crop_seconds=0.25, **rates, **levels)
    path = train_prior("bands", clips, tmp_path / "run", config)
    losses = next(row["examples"] for row in reversed(card_of(path)["curve"]) if "examples" in row)
    assert card_of(path)["network"]["example"] == 4
    for right, none, other in list(zip(losses["right"], losses["none"], losses["other"], strict=True))[:2]:
        assert right < none < other


def test_an_interrupted_run_with_examples_resumed_equals_an_uninterrupted_one(voices, tmp_path):
    whole = load_file(train_prior("voices", voices, tmp_path / "whole", small()))

    def interrupt(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_prior("voices", voices, tmp_path / "parts", small(), on_step=interrupt)
    parts = load_file(train_prior("voices", voices, tmp_path / "parts", small()))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_warm_start_with_another_number_of_examples_is_refused(voices, tmp_path):
    first = train_prior("first", voices, tmp_path / "first", small(steps=1))
    with pytest.raises(ValueError, match=r"first\.safetensors: expected examples of 4 numbers, got 6"):
        train_prior("second", voices, tmp_path / "second", small(example=6), warm_start=str(first))
