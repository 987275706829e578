import numpy
import pandas
import pytest
import scipy.stats

from unsep_lib.experiments import paired_difference, summary
from unsep_lib.experiments.results import COLUMNS, read_table, write_table

LINE = {
    "task": "t", "mixture": "m", "condition": "plain", "priors": "p", "solver": "a", "steps": 5, "seed": 0, "source": 1,
    "label": "speech", "spec": "speech", "present": True, "si_sdr": 0.0, "si_sdr_improvement": 0.0, "sdr": 0.0,
    "level": 0.0, "seconds": 1.0, "evaluations": 8, "gradients": 0, "threads": 1, "versions": "", "key": "k",
}  # fmt: skip


def table(*lines):
    return pandas.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


def lines(values, **names):
    """One line a value of values[mixture, seed]."""
    return table(
        *(
            LINE | {"mixture": f"m{mixture:02d}", "seed": seed, "si_sdr_improvement": float(value)} | names
            for mixture, seeds in enumerate(values)
            for seed, value in enumerate(seeds)
        )
    )


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
    b = b[b.mixture != "m00"].copy()
    b.loc[b.mixture == "m01", "si_sdr_improvement"] = None
    assert paired_difference(a, b).mixtures == 28
    with pytest.raises(ValueError, match="sources that both have a si_sdr_improvement of, got none"):
        paired_difference(a, a[:0])


def test_a_summary_is_what_numpy_says(draws):
    a, _ = draws
    (found,) = summary(lines(a)).itertuples()
    means = a.mean(axis=1)
    assert found.mean == pytest.approx(means.mean())
    assert found.median == pytest.approx(numpy.median(means))
    assert found.low < means.mean() < found.high
    assert found.collapsed == pytest.approx((a < -10).mean())
    assert (found.task, found.solver, found.steps, found.mixtures) == ("t", "a", 5, 30)


def test_costs_are_a_row_and_lost_estimates_have_collapsed():
    row = [LINE | {"source": source, "seconds": 3.0, "evaluations": 6, "key": "x"} for source in (1, 2)]
    row[1] |= {"si_sdr": None, "si_sdr_improvement": None, "level": None}
    absent = row[0] | {"source": 0, "label": "", "present": False, "si_sdr": None, "si_sdr_improvement": None}
    other = LINE | {"seed": 1, "seconds": 1.0, "evaluations": 2, "key": "y"}
    (found,) = summary(table(*row, absent, other)).itertuples()
    assert (found.seconds, found.evaluations) == (2.0, 4.0)
    assert found.collapsed == pytest.approx(1 / 3)
    assert found.mean == 0.0
    (lost,) = summary(table(row[1])).itertuples()
    assert (numpy.isnan(lost.mean), lost.collapsed) == (True, 1.0)


def test_a_mixture_of_one_source_has_no_part_in_means_and_has_not_collapsed():
    alone = LINE | {"mixture": "alone", "si_sdr": 30.0, "si_sdr_improvement": None}
    (found,) = summary(table(LINE | {"si_sdr_improvement": 4.0}, alone)).itertuples()
    assert (found.mean, found.collapsed, found.mixtures) == (4.0, 0.0, 2)


def test_groups_are_told_apart_and_tasks_keep_together():
    both = table(*(LINE | {"task": task, "condition": name} for name in ("plain", "wrong") for task in ("t", "u")))
    groups = [(found.task, found.condition) for found in summary(both).itertuples()]
    assert groups == [("t", "plain"), ("t", "wrong"), ("u", "plain"), ("u", "wrong")]


def test_a_table_comes_back_as_it_was_and_so_does_one_of_before_the_renaming(tmp_path):
    odd = LINE | {
        "label": "sound:NA",
        "priors": "",
        "si_sdr": 0.1 + 0.2,
        "sdr": None,
        "present": False,
        "versions": "a,b",
    }
    written = table(LINE, odd)
    write_table(tmp_path / "table.csv", written)
    pandas.testing.assert_frame_equal(read_table(tmp_path / "table.csv"), written, check_exact=True)
    text = (tmp_path / "table.csv").read_text()
    (tmp_path / "old.csv").write_text(text.replace(",spec,", ",told,", 1))
    pandas.testing.assert_frame_equal(read_table(tmp_path / "old.csv"), written, check_exact=True)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\0\xff", "task\n"])
def test_another_file_is_no_table(text, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=r"table\.csv: not a table of a sweep"):
        read_table(tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"gone\.csv: no such table"):
        read_table(tmp_path / "gone.csv")
