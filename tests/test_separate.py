import math
from itertools import pairwise

import pytest
import torch

from unsep_lib.audio import SAMPLE_RATE, resample
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.separation import interchangeable, load_priors, separate, sounding_power
from unsep_lib.source_spec import parse_spec
from unsep_lib.windows import HOP, OVERLAP, WINDOW, continued_order, joined, margin, window_starts, windows_of

RATE = 16_000
RATES = (8000, 16_000, 22_050, 44_100, 48_000)
FAST = {"solver": "projection", "steps": 1}
LONG_SECONDS = 20.0  # more than one window of 8 s


@pytest.fixture(scope="module")
def priors(tiny_prior):
    return [tiny_prior(1), tiny_prior(2)]


def noise(*shape, level=0.1, seed=0):
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(hertz, seconds, rate=RATE, level=0.2):
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return level * torch.sin(2 * math.pi * hertz * time).float()


def band_priors(length, split=2000.0):
    low = (torch.fft.rfftfreq(length, 1 / RATE) < split).float()
    return [GaussianPrior(low + 1e-6), GaussianPrior(1 - low + 1e-6)]


def assert_adds_up(samples, separation, sources=2):
    channels = samples if samples.ndim == 2 else samples[None]
    assert separation.sources.shape == (sources, *channels.shape)
    total = separation.sources.double().sum(dim=0) + separation.residual.double()
    torch.testing.assert_close(total, channels.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("length", [1, 100, 4.0])
def test_sources_and_residual_add_up_at_the_inputs_rate_and_length(rate, shape, length, priors):
    samples = noise(*shape, length if isinstance(length, int) else round(length * rate))
    separation = separate(samples, priors, rate, **FAST)
    assert separation.sample_rate == rate
    assert_adds_up(samples, separation)


@pytest.mark.parametrize(("rate", "shape"), [(8000, (2,)), (16_000, ()), (44_100, ()), (48_000, (2,))])
def test_more_than_one_window_adds_up(rate, shape, priors):
    samples, windows = noise(*shape, round(LONG_SECONDS * rate)), []
    separation = separate(samples, priors, rate, on_window=lambda *counts: windows.append(counts), **FAST)
    assert windows == [(1, 3), (2, 3), (3, 3)]
    assert_adds_up(samples, separation)


@pytest.mark.parametrize("rate", RATES)
def test_what_lies_below_8_khz_goes_to_the_sources_and_what_lies_above_may_stay_in_the_residual(rate, priors):
    low, high = tone(1000, 1, rate), tone(10_000, 1, rate)
    inner = slice(rate // 10, -rate // 10)
    separation = separate(low, priors, rate, **FAST)
    assert separation.residual[0, inner].abs().max() < 0.01 * low.abs().max()
    assert separation.residual_db < -20
    if rate > 2 * 10_000:
        separation = separate(low + high, priors, rate, bandwidth="16k", **FAST)
        torch.testing.assert_close(separation.residual[0, inner], high[inner], atol=0.01, rtol=0)


def test_each_source_and_each_channel_comes_out_in_its_place():
    low, high = tone(500, 1), tone(5000, 1)
    samples = torch.stack([low + 0.5 * high, 0.25 * low - high])
    sources = separate(samples, band_priors(RATE), RATE, solver="projection", steps=10).sources
    expected = torch.stack([torch.stack([low, 0.25 * low]), torch.stack([0.5 * high, -high])])
    torch.testing.assert_close(sources, expected, atol=0.02, rtol=0)


def test_the_sources_do_not_depend_on_the_inputs_rate():
    samples = tone(500, 1) + tone(3000, 1)
    expected = separate(samples, band_priors(RATE), RATE, solver="projection", steps=10).sources
    upsampled = separate(resample(samples, RATE, 48_000), band_priors(RATE), 48_000, solver="projection", steps=10)
    inner = slice(1000, -1000)
    torch.testing.assert_close(upsampled.sources[..., ::3][..., inner], expected[..., inner], atol=0.02, rtol=0)


@pytest.mark.parametrize(("rate", "length"), [(16_000, 1), (44_100, 5000), (8000, 100_000)])
def test_silence_comes_back_as_exact_silence(rate, length, priors):
    separation = separate(torch.zeros(2, length), priors, rate, **FAST)
    assert separation.sources.shape == (2, 2, length)
    assert torch.count_nonzero(separation.sources) == torch.count_nonzero(separation.residual) == 0
    assert separation.residual_db == 0.0


def test_a_silent_window_of_a_long_recording_stays_silent(priors):
    samples = noise(2 * WINDOW)
    samples[WINDOW - OVERLAP :] = 0
    separation = separate(samples, priors, RATE, **FAST)
    assert torch.count_nonzero(separation.sources[..., WINDOW:]) == 0
    assert_adds_up(samples, separation)


@pytest.mark.parametrize("gain", [1e-3, 8.0])
@pytest.mark.parametrize("solver", ["projection", "projection-mean", "hybrid"])
def test_scaling_the_input_scales_the_sources(gain, solver, priors):
    samples = noise(4000)
    expected = separate(samples, priors, RATE, solver=solver, steps=3).sources
    scaled = separate(gain * samples, priors, RATE, solver=solver, steps=3).sources
    torch.testing.assert_close(scaled / gain, expected, atol=1e-5, rtol=1e-3)


def test_two_identical_channels_give_identical_sources(priors):
    samples = noise(1, WINDOW + 1000).expand(2, -1)
    sources = separate(samples, priors, RATE, **FAST).sources
    torch.testing.assert_close(sources[:, 0], sources[:, 1], atol=1e-6, rtol=0)


def test_the_seed_decides_and_every_window_has_its_own_noise(priors):
    samples = noise(WINDOW - OVERLAP).repeat(3)[: 2 * WINDOW - OVERLAP]  # both windows hold the same samples
    first, again, other = (separate(samples, priors, RATE, seed=seed, **FAST).sources for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4
    inner = slice(OVERLAP, WINDOW - OVERLAP)
    next_window = slice(inner.start + WINDOW - OVERLAP, inner.stop + WINDOW - OVERLAP)
    assert torch.equal(samples[inner], samples[next_window])
    assert (first[..., inner] - first[..., next_window]).abs().max() > 1e-4


def test_the_callers_samples_are_left_alone(priors):
    samples = noise(2, 4000)
    before = samples.clone()
    separate(samples, priors, RATE, **FAST)
    assert torch.equal(samples, before)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.tensor([0.1, float("nan")]), "the samples contain NaN or infinity"),
        (torch.tensor([0.1, float("inf")]), "the samples contain NaN or infinity"),
        (torch.zeros(0), r"expected samples \[time\] or \[channel, time\], got shape \(0,\)"),
        (torch.zeros(2, 0), r"expected samples \[time\] or \[channel, time\], got shape \(2, 0\)"),
        (torch.zeros(1, 2, 3), r"expected samples \[time\] or \[channel, time\], got shape \(1, 2, 3\)"),
    ],
)
def test_samples_that_cannot_be_separated_are_refused(samples, message, priors):
    with pytest.raises(ValueError, match=message):
        separate(samples, priors, RATE)


def test_no_priors_unknown_solvers_and_impossible_steps_are_refused(priors):
    with pytest.raises(ValueError, match="expected at least one source"):
        separate(noise(100), [], RATE)
    with pytest.raises(
        ValueError, match="unknown solver 'magic': known are dirac-wiener, dirac-agreed, dirac-restart, dirac"
    ):
        separate(noise(100), priors, RATE, solver="magic")
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        separate(noise(100), priors, RATE, solver="projection", steps=0)


def test_priors_are_loaded_once_by_name_and_labelled(home, monkeypatch):
    loaded = []
    monkeypatch.setattr("unsep_lib.separation.load_prior", lambda name, *_: loaded.append(name) or load_prior(name))
    priors = load_priors([parse_spec(text) for text in ("sound:Flute", "speech", "sound")])
    assert [prior.label_index for prior in priors] == [1, 0, 2]
    assert loaded == ["sound", "speech"]
    with pytest.raises(ValueError, match="unknown label 'Gong': this prior's labels are Cello, Flute"):
        load_priors([parse_spec("sound:Gong")])
    with pytest.raises(ValueError, match="expected at least one source"):
        load_priors([])
    assert len(load_priors(["sound"] * 40)) == 40  # of many mixtures; one mixture's are counted in `separate`


def in_windows(mixture, separate_window, groups):
    found = (separate_window(window, index) for index, window in enumerate(windows_of(mixture.split(50_000, dim=-1))))
    return torch.cat(list(joined(found, groups)), dim=-1)


@pytest.mark.parametrize("seconds", [60, 600])
@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_what_follows_a_sound_does_not_change_the_level_it_is_seen_at(seconds, floor, priors):
    """One level for the whole recording cost four seconds before 60 s of silence 10 dB, before 600 s 18 dB."""
    sounding, silence = noise(4 * RATE), floor * noise(seconds * RATE, seed=1)
    followed = torch.stack([torch.cat([sounding, silence]), torch.zeros(len(sounding) + len(silence))])
    windows = list(windows_of(followed.split(6 * RATE, dim=-1)))
    first = sounding_power(windows[0])
    torch.testing.assert_close(first[0], sounding_power(sounding[None])[0], rtol=0.02, atol=0)
    assert first[1] == 0  # a silent channel counts in no other's level
    whole = followed[0].double().square().mean()
    assert 10 * math.log10(first[0] / whole) == pytest.approx(10 * math.log10((seconds + 4) / 4), abs=0.2)


def test_the_level_of_what_sounds_all_the_time_is_its_rms():
    samples = torch.stack([noise(10_000, seed=seed) for seed in range(3)]) * torch.tensor([[1.0], [0.1], [1e-4]])
    torch.testing.assert_close(sounding_power(samples), samples.double().square().mean(dim=-1), rtol=0.05, atol=0)


def swapping(sources):
    """A separator of known sources [source, channel, time] that changes their order from window to window."""

    def window(piece, index):
        start = index * (WINDOW - OVERLAP)
        found = sources[..., start : start + piece.shape[-1]]
        return found.flip(0) if index % 2 else found

    return window


def test_interchangeable_sources_keep_their_index_while_windows_swap_them():
    sources = noise(2, 2, 3 * WINDOW)
    found = in_windows(sources.sum(dim=0), swapping(sources), ["same", "same"])
    torch.testing.assert_close(found, sources, atol=1e-6, rtol=0)


def test_sources_that_are_not_interchangeable_are_never_reordered():
    sources = noise(2, 1, WINDOW + 1000)
    found = in_windows(sources.sum(dim=0), swapping(sources), ["one", "other"])
    torch.testing.assert_close(found[..., WINDOW:], sources.flip(0)[..., WINDOW:], atol=1e-6, rtol=0)


def test_only_interchangeable_sources_change_places():
    before = noise(3, 1, 1000)
    assert continued_order(before, before[[2, 1, 0]], ["a", "b", "a"]) == [2, 1, 0]
    assert continued_order(before, before[[1, 2, 0]], ["a", "a", "a"]) == [2, 0, 1]
    assert continued_order(before, before[[2, 1, 0]], ["a", "b", "c"]) == [0, 1, 2]


def test_sources_of_one_prior_and_label_are_interchangeable(tiny_prior):
    sound = tiny_prior(1, ["Cello", "Flute"])
    chosen = [
        sound.with_condition(label="Cello"),
        sound.with_condition(label="Cello"),
        sound.with_condition(label="Flute"),
        tiny_prior(2),
    ]
    groups = interchangeable(chosen)
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_a_passage_between_windows_has_the_margin_of_its_order():
    voices = torch.randn(2, 1, 2 * HOP + OVERLAP, generator=torch.Generator().manual_seed(5))
    parts = voices[..., :WINDOW], voices[..., HOP:].flip(0)
    passages = []
    found = torch.cat(list(joined(iter(parts), ["voice", "voice"], passages)), dim=-1)
    torch.testing.assert_close(found, voices)
    assert [passage.seconds for passage in passages] == [6.0]
    assert passages[0].margin == pytest.approx(1, abs=0.05)  # as they are, the sources are continued exactly
    alike, groups = voices[:1].expand(2, -1, -1), ["voice", "voice"]
    assert margin(alike, alike, groups) == pytest.approx(0, abs=1e-9)
    assert margin(voices, voices.flip(0), groups) == pytest.approx(-1, abs=0.05)
    assert margin(torch.zeros(2, 1, 9), torch.zeros(2, 1, 9), groups) == 0
    unlike: list = []
    list(joined(iter(parts), ["voice", "sound"], unlike))
    assert unlike == []


def test_separate_joins_windows_by_what_is_interchangeable(tiny_prior, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "unsep_lib.separation.joined",
        lambda windows, groups, passages: seen.extend(groups) or joined(windows, groups, passages),
    )
    chosen = [tiny_prior(1), tiny_prior(2)]
    separate(noise(100), chosen, RATE, **FAST)
    assert seen == interchangeable(chosen)


@pytest.mark.parametrize("hops", range(5))
@pytest.mark.parametrize("extra", [-1, 0, 1, OVERLAP, OVERLAP + 1])
def test_windows_cover_every_sample_and_add_something_new(hops, extra):
    length = max(1, WINDOW + hops * (WINDOW - OVERLAP) + extra)
    starts = window_starts(length)
    assert starts[0] == 0
    stops = [min(start + WINDOW, length) for start in starts]
    assert stops[-1] == length
    assert all(stop - start == OVERLAP for start, stop in zip(starts[1:], stops, strict=False))
    assert all(new > old for old, new in pairwise(stops))
    signal = torch.arange(length)[None]
    windows = list(windows_of(signal.split(96_000, dim=-1)))
    assert [(window[0, 0].item(), window[0, -1].item() + 1) for window in windows] == list(
        zip(starts, stops, strict=True)
    )


@pytest.mark.parametrize("length", [1, 100, WINDOW])
def test_a_short_signal_is_one_window(length):
    assert window_starts(length) == [0]


def test_a_separation_begins_at_given_estimates_and_says_how_sure_it_is(priors):
    samples = torch.randn(2, 3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    start = [0.5 * samples, 0.5 * samples]
    free, begun = (
        separate(samples, priors, SAMPLE_RATE, solver="dirac-wiener", steps=18, start=guess) for guess in (None, start)
    )
    assert not torch.allclose(free.sources, begun.sources)
    torch.testing.assert_close(begun.sources.sum(dim=0) + begun.residual, samples)
    assert separate(samples, priors, SAMPLE_RATE, solver="projection-mean", steps=1).confidence is None
    assert len(begun.confidence) == 2 and begun.report["confidence"][0]["agreement"] == begun.confidence[0].agreement


@pytest.mark.parametrize(
    ("start", "message"),
    [([torch.ones(100)], "a start for each of 2 sources, got 1"),
     ([torch.ones(100), torch.ones(99)], "a start like the mixture, 100 samples at 16000 Hz in 1 .* got 99")],
)  # fmt: skip
def test_a_start_that_does_not_fit_is_refused(start, message, priors):
    with pytest.raises(ValueError, match=message):
        separate(torch.ones(100), priors, SAMPLE_RATE, solver="dirac-wiener", steps=2, start=start)
