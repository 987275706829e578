import io
import re

import numpy
import pytest
import soundfile
import torch
from PIL import Image

from unsep_lib.evaluation.gaussian import Deviation, gaussian_example, posterior
from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.figures import (
    best_guesses,
    cost,
    described,
    deviations_figure,
    distortion,
    emerging,
    landscape,
    lines,
    matrix,
    posterior_figure,
    scores,
    spans_figure,
    spectrograms,
    towards_the_sum,
    trajectory,
)
from unsep_lib.figures.glossary import best_guess, causes, density, score
from unsep_lib.figures.players import mp3, player_table, players
from unsep_lib.solvers import Snapshot

RATE = 16_000


def tone(frequency, seconds=1.0):
    return 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)


def snapshots(guided):
    made = []
    for step in range(1, 7):
        sources = torch.stack([tone(500), tone(2000)])[None] * step / 6
        guidance = torch.full((1, 2), 1.0 / step) if guided else None
        made.append(Snapshot(step, 6, 1.0 / step, sources, sources, 0.1 / step * torch.ones(1, RATE), guidance))
    return made


def test_a_spectrogram_is_brightest_where_the_tone_is():
    figure = spectrograms({"low": tone(1000), "high": tone(6000), "silence": torch.zeros(RATE)}, columns=2)
    shown = [axes for axes in figure.axes if axes.images]
    for axes, expected in zip(shown, (1.0, 6.0), strict=False):
        picture = axes.images[0].get_array()
        assert picture.mean(axis=1).argmax() / (len(picture) - 1) * 8 == pytest.approx(expected, abs=0.1)
    assert len({axes.images[0].get_clim() for axes in shown}) == 1
    assert [axes.axison for axes in figure.axes[:4]] == [True, True, True, False]


def test_clips_shorter_than_a_window_have_a_spectrogram():
    assert spectrograms({"one sample": torch.ones(1)}).axes[0].images


def test_a_described_figure_is_an_image_with_escaped_text():
    html = described(spans_figure(tone(300), [(0.1, 0.4)]), 'voice "and" <noise>').data
    assert 'alt="voice &quot;and&quot; &lt;noise&gt;"' in html
    import base64

    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    assert Image.open(io.BytesIO(data)).format == "WEBP"


def test_emerging_shows_state_and_estimate_of_every_source():
    figure = emerging(snapshots(False), ["speech", "sound:Cello"], columns=3)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 4 * 3
    assert titles[0] == "speech\nstate, σ = 1.000" and titles[-1] == "sound:Cello\nestimate, σ = 0.167"


@pytest.mark.parametrize(("guided", "panels"), [(False, 2), (True, 3)])
def test_a_trajectory_shows_the_residuals_level(guided, panels):
    figure = trajectory(snapshots(guided))
    assert len(figure.axes) == panels
    levels = figure.axes[0].lines[0].get_ydata()
    numpy.testing.assert_allclose(levels, [20 * numpy.log10(0.1 / step) for step in range(1, 7)], atol=1e-3)


def test_scores_cost_and_matrix_show_their_numbers():
    figure = scores({"a": {"x": (1.0, 0.5, 1.5)}, "b": {"x": (2.0, 1.0, 3.0), "y": (-1.0, -2.0, 0.0)}}, "dB")
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [-1.0, 1.0, 2.0]
    figure = cost({"x": (3.0, 5.0, 4.0, 6.0)}, "dB")
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[3.0, 5.0]]
    figure = matrix(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), ["a", "b"], ["a", "b"], "dB")
    assert figure.axes[0].images[0].get_array().tolist() == [[0.0, 2.0], [1.0, 0.0]]


def test_truth_figures_show_priors_posteriors_and_every_solver():
    example = gaussian_example(length=64)
    figure = posterior_figure(
        [prior.power for prior in example.priors], posterior(example.priors, example.mixture).covariance
    )
    prior, left = (line.get_ydata() for line in figure.axes[0].lines[:2])
    assert (left <= prior).all()
    rows = [Deviation("a", 10, 0.5, 0.1, 0.7), Deviation("a", 40, 0.2, 0.1, 0.9), Deviation("b", 10, 0.4, 0.1, 2.0)]
    figure = deviations_figure(rows)
    assert figure.axes[0].get_legend_handles_labels()[1] == ["a", "b"]
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.9, 0.2]]
    figure = lines({"x": [1.0, 0.1]}, "t", "step")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1.0, 0.1]


def test_the_landscapes_arrows_are_the_slope_of_its_log_density():
    points, step = numpy.array([[0.1, 0.2], [-1.5, 0.3], [1.9, -1.9]]), 1e-5
    for axis in range(2):
        moved = numpy.zeros(2)
        moved[axis] = step
        slope = (numpy.log(density(points + moved)) - numpy.log(density(points - moved))) / (2 * step)
        numpy.testing.assert_allclose(score(points)[:, axis], slope, rtol=1e-6)
    assert len(landscape(arrows=False).axes[0].collections) == 0
    (arrows,) = landscape(arrows=True).axes[0].collections
    grid = numpy.stack([arrows.X, arrows.Y], axis=-1)
    numpy.testing.assert_allclose(numpy.stack([arrows.U, arrows.V], axis=-1), score(grid))


@pytest.mark.parametrize(("share", "steps", "left"), [(1.0, 1, 0.0), (0.5, 3, 1 / 8)])
def test_steps_towards_the_sum_leave_what_they_should_and_keep_the_difference(share, steps, left):
    (axes,) = towards_the_sum((0.2, -0.6), 1.0, share, steps).axes
    points = axes.lines[1].get_xydata()
    assert len(points) == steps + 1 and len(axes.texts) == steps
    assert 1.0 - points[-1].sum() == pytest.approx(left * (1.0 - points[0].sum()))
    numpy.testing.assert_allclose(points[:, 0] - points[:, 1], 0.8)


def test_the_distortion_is_at_a_right_angle_to_the_reference():
    reference, estimate = (1.5, 0.5), (0.6, 0.5)
    (axes,) = distortion(reference, estimate).axes
    ends = {line.get_label(): line.get_xydata() for line in axes.lines}
    error = ends["error"][1] - ends["error"][0]
    assert error @ numpy.array(reference) == pytest.approx(0, abs=1e-12)
    without_mean = [torch.tensor([*pair, *(-x for x in pair)]) for pair in (estimate, reference)]
    expected = si_sdr(*without_mean).item()
    assert f"{expected:.1f} dB" in axes.get_title()


@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_players_keep_level_and_length(rate):
    samples = 0.25 * torch.sin(2 * torch.pi * 440 * torch.arange(2 * rate) / rate)
    decoded, decoded_rate = soundfile.read(io.BytesIO(mp3(samples, rate)))
    assert len(decoded) / decoded_rate == pytest.approx(2.0, abs=0.1)
    assert numpy.abs(decoded[decoded_rate // 2 : decoded_rate]).max() == pytest.approx(0.25, abs=0.02)


def test_every_player_has_its_caption():
    html = players({"the mixture": tone(440), "a <b>": tone(220)}).data
    assert html.count("<audio") == 2
    assert 'aria-label="the mixture"' in html and "a &lt;b&gt;" in html


def test_a_table_has_a_player_per_method_and_source_and_its_rows_can_be_hidden():
    tracks = {"mixture": {"mixture": tone(440)}, "a <b>": {"voice": tone(220), "drum": tone(110)}}
    html = player_table(tracks, known=["mixture"]).data
    assert [
        re.search(f'aria-label="{name}"', html) is not None
        for name in ("mixture: mixture", "a &lt;b&gt;: voice", "a &lt;b&gt;: drum", "mixture: voice")
    ] == [True, True, True, False]
    assert html.count("<audio") == 3 and html.count("<td></td>") == 3
    assert re.findall(r'data-known="(\d)"', html) == ["1", "0"]
    with pytest.raises(ValueError, match="at least 1 track"):
        player_table({})
    with pytest.raises(ValueError, match="among mixture, a <b>, got other"):
        player_table(tracks, known=["other"])


@pytest.mark.parametrize("sigma", [0.2, 0.6, 1.8])
def test_the_best_guess_is_the_mean_of_the_causes_and_points_along_the_score_of_the_noisy_density(sigma):
    noisy = numpy.array([0.4, 0.9])
    cloud = causes(noisy, sigma, 200_000)
    numpy.testing.assert_allclose(cloud.mean(axis=0), best_guess(noisy, sigma), atol=0.01)

    def noisy_density(point):  # p(x) convolved with the noise, by a sum over a fine grid
        axis = numpy.linspace(-5, 5, 401)
        grid = numpy.stack(numpy.meshgrid(axis, axis), axis=-1)
        return (density(grid) * numpy.exp(-((grid - point) ** 2).sum(axis=-1) / (2 * sigma**2))).sum()

    steps = 1e-4 * numpy.eye(2)
    slope = [(numpy.log(noisy_density(noisy + s)) - numpy.log(noisy_density(noisy - s))) / 2e-4 for s in steps]
    numpy.testing.assert_allclose((best_guess(noisy, sigma) - noisy) / sigma**2, slope, rtol=1e-3)


def test_best_guesses_show_the_noisy_point_and_the_mean_at_every_level():
    figure = best_guesses((0.4, 0.9), [0.2, 1.8])
    assert [axes.get_title() for axes in figure.axes] == ["σ = 0.2", "σ = 1.8"]
    for axes, sigma in zip(figure.axes, (0.2, 1.8), strict=True):
        ends = {line.get_label(): line.get_xydata() for line in axes.lines}
        assert len(ends["possible causes"]) == 150 and ends["noisy point"].tolist() == [[0.4, 0.9]]
        numpy.testing.assert_allclose(ends["their mean"][0], best_guess((0.4, 0.9), sigma))
