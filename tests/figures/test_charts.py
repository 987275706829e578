import pytest

from unsep_lib.experiments import full_run
from unsep_lib.figures import differences, pareto
from unsep_lib.figures.charts import pareto_front


def test_the_front_holds_what_nothing_beats():
    points = [(2.0, 5.0), (1.0, 3.0), (4.0, 4.0), (3.0, 5.0), (8.0, 6.0), (1.0, 2.0)]
    unbeaten = [
        (cost, quality)
        for cost, quality in points
        if not any(c <= cost and q >= quality and (c, q) != (cost, quality) for c, q in points)
    ]
    assert pareto_front(points) == sorted(unbeaten)


def test_pareto_shows_every_solver_and_the_front():
    axes = pareto({"a": [(4.0, 2.0), (1.0, 1.0)], "b": [(2.0, 0.0)]}, "s", "dB").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Pareto front", "a", "b"]
    front, a, b = (line.get_xydata().tolist() for line in axes.get_lines())
    assert (front, a, b) == ([[1, 1], [4, 2]], [[1, 1], [4, 2]], [[2, 0]])


def test_differences_show_means_and_intervals_from_the_top():
    axes = differences({"a − b": (1.0, 0.5, 2.0), "a − c": (-1.0, -3.0, 0.0)}, "dB").axes[0]
    bars = axes.containers[0]
    assert bars[0].get_xydata().tolist() == [[1, 0], [-1, 1]]
    assert [segment.tolist() for segment in bars[2][0].get_segments()] == [[[0.5, 0], [2, 0]], [[-3, 1], [0, 1]]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a − b", "a − c"]
    assert axes.yaxis_inverted()


def test_an_unknown_full_run_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no full run of 'nope': known are ablation, claim"):
        full_run("nope")
