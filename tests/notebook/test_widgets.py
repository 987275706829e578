import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from unsep_lib.figures import compared_runs, moment, step_lengths
from unsep_lib.notebook import panels, widgets
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
    monkeypatch.setattr("unsep_lib.notebook.widgets.display", display)
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


def test_moving_the_slider_shows_the_picture_of_that_label():
    slider = widgets.Slider(lambda index: HTML(f"picture {index}"), ["a", "b", "c", "d"], HTML("still"), "step")
    assert slider.image.value == "picture 3"
    slider.slider.value = 1
    assert (slider.image.value, slider.slider.label) == ("picture 1", "b")


def test_a_slider_offers_a_widget_and_a_still_picture_for_viewers_without_a_kernel():
    bundle = widgets.Slider(lambda index: HTML("moving"), ["a", "b"], HTML("still"), "step")._repr_mimebundle_()
    assert bundle["text/html"] == "still"
    assert widgets.WIDGET_VIEW in bundle


def test_a_slider_over_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 picture, got 0"):
        widgets.Slider(lambda index: HTML(""), [], HTML(""), "step")


def test_the_scrubber_tells_the_step_it_stands_at_in_words():
    scrubber = widgets.scrubber(snapshots(), ["low", "high"])
    scrubber.slider.value = 2
    assert re.search(r'alt="[^"]*step 3 of 5', scrubber.image.value)
    assert scrubber.slider.label == "3, σ = 0.333"


def test_a_noised_clip_holds_noise_of_the_level_and_what_the_denoiser_makes_of_it():
    clean, noise = tone(500), torch.randn(RATE // 2, generator=torch.Generator().manual_seed(0))
    asked = []

    def halve(noisy, sigma):
        asked.append((tuple(noisy.shape), sigma))
        return noisy / 2

    tracks = widgets.noised(clean, noise, 0.25, halve)
    assert asked == [((1, RATE // 2), 0.25)]
    assert (tracks["noised"] - clean).std().item() == pytest.approx(0.25, rel=0.05)
    torch.testing.assert_close(2 * tracks["denoised"], tracks["noised"])
    with pytest.raises(ValueError, match=r"shape \(8000,\), got \(5,\)"):
        widgets.noised(clean, noise[:5], 0.25, halve)


def test_the_noise_slider_denoises_a_level_once_and_states_its_error():
    clean, noise, asked = tone(500), torch.ones(RATE // 2), []

    def forgetful(noisy, sigma):
        asked.append(sigma)
        return torch.zeros_like(noisy)

    slider = widgets.noise_slider(clean, noise, [0.01, 0.1, 1.0], forgetful)
    assert asked == [0.1, 1.0]
    slider.slider.value = 0
    slider.slider.value = 1
    slider.slider.value = 0
    assert asked == [0.1, 1.0, 0.01]
    assert "σ = 0.01: error of the denoised clip 0.0 dB" in slider.image.value
    assert slider.image.value.count("<audio") == 3 and 'alt="Spectrograms' in slider.image.value
    assert "σ = 0.1" in slider.still.data


def test_a_mix_has_each_track_at_its_level():
    tracks = {"low": tone(500), "high": 0.01 * tone(2000)}
    mixture = panels.mix(tracks, {"low": -20.0, "high": -30.0})
    amplitudes = torch.fft.rfft(mixture).abs() * 2 / len(mixture)
    low, high = (20 * torch.log10(amplitudes[frequency // 2] / 2**0.5).item() for frequency in (500, 2000))
    assert (low, high) == (pytest.approx(-20.0, abs=0.1), pytest.approx(-30.0, abs=0.1))


@pytest.mark.parametrize(
    ("tracks", "levels", "message"),
    [
        ({"a": tone(500)}, {"b": -20.0}, "a level for each of a, got b"),
        ({}, {}, "no track"),
        ({"a": tone(500), "b": tone(500)[:9]}, {"a": -20.0, "b": -20.0}, r"one length, got \[9, 8000\]"),
        ({"a": torch.zeros(9)}, {"a": -20.0}, "got silence"),
    ],
)
def test_a_mix_that_cannot_be_made_is_refused(tracks, levels, message):
    with pytest.raises(ValueError, match=message):
        panels.mix(tracks, levels)


def test_the_mixing_desk_follows_its_sliders_and_warns_of_clipping():
    desk = panels.MixingDesk({"low": tone(500), "high": tone(2000)}, {"low": -20.0, "high": -25.0})
    assert desk.image.value == desk.still.data == desk._repr_mimebundle_()["text/html"]
    desk.sliders["high"].value = -40.0
    assert desk.levels == {"low": -20.0, "high": -40.0}
    assert "low at -20 dBFS, high at -40 dBFS" in desk.image.value and "clips" not in desk.image.value
    desk.sliders["low"].value = desk.sliders["high"].value = -5.0
    assert desk.levels == {"low": -10.0, "high": -10.0}
    two_sines = 2 * 2**0.5 * 10 ** (-10 / 20)
    assert two_sines < 1 and "clips" not in desk.image.value
    loud = panels.MixingDesk({name: tone(500) for name in "abcd"}, dict.fromkeys("abcd", -10.0))
    assert "the player clips it" in loud.still.data


def test_one_of_a_batch_is_the_separation_alone():
    one, other = snapshots(), [replace(snapshot, clean=3 * snapshot.clean) for snapshot in snapshots()]
    both = [
        replace(a, **{axis: torch.cat([getattr(a, axis), getattr(b, axis)]) for axis in ("state", "clean", "residual")})
        for a, b in zip(one, other, strict=True)
    ]
    for mine, theirs in zip(panels.one_of_batch(both, 1), other, strict=True):
        torch.testing.assert_close(mine.clean, theirs.clean)
        assert (mine.step, mine.guidance, len(mine.residual)) == (theirs.step, None, 1)


def dial(live=None):
    return panels.GuidanceDial({"× 0": snapshots(), "× 1": snapshots()}, ["low", "high"], live)


def test_the_guidance_dial_shows_the_run_it_stands_at():
    shown = dial()
    assert "guidance × 1: low" in shown.dial.image.value
    shown.dial.slider.value = 0
    assert "guidance × 0: high" in shown.dial.image.value and "alt=" in shown.dial.image.value
    assert shown._repr_mimebundle_()["text/html"].count("<audio") == 2


def test_a_live_run_gets_the_factor_redraws_and_ends_with_its_players():
    pictures = []

    def live(factor, on_step):
        assert shown.button.disabled and factor == pytest.approx(2.0)
        for snapshot in snapshots(10):
            on_step(snapshot)
            pictures.append(shown.image.value)

    shown = dial(live)
    shown.factor.value = 2.0
    shown.button.click()
    assert len(set(pictures[1:])) == 5 and "<audio" not in pictures[-1]
    assert shown.image.value.count("<audio") == 2 and "guidance × 2, live: low" in shown.image.value
    assert not shown.button.disabled and list(shown.runs) == ["× 0", "× 1"]


def test_a_live_run_that_fails_says_so_and_can_be_repeated():
    def live(factor, on_step):
        raise ValueError("no <such> level")

    shown = dial(live)
    shown.run_live(1.0)
    assert shown.image.value == "<p>no &lt;such&gt; level</p>" and not shown.button.disabled


def test_a_moment_shows_each_source_in_its_column_and_marks_the_step():
    figure = moment(snapshots(), ["low", "high"], 1)
    spectra = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes if axes.images}
    for title, kilohertz in (("low: estimate", 0.5), ("high: estimate", 2.0)):
        levels = spectra[title].mean(axis=1)
        assert levels.argmax() / (len(levels) - 1) * 8 == pytest.approx(kilohertz, abs=0.1)
    (curve,) = (axes for axes in figure.axes if axes.get_title().startswith("step 2"))
    norms = {line.get_label(): line.get_ydata() for line in curve.lines}
    assert [after / before for before, after in pairwise(norms["residual"])] == pytest.approx([0.5] * 4)
    assert norms["low"] == pytest.approx([tone(500).norm().item()] * 5)


def test_a_moment_of_a_guided_run_shows_the_gradients_norms():
    guided = [replace(s, guidance=torch.tensor([[1.0 / s.step, 2.0]])) for s in snapshots()]
    (curve,) = (axes for axes in moment(guided, ["low", "high"], 1).axes if axes.get_title().startswith("step 2"))
    norms = {line.get_label(): list(line.get_ydata()) for line in curve.lines}
    assert norms["low, gradient"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert norms["high, gradient"] == [2.0] * 5


def test_compared_runs_show_the_chosen_ones_estimates_and_every_ones_residual():
    quiet = [replace(snapshot, residual=0.1 * snapshot.residual) for snapshot in snapshots()]
    figure = compared_runs({"× 0": snapshots(), "× 1": quiet}, ["low", "high"], "× 1")
    first, second, residual, curve = figure.axes
    for axes, kilohertz in ((first, 0.5), (second, 2.0)):
        levels = axes.images[0].get_array().mean(axis=1)
        assert levels.argmax() / (len(levels) - 1) * 8 == pytest.approx(kilohertz, abs=0.1)
    assert residual.images
    high, low = (line.get_ydata() for line in curve.lines)
    assert (low / high).tolist() == pytest.approx([0.1] * 5)


def test_step_lengths_run_from_the_noisiest_step_to_zero():
    (axes,) = step_lengths({"rule": [3.0, 2.0, 1.0]}).axes
    assert axes.lines[0].get_xdata().tolist() == [2, 1, 0]
    assert axes.xaxis_inverted()
