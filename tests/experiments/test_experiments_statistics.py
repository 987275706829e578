from dataclasses import replace

import numpy
import pytest
import scipy.stats

from unsep_lib.experiments import Line, paired_difference, summarise

LINE = Line(
    task="t", mixture="m", condition="plain", priors="p", solver="a", steps=5, seed=0, source=1, label="speech",
    told="speech", present=True, si_sdr=0.0, si_sdr_improvement=0.0, sdr=0.0, level=0.0, seconds=1.0, evaluations=8,
    gradients=0, threads=1, versions="", key="k",
)  # fmt: skip


def lines(values, **names):
    """One line a value of values[mixture, seed]."""
    return [
        replace(LINE, mixture=f"m{mixture:02d}", seed=seed, si_sdr_improvement=float(value), **names)
        for mixture, seeds in enumerate(values)
        for seed, value in enumerate(seeds)
    ]


@pytest.fixture
def draws():
    """Improvements [mixture, seed] of two solvers: mixtures differ much, solvers by 1 dB, seeds by noise."""
    generator = numpy.random.default_rng(0)
    hardness = generator.normal(0, 10, (30, 1))
    return [hardness + offset + generator.normal(0, 1, (30, 4)) for offset in (1.0, 0.0)]


def test_the_interval_is_scipys_bootstrap_over_mixtures_of_seed_means(draws):
    a, b = draws
    result = paired_difference(lines(a), lines(b))
    means = (a - b).mean(axis=1)
    expected = scipy.stats.bootstrap(
        (means,), numpy.mean, n_resamples=20_000, method="percentile", rng=numpy.random.default_rng(1)
    ).confidence_interval
    assert (result.mean, result.mixtures) == (pytest.approx(means.mean()), 30)
    assert result.low == pytest.approx(expected.low, abs=0.03)
    assert result.high == pytest.approx(expected.high, abs=0.03)
    student = scipy.stats.t.interval(0.95, 29, means.mean(), means.std(ddof=1) / 30**0.5)
    assert (result.low, result.high) == pytest.approx(student, abs=0.06)


def test_a_difference_that_is_the_same_everywhere_has_no_width(draws):
    _, b = draws
    assert paired_difference(lines(b + 2), lines(b)).low == pytest.approx(2.0)
    assert paired_difference(lines(b + 2), lines(b)).high == pytest.approx(2.0)
    seeds = numpy.array([[10.0, -10.0], [-30.0, 30.0]])
    result = paired_difference(lines(seeds), lines(0 * seeds))
    assert (result.low, result.mean, result.high) == (0.0, 0.0, 0.0)


def test_only_what_both_have_is_compared(draws):
    a, b = (lines(values) for values in draws)
    b = [line for line in b if line.mixture != "m00"]
    b = [replace(line, si_sdr_improvement=None) if line.mixture == "m01" else line for line in b]
    assert paired_difference(a, b).mixtures == 28
    with pytest.raises(ValueError, match="sources that both have a si_sdr_improvement of, got none"):
        paired_difference(a, [])


def test_a_summary_is_what_numpy_says(draws):
    a, _ = draws
    (summary,) = summarise(lines(a))
    means = a.mean(axis=1)
    assert summary.improvement.mean == pytest.approx(means.mean())
    assert summary.improvement.median == pytest.approx(numpy.median(means))
    assert summary.improvement.low < means.mean() < summary.improvement.high
    assert summary.collapsed == pytest.approx((a < -10).mean())
    assert (summary.task, summary.solver, summary.steps, summary.mixtures) == ("t", "a", 5, 30)


def test_costs_are_a_row_and_lost_estimates_have_collapsed():
    row = [replace(LINE, source=1, seconds=3.0, evaluations=6, key="x"), replace(LINE, source=2, seconds=3.0, key="x")]
    row[1] = replace(row[1], si_sdr_improvement=None, level=None, evaluations=6)
    absent = replace(row[0], source=0, label="", present=False, si_sdr_improvement=None)
    other = replace(LINE, seed=1, seconds=1.0, evaluations=2, key="y")
    (summary,) = summarise([*row, absent, other])
    assert (summary.seconds, summary.evaluations) == (2.0, 4.0)
    assert summary.collapsed == pytest.approx(1 / 3)
    assert summary.improvement.mean == 0.0
    (lost,) = summarise([row[1]])
    assert (lost.improvement, lost.collapsed) == (None, 1.0)


def test_groups_are_told_apart_and_tasks_keep_together():
    table = [replace(LINE, task=task, condition=name) for name in ("plain", "wrong") for task in ("t", "u")]
    groups = [(summary.task, summary.condition) for summary in summarise(table)]
    assert groups == [("t", "plain"), ("t", "wrong"), ("u", "plain"), ("u", "wrong")]
