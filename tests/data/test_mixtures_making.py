import numpy
import pytest
import torch

from unsep_lib.data.mixtures import make_mixture

RATE, LENGTH = 16_000, 64_000


def rng(seed=0):
    return numpy.random.default_rng(seed)


def noise(length, seed=0, level=0.1):
    return level * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def levels(sources):
    return 10 * sources.double().square().mean(dim=-1).log10()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seconds", [0.5, 4.0, 9.0])
def test_levels_lie_within_five_decibels_the_peak_is_095_and_the_sum_is_the_mixture(count, seconds):
    sources = [noise(round(seconds * RATE), seed, level=10.0**-seed) for seed in range(count)]
    spreads = []
    for seed in range(10):
        mixture, references = make_mixture(sources, rng(seed))
        assert references.shape == (count, LENGTH)
        assert mixture.abs().max().item() == pytest.approx(0.95, abs=1e-6)
        torch.testing.assert_close(references.sum(dim=0), mixture)
        spreads.append((levels(references).max() - levels(references).min()).item())
    assert max(spreads) <= 5.0 + 1e-4
    assert count == 1 or max(spreads) > 1.0


def test_each_level_before_normalising_is_uniform_over_the_papers_range(monkeypatch):
    seen = []

    def record(samples, level):
        seen.append(level)
        return samples

    monkeypatch.setattr("unsep_lib.data.mixtures.scale_to_dbfs", record)
    for seed in range(200):
        make_mixture([noise(100), noise(100)], rng(seed))
    assert -25.0 <= min(seen) < -24.5
    assert -20.5 < max(seen) <= -20.0
    assert numpy.mean(seen) == pytest.approx(-22.5, abs=0.3)


def test_the_level_counts_the_whole_mixture_and_a_placed_source_keeps_its_waveform():
    source = noise(RATE)
    _, references = make_mixture([source], rng())
    found = references[0][references[0] != 0]
    torch.testing.assert_close(found / found.norm(), source / source.norm())


def burst(start, stop):
    source = torch.zeros(LENGTH)
    source[round(start * RATE) : round(stop * RATE)] = noise(round(stop * RATE) - round(start * RATE))
    return source


def first_sounds(references):
    return [torch.nonzero(source)[0].item() / RATE for source in references]


def test_each_later_source_starts_inside_an_active_span_of_the_one_before():
    first = burst(0.5, 0.8) + burst(2.0, 2.5)
    for seed in range(30):
        _, references = make_mixture([first, noise(RATE // 2, 1), noise(RATE // 2, 2)], rng(seed))
        _, second, third = first_sounds(references)
        window = 0.05
        assert 0.5 - window <= second <= 0.8 + window or 2.0 - window <= second <= 2.5 + window
        assert second - window <= third <= second + 0.5 + window


def test_a_long_later_source_sounds_for_at_least_a_second():
    starts = [first_sounds(make_mixture([noise(LENGTH), noise(LENGTH, 1)], rng(seed))[1])[1] for seed in range(40)]
    assert max(starts) <= 3.0
    assert min(starts) < 1.0 < 2.0 < max(starts)


def test_mixing_nothing_or_silence_is_refused():
    with pytest.raises(ValueError, match="expected at least one source to mix, got none"):
        make_mixture([], rng())
    with pytest.raises(ValueError, match="expected audio to scale, got silence"):
        make_mixture([torch.zeros(100)], rng())


def preceded_by_silence(silence, sound, seed):
    return torch.cat([torch.zeros(round(silence * RATE)), noise(round(sound * RATE), seed)])


@pytest.mark.parametrize("level", [1.0, 1e-4], ids=["loud", "below every active span"])
def test_a_late_source_that_begins_with_silence_still_sounds(level):
    first, second = preceded_by_silence(3.6, 0.4, 0), level * preceded_by_silence(2.5, 1.5, 1)
    for seed in range(20):
        mixture, (_, reference) = make_mixture([first, second], rng(seed))
        start = first_sounds([reference])[0]
        assert 3.0 - 0.05 <= start <= 3.05
        assert abs(levels(reference) - levels(mixture)) < 10
        heard = reference[reference != 0]
        expected = second[second != 0][: len(heard)]
        torch.testing.assert_close(heard / heard.norm(), expected / expected.norm())


def test_background_noise_before_a_late_sound_is_not_raised_to_its_level():
    first = preceded_by_silence(3.6, 0.4, 0)
    hiss, sound = noise(round(2.5 * RATE), 1, level=1e-5), noise(round(1.5 * RATE), 2)
    _, (_, reference) = make_mixture([first, torch.cat([hiss, sound])], rng())
    first_window_begins = RATE // 40  # samples before the sound
    heard = reference[reference != 0][first_window_begins:]
    assert torch.corrcoef(torch.stack([heard, sound[: len(heard)]]))[0, 1] > 0.99


def test_silence_that_ends_in_time_is_kept():
    source = preceded_by_silence(0.5, 1.0, 1)
    _, (_, reference) = make_mixture([noise(LENGTH), source], rng())
    start = first_sounds([reference])[0]
    moved = preceded_by_silence(0.0, 1.0, 1)
    _, (_, other) = make_mixture([noise(LENGTH), moved], rng())
    assert start == pytest.approx(first_sounds([other])[0] + 0.5, abs=1 / RATE)
