import re
from itertools import pairwise

import pytest
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from unsep_lib import widgets
from unsep_lib.figures import moment, step_lengths
from unsep_lib.solvers import Snapshot

RATE = 16_000


def tone(frequency):
    return 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(RATE // 2) / RATE)


def snapshots(count=5):
    sources = torch.stack([tone(500), tone(2000)])[None]
    return [
        Snapshot(step, count, 1 / step, sources, sources, sources.sum(dim=1) / 2**step, None)
        for step in range(1, count + 1)
    ]


@pytest.fixture
def shown(monkeypatch):
    class Handle:
        def update(self, picture):
            pictures.append(picture.data)

    def display(picture, display_id):
        pictures.append(picture.data)
        return Handle()

    pictures = []
    monkeypatch.setattr(widgets, "display", display)
    return pictures


def test_a_live_picture_is_redrawn_at_the_first_every_and_the_last_step(shown):
    drawn = []

    def draw(seen):
        drawn.append(len(seen))
        return Figure(figsize=(1, 1))

    live = widgets.LivePicture(draw, "a growing curve", every=3)
    for snapshot in snapshots(7):
        live(snapshot)
    assert drawn == [1, 3, 6, 7] and len(shown) == 4
    assert [snapshot.step for snapshot in live.snapshots] == list(range(1, 8))
    assert all('alt="a growing curve"' in picture for picture in shown)


def test_a_live_picture_refuses_an_interval_of_zero():
    with pytest.raises(ValueError, match="1 or more steps, got 0"):
        widgets.LivePicture(lambda seen: Figure(), "nothing", every=0)


def test_moving_the_slider_shows_the_picture_of_that_index():
    slider = widgets.Slider(lambda index: HTML(f"picture {index}"), 4, HTML("still"), "step")
    assert slider.image.value == "picture 3"
    slider.slider.value = 1
    assert slider.image.value == "picture 1"
    assert (slider.slider.min, slider.slider.max) == (0, 3)


def test_a_slider_offers_a_widget_and_a_still_picture_for_viewers_without_a_kernel():
    bundle = widgets.Slider(lambda index: HTML("moving"), 2, HTML("still"), "step")._repr_mimebundle_()
    assert bundle["text/html"] == "still"
    assert widgets.WIDGET_VIEW in bundle


def test_a_slider_over_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 picture, got 0"):
        widgets.Slider(lambda index: HTML(""), 0, HTML(""), "step")


def test_the_scrubber_tells_the_step_it_stands_at_in_words():
    scrubber = widgets.scrubber(snapshots(), ["low", "high"])
    scrubber.slider.value = 2
    assert re.search(r'alt="[^"]*step 3 of 5', scrubber.image.value)


def test_a_moment_shows_each_source_in_its_column_and_marks_the_step():
    figure = moment(snapshots(), ["low", "high"], 1)
    spectra = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes if axes.images}
    for title, kilohertz in (("low: estimate", 0.5), ("high: estimate", 2.0)):
        levels = spectra[title].mean(axis=1)
        assert levels.argmax() / (len(levels) - 1) * 8 == pytest.approx(kilohertz, abs=0.1)
    (curve,) = (axes for axes in figure.axes if axes.get_title().startswith("step 2"))
    residuals = curve.lines[0].get_ydata()
    assert [after / before for before, after in pairwise(residuals)] == pytest.approx([0.5] * 4)


def test_step_lengths_run_from_the_noisiest_step_to_zero():
    (axes,) = step_lengths({"rule": [3.0, 2.0, 1.0]}).axes
    assert axes.lines[0].get_xdata().tolist() == [2, 1, 0]
    assert axes.xaxis_inverted()
