"""Counted arithmetic against a count by hand from the network's description."""

import re

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from unsep_lib.__main__ import main
from unsep_lib.bench import Gpu
from unsep_lib.bench.flops import NetworkFlop, Workload, counter
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig
from unsep_lib.networks.tf_layers import Attention
from unsep_lib.priors.epsilon import EpsilonPrior
from unsep_lib.priors.paper_schedule import paper_sigma
from unsep_lib.solvers.guidance import ReconstructionLoss, loss_gradient
from unsep_lib.source_spec import SourceSpec

TINY = TfConfig(width=8)
FULL_BAND = 256
LEVELS = ((1, 2), (2, 4), (4, 8), (2, 4), (1, 2))  # width in units of C, blocks


def by_hand(config, frames):
    """FLOP (plain, guided) of an evaluation, from the network's description alone.

    A product of [m, k] and [k, n] takes 2mkn. A gradient in the input takes a linear layer or convolution as much
    again, and each of attention's two products twice as much; blocks are computed a second time for it.
    """
    width, embedding = config.width, config.embedding

    def cells(units):
        return 256 // units * frames // units

    def convolution(positions, channels_in, channels_out, taps):
        return 2 * positions * taps * channels_in * channels_out

    linear = convolution(cells(1), 2, width, 9)
    linear += convolution(cells(1), width, width // 2, 9) + convolution(cells(2), 2 * width, width, 9)
    linear += convolution(cells(4), 4 * width, 8 * width, 9) + convolution(cells(2), 2 * width, 4 * width, 9)
    linear += convolution(cells(2), 4 * width, 2 * width, 1) + convolution(cells(1), 2 * width, width, 1)
    linear += convolution(cells(1), width, width, 9) + convolution(cells(1), width, 2, 9)
    conditioning = 6 * 2 * (256 * embedding + embedding**2) + 2 * embedding * 2 * width
    block_linear = attention = 0
    for units, blocks in LEVELS:
        positions, channels = cells(units), units * width
        block_linear += blocks * 2 * 24 * positions * channels**2
        attention += blocks * 4 * positions * (256 // units + frames // units) * channels
        conditioning += blocks * 2 * 2 * embedding * 6 * channels
    steps, channels = frames // 4, 4 * width
    block_linear += 8 * (2 * 16 * steps * 4 * channels * 32 + 2 * steps * 4 * FULL_BAND**2)
    block_linear += 8 * 12 * cells(4) * channels**2
    attention += 8 * 4 * steps**2 * FULL_BAND
    conditioning += 8 * 2 * embedding * 3 * (FULL_BAND + channels)
    linear += 8 * convolution(16 * steps, 16, 4 * channels, 3)
    plain = linear + conditioning + block_linear + attention
    return plain, plain + linear + 2 * block_linear + 3 * attention


@pytest.fixture(scope="module")
def network():
    return TfAttentionNetwork(TINY)


@pytest.fixture(scope="module")
def extrapolated():
    return NetworkFlop(TINY)


def test_attention_takes_its_four_products():
    lines, positions, width, heads = 3, 10, 16, 4
    with sdpa_kernel(SDPBackend.MATH), counter() as counted, torch.no_grad():
        Attention(width, heads)(torch.zeros(lines, positions, width))
    scores_and_mix = 2 * 2 * lines * heads * positions**2 * (width // heads)
    assert counted.get_total_flops() == 2 * lines * positions * width * (3 * width + width) + scores_and_mix


@pytest.mark.parametrize(("samples", "frames"), [(1, 4), (1020, 8), (3059, 12), (3060, 16), (64_000, 252)])
def test_every_product_is_counted_also_the_recomputed_ones_at_any_length(extrapolated, samples, frames):
    evaluation = extrapolated.evaluation(samples / 16_000)
    assert (evaluation.plain, evaluation.guided) == by_hand(TINY, frames)


def test_four_seconds_of_the_released_network_take_about_half_a_teraflop():
    plain, guided = by_hand(TfConfig(), 252)
    assert plain == pytest.approx(0.46e12, rel=0.02)
    assert 2.9 < guided / plain < 3.2


@pytest.mark.full
def test_the_released_network_is_counted_as_by_hand():
    evaluation = NetworkFlop(TfConfig()).evaluation(4.0)
    assert (evaluation.plain, evaluation.guided) == by_hand(TfConfig(), 252)


def test_a_guided_step_of_two_sources_takes_three_evaluations_two_of_them_with_a_gradient(network, extrapolated):
    state, prior = torch.zeros(1, 2, 1000), EpsilonPrior(network)
    with sdpa_kernel(SDPBackend.MATH), counter() as counted:
        loss_gradient([prior] * 2, state, paper_sigma(100), torch.ones(1, 1000), ReconstructionLoss())
    assert counted.get_total_flops() == extrapolated.evaluation(1000 / 16_000).of_step(2)


def test_a_workload_adds_up_its_steps(extrapolated):
    one = extrapolated.evaluation(4.0).of_step(2)
    other = extrapolated.evaluation(1.0).of_step(3)
    assert Workload(((2, 4.0), (3, 1.0)), steps=7).flop(extrapolated) == 7 * (one + other)


def test_hours_are_flop_over_what_the_gpus_reach():
    assert Gpu().hours(round(67e12 * 0.3 * 3600)) == pytest.approx(1.0)
    assert Gpu(peak=100.0, utilisation=0.5).hours(10**18, count=8) == pytest.approx(1e18 / (8 * 50e12) / 3600)


def test_the_command_prints_counts_and_estimates_of_a_folder(extrapolated, tmp_path, monkeypatch, capsys):
    for name, sources, seconds in (("2sounds_00", 2, 1.0), ("3sounds_00", 3, 0.5)):
        references = 0.1 * torch.randn(sources, round(seconds * 16_000), generator=torch.Generator().manual_seed(0))
        specs = (SourceSpec("sound"),) * sources
        write_mixture(tmp_path / name, Mixture(name, references.sum(dim=0), references, specs))
    monkeypatch.setattr("unsep_lib.bench.flops.NetworkFlop", {TINY: extrapolated}.get)
    options = ["--width", "8", "--steps", "100", "--peak", "20", "--utilisation", "0.25"]
    assert main(["bench", "hours", "--mixtures", str(tmp_path), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    (plain, guided), (short, short_guided) = (by_hand(TINY, frames) for frames in (64, 32))
    flop = 100 * (plain + 2 * guided + 2 * short + 3 * short_guided)
    assert lines[0].startswith(
        f"one evaluation of 1 s: {plain / 1e12:.3g} TFLOP, with its gradient {guided / 1e12:.3g}"
    )
    assert lines[1] == f"2 mixtures of 5 sources, 100 steps: {flop / 1e15:.4g} PFLOP (counted)"
    for line, count in zip(lines[2:], (1, 8), strict=True):
        hours = float(re.fullmatch(rf"{count} GPUs?: (\S+) hours \(estimate: 20 TFLOP/s × 25% each\)", line)[1])
        assert hours == pytest.approx(flop / (20e12 * 0.25 * count * 3600), rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peak", "0"], "expected a peak above 0"),
        (["--utilisation", "1.5"], "utilisation above 0 and up to 1"),
        (["--steps", "0"], "expected at least 1 step, got 0"),
        (["--per-task", "0"], "expected at least 1 mixture of each task, got 0"),
        (["--seconds", "nan"], "at least one source and sample"),
        (["--width", "20"], "multiple of 8 for 4 heads, got 20"),
        (["--mixtures", "nowhere"], "no such folder of mixtures"),
    ],
)
def test_impossible_workloads_are_refused(options, message, capsys):
    assert main(["bench", "hours", *options]) == 2
    assert message in capsys.readouterr().err
