import numpy
import pytest
import torch
from experiment_cases import SAMPLES, noise

from unsep_lib.data.mixtures import Mixture
from unsep_lib.experiments.conditions import at_levels, cropped, joined
from unsep_lib.source_spec import parse_spec

RATE = 16_000


def test_levels_differ_as_asked_and_the_mixture_is_the_sum():
    sources = noise(3, SAMPLES) * torch.tensor([1.0, 0.3, 2.0])[:, None]
    mixture = Mixture("m", sources.sum(dim=0), sources, tuple(map(parse_spec, ("a", "b", "c"))))
    for difference in (-10.0, 0.0, 10.0):
        changed = at_levels(mixture, difference)
        levels = 20 * numpy.log10(changed.sources.numpy().std(axis=1))
        numpy.testing.assert_allclose(levels[0] - levels[1:], difference, atol=0.01)
        torch.testing.assert_close(changed.mixture, changed.sources.sum(dim=0))
        assert torch.equal(changed.sources[0], sources[0])
    assert at_levels(mixture, None) is mixture


def test_a_piece_is_where_every_source_sounds():
    sources = torch.zeros(2, RATE)
    sources[0, :8000], sources[1, 6000:] = noise(8000), noise(10_000, seed=1)
    mixture = Mixture("m", sources.sum(dim=0), sources, (parse_spec("a"), parse_spec("b")))
    piece = cropped(mixture, 0.25)
    assert piece.sources.shape == (2, 4000)
    energy = sources.square()
    shares = [(energy[:, s : s + 4000].sum(dim=1) / energy.sum(dim=1)).min() for s in range(0, 12_001, 800)]
    start = 800 * int(torch.stack(shares).argmax())
    assert torch.equal(piece.sources, sources[:, start : start + 4000])
    assert torch.equal(piece.mixture, piece.sources.sum(dim=0))
    assert cropped(mixture, 0) is mixture
    with pytest.raises(ValueError, match="a mixture of at least 2 s, got 1 s"):
        cropped(mixture, 2)


def test_mixtures_of_two_lengths_are_not_added():
    one, two = (Mixture(f"m{n}", noise(n), noise(1, n), (parse_spec("speech"),)) for n in (9, 10))
    with pytest.raises(ValueError, match="m9 and m10: expected mixtures of one length and rate, got 9 and 10 samples"):
        joined(one, two)
