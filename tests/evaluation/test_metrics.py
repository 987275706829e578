import fast_bss_eval
import numpy
import pytest
import torch

from unsep_lib.evaluation.metrics import best_order, calibration, si_sdr, source_switches, statistic
from unsep_lib.source_spec import parse_spec


def test_si_sdr_equals_fast_bss_eval():
    torch.manual_seed(0)
    reference = torch.randn(3, 8000, dtype=torch.float64)
    estimate = 0.7 * reference + torch.tensor([0.1, 0.5, 2.0])[:, None] * torch.randn_like(reference)
    expected = fast_bss_eval.si_sdr(reference.numpy(), estimate.numpy(), zero_mean=True)
    numpy.testing.assert_allclose(si_sdr(estimate, reference).numpy(), expected, atol=1e-3)


def test_si_sdr_of_orthogonal_noise_is_its_power_ratio_at_any_scale():
    time = torch.arange(16_000, dtype=torch.float64) / 16_000
    reference, noise = torch.sin(2 * torch.pi * 100 * time), 0.1 * torch.sin(2 * torch.pi * 300 * time)
    for gain in (1.0, 0.01, -3.0):
        assert si_sdr(gain * (reference + noise), reference).item() == pytest.approx(20.0, abs=1e-6)


def test_silent_references_have_no_score_and_shapes_must_match():
    assert si_sdr(torch.ones(1, 100), torch.zeros(1, 100)).isnan().all()
    with pytest.raises(ValueError, match=r"expected an estimate of shape \(2, 5\), got \(2, 4\)"):
        si_sdr(torch.ones(2, 4), torch.ones(2, 5))


def test_silent_and_constant_estimates_have_no_score():
    for level in (0.0, 0.5):
        assert si_sdr(torch.full((1, 100), level), torch.randn(1, 100, generator=torch.Generator())).isnan().all()


def test_only_sources_of_one_specification_are_permuted():
    torch.manual_seed(0)
    references = torch.randn(3, 1000)
    swapped = references[[1, 0, 2]]
    same = [parse_spec("speech"), parse_spec("speech"), parse_spec("sound:Cello")]
    different = [parse_spec("speech"), parse_spec("sound:Flute"), parse_spec("sound:Cello")]
    assert best_order(swapped, references, same) == [1, 0, 2]
    assert best_order(swapped, references, different) == [0, 1, 2]


def test_switches_are_counted_between_pieces_in_which_every_reference_sounds():
    torch.manual_seed(0)
    references = torch.randn(2, 600)
    references[1, 300:400] = 0  # the fourth piece is passed over
    estimates = references + 0.1 * torch.randn(2, 600)
    assert source_switches(estimates, references, 100) == (0, 4)
    estimates[:, 100:300] = estimates[[1, 0], 100:300]
    assert source_switches(estimates, references, 100) == (2, 4)
    assert source_switches(estimates, references, 601) == (0, 0)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = numpy.random.default_rng(0)
    covered = 0
    for _ in range(60):
        mixtures = generator.normal(3.0, 2.0, 40)
        result = statistic(numpy.repeat(mixtures, 2), [str(i) for i in range(40) for _ in range(2)])
        covered += result.low <= 3.0 <= result.high
    assert 50 <= covered <= 60


def test_the_interval_resamples_mixtures_not_sources():
    values, names = [0.0, 0.0, 6.0, 6.0] * 5, [str(i // 2) for i in range(20)]
    by_mixture = statistic(values, names)
    by_source = statistic(values, [str(i) for i in range(20)])
    assert by_mixture.mean == by_source.mean == 3.0
    assert by_mixture.high - by_mixture.low > 1.2 * (by_source.high - by_source.low)


def test_estimated_improvements_are_compared_with_the_true_ones():
    expected, true = [10.0, 4.0, 7.0, 1.0], [12.0, 1.0, 8.0, 2.0]
    low, high = ([value + side * 2 for value in expected] for side in (-1, 1))
    found = calibration(expected, low, high, true)
    differences = (4 - 4, 2 - 1, 3 - 3, 1 - 2)  # of the ranks
    assert found.rank_correlation == pytest.approx(1 - 6 * sum(one**2 for one in differences) / (4 * (4**2 - 1)))
    assert (found.inside, found.bias, found.error) == (0.75, pytest.approx(-0.25), pytest.approx(1.75))
    assert calibration([1.0] * 3, [0.0] * 3, [2.0] * 3, [0.0, 1.0, 2.0]).rank_correlation is None
