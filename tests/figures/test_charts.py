import pytest

from unsep_lib.experiments import full_run
from unsep_lib.figures import bars, curves, differences, pareto, reliability, step_lengths
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


def test_the_bars_of_one_group_carry_their_names_and_need_no_legend():
    axes = bars({"one mixture": {"right label": 22.0, "no label": 21.0}}, "dB").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["right label", "no label"]
    assert [bar.get_height() for bar in axes.patches] == [22.0, 21.0]
    assert axes.get_legend() is None
    axes = bars({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0, "y": 4.0}}, "dB").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["x", "y"]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2.0, 30.0, ["2", "5", "10", "20"]),
        (0.28, 0.62, ["0.3", "0.4", "0.6"]),
        (0.002, 180.0, ["0.01", "0.1", "1", "10", "100"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(low, high, labels):
    figure = curves({"a": ([low, high], [1.0, 2.0])}, "x", "y", log="x")
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    begin, end = axis.get_view_interval()
    shown = [tick.label1.get_text() for tick in axis.get_major_ticks() if begin <= tick.get_loc() <= end]
    assert shown == labels
    assert all(tick.label1.get_text() == "" for tick in axis.get_minor_ticks())


def test_the_right_scale_stands_in_the_legend_of_the_lengths():
    axes = step_lengths({"hybrid": [0.1, 0.2]}, {"loud": [1.0, 2.0], "quiet": [3.0, 9.0]}).axes
    names = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert names == ["hybrid", "right scale, loud", "right scale, quiet"]
    assert len({line.get_linestyle() for line in axes[1].get_lines()}) == 2


def test_reliability_shows_each_set_beside_equality_and_its_band():
    axes = reliability({"a": [(0.0, 1.0), (10.0, 8.0)], "b": [(4.0, -6.0)]}, 8.0).axes[0]
    equal, a, b = (line.get_xydata().tolist() for line in axes.get_lines())
    assert (equal, a, b) == ([[0, 0], [10, 10]], [[0, 1], [10, 8]], [[4, -6]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band.tolist()} >= {(0, -8), (0, 8), (10, 2), (10, 18)}


def test_an_unknown_full_run_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no full run of 'nope': known are ablation, claim"):
        full_run("nope")
