import math

import fast_bss_eval
import numpy
import pytest
import torch

from unsep_lib.evaluation.baselines import hpss, nmf_dictionary, nmf_sources, oracle_ratio_mask, oracle_wiener

RATE, SAMPLES, N_FFT = 16_000, 16_000, 510


def tone(hertz, samples=SAMPLES, level=0.2):
    return level * torch.sin(2 * math.pi * hertz * torch.arange(samples, dtype=torch.float64) / RATE).float()


def gated(samples, starts_on, period=2000):
    """Every other stretch of `period` samples silenced."""
    return samples * ((torch.arange(len(samples)) // period) % 2 == starts_on)


def si_sdr(estimates, references):
    return -fast_bss_eval.si_sdr_loss(estimates.double(), references.double(), zero_mean=True)


def test_wiener_filtering_shares_one_signal_by_power_and_the_ratio_mask_by_amplitude():
    signal = 0.1 * torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0))
    references = torch.stack([signal, 0.5 * signal])
    mixture = references.sum(dim=0)
    wiener = torch.stack([mixture / (1 + 0.25), mixture * 0.25 / (1 + 0.25)])
    torch.testing.assert_close(oracle_wiener(mixture, references), wiener, atol=1e-5, rtol=0)
    ratio = torch.stack([mixture / 1.5, mixture * 0.5 / 1.5])
    torch.testing.assert_close(oracle_ratio_mask(mixture, references), ratio, atol=1e-5, rtol=0)


def test_wiener_filtering_separates_tones_and_adds_up():
    references = torch.stack([tone(400), tone(3000)])
    estimates = oracle_wiener(references.sum(dim=0), references)
    assert (si_sdr(estimates, references) > 40).all()
    torch.testing.assert_close(estimates.sum(dim=0), references.sum(dim=0), atol=1e-5, rtol=0)
    silent = torch.stack([tone(400), torch.zeros(SAMPLES)])
    torch.testing.assert_close(oracle_wiener(silent[0], silent)[0], silent[0], atol=1e-4, rtol=0)


def test_a_dictionary_of_tones_has_its_peaks_at_their_bins():
    dictionary = nmf_dictionary([tone(bin_ * RATE / N_FFT) for bin_ in (30, 130)], components=2)
    assert dictionary.shape == (2, N_FFT // 2 + 1)
    assert (dictionary >= 0).all()
    assert sorted(dictionary.argmax(dim=1).tolist()) == [30, 130]


def test_nmf_separates_two_tones_of_known_dictionaries_by_what_each_can_explain():
    references = torch.stack([gated(tone(1000), 0), tone(4000, level=0.05)])
    dictionaries = [nmf_dictionary([tone(1000)]), nmf_dictionary([tone(4000)])]
    mixture = references.sum(dim=0)
    estimates = nmf_sources(mixture, dictionaries)
    assert (si_sdr(estimates, references) > 15).all()
    assert (si_sdr(estimates.flip(0), references) < -15).all()
    torch.testing.assert_close(estimates.sum(dim=0), mixture, atol=1e-5, rtol=0)


def test_equal_dictionaries_share_equally():
    dictionary = nmf_dictionary([tone(1000)])
    first, second = nmf_sources(tone(1000), [dictionary, dictionary])
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_nmf_needs_clips_and_dictionaries():
    with pytest.raises(ValueError, match="at least one clip"):
        nmf_dictionary([])
    with pytest.raises(ValueError, match="a dictionary per source"):
        nmf_sources(tone(1000), [])


def test_hpss_parts_a_steady_tone_from_clicks():
    clicks = torch.zeros(SAMPLES)
    clicks[1000::4000] = 0.9
    references = torch.stack([tone(1000), clicks])
    estimates = hpss(references.sum(dim=0))
    assert (si_sdr(estimates, references) > 10).all()
    assert numpy.abs(estimates.sum(dim=0) - references.sum(dim=0)).max() < 0.05
