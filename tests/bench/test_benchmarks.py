import re

import numpy as np
import pytest
import torch

from unsep_lib.__main__ import main
from unsep_lib.bench import timing as benchmarks
from unsep_lib.bench.timing import Comparison, Measurement, Times, Workload, compare_networks, guided_step


def test_the_last_line_holds_the_ratios_of_separate_processes(capfd):
    assert main(["bench", "network", "--width", "8", "--seconds", "0.2", "--repeats", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["reference", "fast", "time"]
    match = re.fullmatch(r"time ratio ([\d.]+) memory ratio ([\d.]+) error ([\d.e+-]+)", lines[-1])
    assert all(float(number) > 0 for number in match.groups()) and float(match[3]) < 2e-4


def test_ratios_are_of_medians_and_the_error_is_the_largest(monkeypatch):
    seconds = {"reference": [9.0, 8.0, 100.0], "fast": [3.0, 1.0, 4.0]}
    peaks = {"reference": [500.0, 600.0, 550.0], "fast": [100.0, 110.0, 120.0]}
    order = []

    def pretend(side, workload):
        run = order.count(side)
        order.append(side)
        epsilon = np.array([1.0, 2.0 + 0.01 * run * (side == "fast")])
        return Measurement(seconds[side][run], peaks[side][run], (epsilon, np.array([4.0])))

    monkeypatch.setattr(benchmarks, "measure_apart", pretend)
    result = compare_networks(Workload())
    assert order == ["reference", "fast"] * 3
    assert (result.time_ratio, result.memory_ratio, result.error) == pytest.approx((3.0, 5.0, 0.01))
    assert str(Comparison(3.0, 5.0, 0.01)) == "time ratio 3.00 memory ratio 5.00 error 1.0e-02"


def test_a_guided_step_gives_the_slope_of_the_loss():
    class Halving(torch.nn.Module):
        def forward(self, samples, time, label):
            assert (time.tolist(), label.tolist()) == ([500], [0])
            return samples / 2

    state, mixture = torch.randn(1, 600, dtype=torch.float64), torch.zeros(1, 600, dtype=torch.float64)
    epsilon, gradient = guided_step(Halving(), state, mixture)
    assert torch.equal(epsilon, state / 2)
    power = np.prod(1 - np.linspace(1e-4, 0.02, 200)[:101])
    factor = (1 - 0.5 * (1 - power) ** 0.5) / power**0.5
    loss = benchmarks.ReconstructionLoss()(factor * state, mixture).item()
    assert (gradient * state).sum().item() == pytest.approx(loss)


def test_a_run_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(benchmarks, "_send", exit)
    with pytest.raises(ValueError, match="expected a measurement of the fast network, got exit code"):
        benchmarks.measure_apart("fast", Workload(0.1, 8))


def test_two_solvers_run_in_turn_and_the_last_line_holds_their_ratio(capsys):
    asked = ["--solver", "projection-mean", "--against", "projection", "--seconds", "0.05", "--pairs", "2"]
    assert main(["bench", "solvers", *asked]) == 0
    *runs, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in runs] == ["projection-mean", "projection"] * 2
    assert re.fullmatch(r"[\d.]+ s against [\d.]+ s: time ratio [\d.]+ \([\d.]+ to [\d.]+\)", last)


def test_the_ratio_of_two_solvers_is_the_median_of_the_pairs():
    times = Times(own=(1.0, 2.0, 1.0), other=(8.0, 18.0, 30.0))
    assert times.ratios == (8.0, 9.0, 30.0)
    assert str(times) == "1.00 s against 18.00 s: time ratio 9.0 (8.0 to 30.0)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", "0"], "expected at least 1 pair of runs, got 0"),
        (["--seconds", "0"], "expected at least one sample of audio, got 0.0 s"),
        (["--against", "magic"], "unknown solver 'magic'"),
    ],
)
def test_impossible_races_are_refused(options, message, capsys):
    assert main(["bench", "solvers", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", "0"], "expected at least 1 repeat, got 0"),
        (["--seconds", "0"], "expected at least one sample of audio"),
        (["--seconds", "nan"], "expected at least one sample of audio"),
        (["--width", "20"], "multiple of 8 for 4 heads, got 20"),
    ],
)
def test_impossible_workloads_are_refused(options, message, capsys):
    assert main(["bench", "network", *options]) == 2
    assert message in capsys.readouterr().err


def test_bfloat16_changes_a_separation_little_but_does_change_it():
    assert 1e-5 < benchmarks.separation_error(Workload(0.1, 16)) < 0.2
