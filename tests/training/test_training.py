import math
from dataclasses import replace
from itertools import islice

import numpy
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import unsep_lib.training.loop
from unsep_lib.data.clips import Clip
from unsep_lib.networks.unet import CompactConfig
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.checkpoints import card_of, load_prior
from unsep_lib.priors.edm import SIGMA_MAX, SIGMA_MIN
from unsep_lib.training import TrainingConfig, train_prior
from unsep_lib.training.data import ClipCache, CropStream, prefetched
from unsep_lib.training.loss import VALIDATION_BANDS, band_shares, draw_sigma, validation_loss

RATE = 16_000


@pytest.fixture
def clips(tmp_path):
    generator = numpy.random.default_rng(0)
    made = []
    for index, (label, split) in enumerate([("low", "train"), ("high", "train"), ("low", "test"), ("high", "test")]):
        path = tmp_path / f"{index}.wav"
        tone = numpy.sin(2 * numpy.pi * (300 if label == "low" else 2500) * numpy.arange(2 * RATE) / RATE)
        soundfile.write(path, 0.3 * tone + 0.01 * generator.standard_normal(2 * RATE), RATE)
        made.append(Clip("tones", str(path), "", label, split, RATE, 2 * RATE, ((0.0, 2.0),)))
    return made


def small(**changes):
    shape = {"widths": (8, 16), "blocks": (1, 1)}
    return TrainingConfig(**({"steps": 6, "batch": 2, "crop_seconds": 0.5, "warmup_steps": 2} | shape | changes))


def tensors(folder, name="tones"):
    return load_file(folder / f"{name}.safetensors")


def test_an_interrupted_run_resumed_equals_an_uninterrupted_one(clips, tmp_path):
    train_prior("tones", clips, tmp_path / "whole", small())

    def interrupt(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_prior("tones", clips, tmp_path / "parts", small(), on_step=interrupt)
    train_prior("tones", clips, tmp_path / "parts", small())
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert card_of(tmp_path / "parts" / "tones.safetensors")["steps"] == 6


def test_training_lowers_the_validation_loss_and_learns_the_labels(clips, tmp_path):
    shape = {"widths": CompactConfig.widths, "blocks": CompactConfig.blocks}
    before = train_prior("tones", clips, tmp_path / "before", small(steps=1, **shape))
    after = train_prior("tones", clips, tmp_path / "after", small(steps=60, batch=4, ema=0.9, **shape))
    stream = CropStream(clips[2:], ("high", "low"), 0.5, (-22, -22), numpy.random.default_rng(1), augment=False)
    crops, labels = stream.batch(16)
    losses = [numpy.mean(validation_loss(load_prior(path), crops, labels)) for path in (before, after)]
    assert losses[1] < 0.9 * losses[0]
    assert load_prior(after).labels == ("high", "low")


def test_a_warm_start_begins_from_the_given_weights_and_counts_their_hours(clips, tmp_path):
    first = train_prior("tones", clips, tmp_path / "first", small())
    second = train_prior(
        "tones",
        clips,
        tmp_path / "second",
        small(steps=1, learning_rate=0.0, muon_learning_rate=0.0),
        warm_start=str(first),
    )
    for name, tensor in tensors(tmp_path / "first").items():
        torch.testing.assert_close(tensors(tmp_path / "second")[name], tensor)
    assert card_of(second)["hours"] > card_of(first)["hours"]


def test_a_warm_start_learns_classes_of_its_own_beside_those_it_knew(clips, tmp_path):
    first = train_prior("tones", clips, tmp_path / "first", small(steps=1))
    own = [replace(clip, label="bell") for clip in clips if clip.split == "train"]
    said = []
    still = small(steps=1, learning_rate=0.0, muon_learning_rate=0.0)
    second = train_prior("bells", own, tmp_path / "second", still, warm_start=str(first), on_start=said.append)
    assert said == [("high", "low", "bell")]
    assert load_prior(second).labels == ("high", "low", "bell")
    rows = tensors(tmp_path / "second", "bells")["network.embedding.label.weight"]
    before = tensors(tmp_path / "first")["network.embedding.label.weight"]
    torch.testing.assert_close(rows, torch.stack([before[0], before[1], before[2], before[2]]))


def test_a_class_without_clips_to_train_on_is_not_promised(clips, tmp_path):
    unheard = [*clips, replace(clips[2], label="bell")]
    assert load_prior(train_prior("tones", unheard, tmp_path / "run", small(steps=1))).labels == ("high", "low")


def test_a_run_goes_on_with_what_it_began_from_or_not_at_all(clips, tmp_path):
    first = train_prior("tones", clips, tmp_path / "first", small(steps=1))
    train_prior("tones", clips, tmp_path / "run", small(steps=1), warm_start=str(first))
    kept = tensors(tmp_path / "run")
    added = [*clips, replace(clips[0], label="bell")]
    other = train_prior("tones", clips, tmp_path / "other", small(steps=1, learning_rate=0.1))
    for changed, start, sentence in (
        (added, str(first), "began without the classes bell"),
        (clips[1:], str(first), "began with other clips"),
        (clips, None, "began from .*first.*, not from nothing"),
        (clips, str(other), "began from .*first.*, not from .*other"),
    ):
        with pytest.raises(ValueError, match=sentence):
            train_prior("tones", changed, tmp_path / "run", small(steps=2), warm_start=start)
    assert all(torch.equal(tensors(tmp_path / "run")[name], kept[name]) for name in kept)
    train_prior("tones", clips[::-1], tmp_path / "run", small(steps=2), warm_start=str(first))
    assert card_of(tmp_path / "run" / "tones.safetensors")["steps"] == 2


def test_a_state_written_before_runs_recorded_their_clips_goes_on(clips, tmp_path):
    train_prior("tones", clips, tmp_path / "run", small(steps=1))
    content = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del content["begun"]
    torch.save(content, tmp_path / "run" / "state.pt")
    with pytest.raises(ValueError, match="began without the classes bell"):
        train_prior("tones", [*clips, replace(clips[0], label="bell")], tmp_path / "run", small(steps=2))
    assert card_of(train_prior("tones", clips, tmp_path / "run", small(steps=2)))["steps"] == 2


def test_the_first_loss_that_is_not_finite_stops_and_the_last_good_state_stays(clips, tmp_path, monkeypatch):
    train_prior("tones", clips, tmp_path / "run", small(steps=2))
    kept, seen = tensors(tmp_path / "run"), []
    loss = unsep_lib.training.loop.denoising_loss

    def broken(*arguments):
        return loss(*arguments) * (float("nan") if len(seen) == 1 else 1.0)

    monkeypatch.setattr("unsep_lib.training.loop.denoising_loss", broken)
    with pytest.raises(ValueError, match="the loss of step 4 is nan; step 2 is kept"):
        train_prior("tones", clips, tmp_path / "run", small(steps=6), on_step=seen.append)
    assert all(torch.equal(tensors(tmp_path / "run")[name], kept[name]) for name in kept)
    monkeypatch.undo()
    assert card_of(train_prior("tones", clips, tmp_path / "run", small(steps=6)))["steps"] == 6


def test_weights_that_the_last_step_broke_are_not_written(clips, tmp_path):
    with pytest.raises(ValueError, match="nothing was written"):
        train_prior("tones", clips, tmp_path / "run", small(steps=3).at_rate(1e38))
    assert [path.name for path in (tmp_path / "run").glob("*")] == []


def test_a_warm_start_from_another_kind_of_prior_is_refused(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("unsep_lib.training.loop.load_prior", lambda name, device: GaussianPrior(torch.ones(3)))
    with pytest.raises(ValueError, match="speech: expected a prior that `unsep train` made, got GaussianPrior"):
        train_prior("tones", clips, tmp_path / "run", small(), warm_start="speech")


def test_another_recipe_in_the_same_folder_is_refused(clips, tmp_path):
    train_prior("tones", clips, tmp_path / "run", small(steps=1))
    with pytest.raises(ValueError, match=r"another recipe \(batch: saved 2, got 3\)"):
        train_prior("tones", clips, tmp_path / "run", small(steps=2, batch=3))


def test_bad_clips_are_skipped_and_counted(clips, tmp_path):
    broken = Clip("tones", str(tmp_path / "gone.wav"), "", "low", "train", RATE, 2 * RATE, ())
    seen = []
    train_prior("tones", [*clips, broken], tmp_path / "run", small(steps=8), on_step=seen.append)
    assert seen[-1].step == 8
    assert seen[-1].skipped == 1


def test_only_unusable_clips_end_in_one_sentence(tmp_path):
    soundfile.write(tmp_path / "silent.wav", numpy.zeros(RATE), RATE)
    silent = Clip("none", str(tmp_path / "silent.wav"), "", "", "train", RATE, RATE, ())
    with pytest.raises(ValueError, match="no usable crop"):
        train_prior("none", [silent], tmp_path / "run", small())
    with pytest.raises(ValueError, match="expected clips to train on, got none"):
        train_prior("none", [], tmp_path / "run", small())


def test_crops_have_the_level_the_length_and_the_label(clips):
    stream = CropStream(clips, ("high", "low"), 0.5, (-30.0, -20.0), numpy.random.default_rng(0), augment=True)
    crops, labels = stream.batch(32)
    assert crops.shape == (32, RATE // 2)
    levels = 10 * crops.double().square().mean(dim=1).log10()
    assert -30.01 <= levels.min() < -27 and -23 < levels.max() <= -19.99
    spectrum = torch.fft.rfft(crops, dim=1).abs()
    peak = spectrum.argmax(dim=1) * RATE / crops.shape[1]
    assert torch.equal((peak < 1000).long(), labels)


def test_the_cache_reads_what_the_file_holds_and_stays_below_its_limit(clips):
    cache = ClipCache(limit=3 * 2 * RATE)
    for clip in clips:
        content, _ = soundfile.read(clip.file, dtype="float32")
        expected = torch.from_numpy(content[RATE // 4 : RATE // 4 + RATE // 2])
        torch.testing.assert_close(cache.crop(clip, 0.25, 0.5), expected, atol=1e-4, rtol=0)
        assert cache.size <= cache.limit
    assert cache.crop(clips[0], 1.75, 1.0)[RATE // 4 :].abs().max() == 0


@pytest.mark.parametrize("peak", [4.0, 1e-3])
def test_float_clips_above_full_scale_or_far_below_it_are_cached_as_they_are(peak, tmp_path):
    samples = peak * numpy.sin(numpy.arange(RATE) / 20).astype(numpy.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    clip = Clip("tones", str(tmp_path / "a.wav"), "", "", "train", RATE, RATE, ())
    error = ClipCache().crop(clip, 0.0, 1.0) - torch.from_numpy(samples)
    assert 20 * numpy.log10(float(error.norm()) / numpy.linalg.norm(samples)) < -90


def test_noise_levels_are_stratified_over_the_range():
    sigma = draw_sigma(4000, numpy.random.default_rng(0))
    assert sigma.min() >= SIGMA_MIN and sigma.max() <= SIGMA_MAX
    focused = ((sigma >= 0.01) & (sigma <= 0.7)).float().mean().item()
    outside_law = 0.15 * numpy.log(70) / numpy.log(600)
    assert focused == pytest.approx(0.85 + outside_law, abs=0.01)


@pytest.mark.parametrize("arguments", [{}, {"minutes": 1.0, "steps": 1}, {"steps": 0}, {"minutes": -1.0}])
def test_a_budget_is_required(arguments):
    with pytest.raises(ValueError, match=r"expected (either|a training budget)"):
        TrainingConfig(**arguments)


def test_the_rate_warms_up_holds_and_decays():
    config = TrainingConfig(steps=1000)
    assert config.rate(0, 0.0) == pytest.approx(0.01)
    assert config.rate(300, 0.3) == 1.0
    assert config.rate(999, 1.0) == pytest.approx(0.02)


def test_a_share_of_the_rate_moves_the_weights_by_as_much(clips, tmp_path):
    train_prior("tones", clips, tmp_path / "start", small())
    begun = str(tmp_path / "start" / "tones.safetensors")
    moved = []
    for share in (1.0, 0.1):
        config = small(steps=1, ema=0.0).at_rate(share)
        train_prior("tones", clips, tmp_path / str(share), config, warm_start=begun)
        before, after = load_file(begun), tensors(tmp_path / str(share))
        moved.append(sum((after[name] - before[name]).square().sum() for name in before).sqrt())
    assert moved[1] / moved[0] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(share):
    with pytest.raises(ValueError, match=f"expected a learning rate above 0 times the recipe's, got {share}"):
        small().at_rate(share)


@pytest.mark.usefixtures("one_thread")
def test_processes_that_read_ahead_change_nothing(clips, tmp_path):
    for workers in (0, 2):
        train_prior("tones", clips, tmp_path / str(workers), small(), workers=workers)
    alone, helped = tensors(tmp_path / "0"), tensors(tmp_path / "2")
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


def test_what_fails_in_another_process_arrives_as_one_sentence(tmp_path):
    broken = Clip("none", str(tmp_path / "gone.wav"), "", "", "train", RATE, RATE, ())
    with pytest.raises(ValueError, match=r"^no usable crop in 50 draws of clips: 1 unreadable"):
        next(prefetched(CropStream([broken], (), 0.5, (-22, -22), numpy.random.default_rng(0), False).batch, 1, 1))
    with pytest.raises(ValueError, match="expected a number of workers from 0 up, got -1"):
        next(prefetched(str, 0, -1))


def test_steps_are_drawn_in_order_from_the_first():
    assert list(islice(prefetched(math.sqrt, 4, 2), 8)) == [math.sqrt(step) for step in range(4, 12)]


def test_a_network_of_another_shape_is_trained_and_read_again(clips, tmp_path):
    path = train_prior("tones", clips, tmp_path / "wide", small(widths=(8, 24), blocks=(1, 3)))
    assert card_of(path)["network"]["widths"] == [8, 24] and card_of(path)["network"]["blocks"] == [1, 3]
    assert tensors(tmp_path / "wide")["network.encoder.1.blocks.2.conv_in.weight"].shape[0] == 24
    assert load_prior(path).denoise(torch.randn(1, RATE), 0.1).shape == (1, RATE)
    with pytest.raises(ValueError, match=r"as many blocks as widths, each 1 or more, got \(8, 24\) and \(1,\)"):
        small(widths=(8, 24), blocks=(1,))
    with pytest.raises(ValueError, match=r"widths after the first that 4 heads divide, got \(8, 26\)"):
        small(widths=(8, 26), blocks=(1, 1))


def test_the_compiled_body_is_the_one_that_is_trained(clips, tmp_path, monkeypatch):
    called = []

    def compiled(function):
        return lambda *arguments: called.append(1) or function(*arguments)

    monkeypatch.setattr(torch, "compile", compiled)
    for fused in (False, True):
        train_prior("tones", clips, tmp_path / str(fused), small(), compiled=fused)
    assert len(called) == 6
    plain, fused = tensors(tmp_path / "False"), tensors(tmp_path / "True")
    assert all(torch.equal(plain[name], fused[name]) for name in plain)


def test_band_shares_are_those_of_the_noise_levels_drawn():
    drawn = draw_sigma(200_000, numpy.random.default_rng(1)).double().log()
    places = (drawn - math.log(SIGMA_MIN)) / math.log(SIGMA_MAX / SIGMA_MIN) * VALIDATION_BANDS
    counted = torch.bincount(places.clamp(0, VALIDATION_BANDS - 1).long(), minlength=VALIDATION_BANDS) / len(drawn)
    assert torch.allclose(counted, torch.tensor(band_shares(), dtype=counted.dtype), atol=2e-4)
