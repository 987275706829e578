import pytest
import torch

from unsep_lib.audio import in_context, resample
from unsep_lib.bandwidth import BANDWIDTHS, upward
from unsep_lib.separation import request, separate

RATE = 44_100
LENGTH = 13 * RATE + 77  # two blocks of 6 s and a rest


def above(samples, frequency, rate=RATE):
    """Samples without what lies below the frequency, by one transform of the whole."""
    spectrum = torch.fft.rfft(samples)
    spectrum[..., torch.fft.rfftfreq(samples.shape[-1], 1 / rate) < frequency] = 0
    return torch.fft.irfft(spectrum, samples.shape[-1])


def ratio_db(wanted, other):
    return 10 * torch.log10(wanted.square().sum() / other.square().sum())


@pytest.fixture(scope="module")
def bursts():
    """Two sources [source, channel, time] of white noise that sound by turns, a second each, and what 16 kHz keeps."""
    generator = torch.Generator().manual_seed(3)
    references = 0.1 * torch.randn(2, 1, LENGTH, generator=generator)
    turn = (torch.arange(LENGTH) // RATE) % 2
    references = references * torch.stack([turn == 0, turn == 1])[:, None]
    return references, resample(resample(references, RATE, 16_000), 16_000, RATE)[..., :LENGTH]


def in_blocks(sources, own, seconds=6):
    return zip(sources.split(seconds * RATE, dim=-1), own.split(seconds * RATE, dim=-1), strict=True)


def test_blocks_come_with_what_lies_beside_them():
    blocks = torch.arange(10.0)[None].split(4, dim=-1)
    found = [[part[0].tolist() for part in parts] for parts in in_context(blocks, 3)]
    assert found == [
        [[], [0, 1, 2, 3], [4, 5, 6]],
        [[1, 2, 3], [4, 5, 6, 7], [8, 9]],
        [[5, 6, 7], [8, 9], []],
    ]
    short = [[part[0].tolist() for part in parts] for parts in in_context(torch.arange(3.0)[None].split(1, dim=-1), 2)]
    assert short == [[[], [0], [1]], [[0], [1], [2]], [[0, 1], [2], []]]


def test_each_source_gets_its_own_part_above_8_khz(bursts):
    references, narrow = bursts
    full = torch.cat([block for block, _ in upward(in_blocks(narrow, references.sum(dim=0)), RATE)], dim=-1)
    for before, after, reference in zip(narrow, full, references, strict=True):
        assert ratio_db(reference, reference - before) < 5  # most of white noise lies above 8 kHz
        assert ratio_db(reference, reference - after) > 15
        assert ratio_db(reference, above(after - before, 0) - above(after - before, 7_000)) > 40  # nothing below moves


def test_blocks_are_as_one(bursts):
    references, narrow = bursts
    own = references.sum(dim=0)
    whole = next(block for block, _ in upward([(narrow, own)], RATE))
    pairs = list(upward(in_blocks(narrow, own), RATE))
    torch.testing.assert_close(torch.cat([block for block, _ in pairs], dim=-1), whole, atol=2e-5, rtol=0)
    assert torch.equal(torch.cat([heard for _, heard in pairs], dim=-1), own)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_nothing_changes_at_16_khz_and_below(rate):
    block = torch.ones(2, 1, 100), torch.ones(1, 100)
    assert list(upward([block], rate)) == [block]


@pytest.mark.parametrize("length", [1, 300, RATE])
def test_where_no_source_sounds_the_residual_keeps_all(length):
    tone = torch.sin(2 * torch.pi * 10_000 / RATE * torch.arange(length))[None]
    [(sources, own)] = upward([(torch.zeros(2, 1, length), tone)], RATE)
    assert sources.abs().max() < 1e-6
    assert torch.equal(own, tone)


def test_a_separation_is_full_band_unless_asked(bursts):
    mixture = bursts[0].sum(dim=0)[:, : 2 * RATE]
    found = {
        bandwidth: separate(mixture, ["speech", "sound"], RATE, solver="projection", steps=1, bandwidth=bandwidth)
        for bandwidth in BANDWIDTHS
    }
    high = {bandwidth: above(one.sources, 8_500).square().sum() for bandwidth, one in found.items()}
    assert high["16k"] < 0.01 * above(mixture, 8_500).square().sum()
    assert high["full"] > 0.4 * above(mixture, 8_500).square().sum()
    for bandwidth, one in found.items():
        torch.testing.assert_close(one.sources.sum(dim=0) + one.residual, mixture)
        assert one.report["bandwidth"] == bandwidth
    with pytest.raises(ValueError, match="expected bandwidth full or 16k, got 'wide'"):
        request("speech", bandwidth="wide")
