"""A picture that a running solver redraws, one that a slider changes, and sliders over steps and noise levels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import ipywidgets
import torch
from IPython.display import HTML, display
from traitlets import Bunch

from unsep_lib.figures import described, emerging, moment, spectrograms
from unsep_lib.figures.players import players
from unsep_lib.figures.spectrograms import Seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class LivePicture:
    """An `on_step` callback that keeps every snapshot and redraws a figure of them every few steps.

    draw(snapshots) → Figure; alt: its text alternative. Shows itself at the first step.
    """

    def __init__(self, draw: Callable[[Sequence[Seen]], Figure], alt: str, every: int = 10):
        if every < 1:
            raise ValueError(f"expected to redraw every 1 or more steps, got {every}")
        self.draw, self.alt, self.every = draw, alt, every
        self.snapshots: list[Seen] = []
        self._handle = None

    def __call__(self, snapshot: Seen) -> None:
        self.snapshots.append(snapshot)
        if snapshot.step % self.every and snapshot.step not in (1, snapshot.steps):
            return
        picture = described(self.draw(self.snapshots), self.alt)
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)


class Shown:
    """A widget `box` where a kernel answers, and the HTML `still` in every other viewer."""

    box: ipywidgets.Widget
    still: HTML

    def _repr_mimebundle_(self, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, object]:
        plain = f"{type(self).__name__}: needs a kernel to move"
        moving: dict[str, object] = self.box._repr_mimebundle_()
        return moving | {"text/html": self.still.data, "text/plain": plain}


class Slider(Shown):
    """A slider over pictures, one per label.

    picture(index) → HTML for index 0 … len(labels) − 1; it begins at the last one.

    Raises:
        ValueError: nothing to show.
    """

    def __init__(self, picture: Callable[[int], HTML], labels: Sequence[str], still: HTML, description: str):
        if not labels:
            raise ValueError("expected at least 1 picture, got 0")
        self.picture, self.still = picture, still
        last = len(labels) - 1
        options = [(label, index) for index, label in enumerate(labels)]
        self.slider = ipywidgets.SelectionSlider(
            options=options, value=last, description=description, continuous_update=False
        )
        self.image = ipywidgets.HTML(picture(last).data)
        self.slider.observe(self._moved, names="value")
        self.box = ipywidgets.VBox([self.slider, self.image])

    def _moved(self, change: Bunch) -> None:
        self.image.value = self.picture(change["new"]).data


Denoise = Callable[[torch.Tensor, float], torch.Tensor]


def scrubber(snapshots: Sequence[Seen], names: Sequence[str]) -> Slider:
    """A slider over the steps of one separation: states, estimates, residual and norms of the step it stands at.

    names: one per source, in the order of the snapshots' source axis.
    """

    def picture(index: int) -> HTML:
        alt = f"States, estimates, residual and norms at step {snapshots[index].step} of {snapshots[index].steps}."
        return described(moment(snapshots, names, index), alt)

    still = described(
        emerging(snapshots, names), "States and estimates at five noise levels: from noise, the sources emerge."
    )
    labels = [f"{snapshot.step}, σ = {snapshot.sigma:.3f}" for snapshot in snapshots]
    return Slider(picture, labels, still, "step")


def noised(clean: torch.Tensor, noise: torch.Tensor, sigma: float, denoise: Denoise) -> dict[str, torch.Tensor]:
    """A clip at one noise level: `clean + σ noise`, what `denoise([1, time], σ)` makes of it, and the clip, all [time].

    Raises:
        ValueError: clip and noise of different shapes.
    """
    if clean.shape != noise.shape:
        raise ValueError(f"expected noise of the clip's shape {tuple(clean.shape)}, got {tuple(noise.shape)}")
    noisy = clean + sigma * noise
    return {"noised": noisy, "denoised": denoise(noisy[None], sigma)[0], "clean": clean}


def noise_slider(clean: torch.Tensor, noise: torch.Tensor, sigmas: Sequence[float], denoise: Denoise) -> Slider:
    """A slider over noise levels on a clip [time] at 16 kHz: noised, denoised and clean, to see and to hear.

    A level is denoised when the slider first stands at it.
    """

    @functools.cache
    def picture(index: int) -> HTML:
        sigma = sigmas[index]
        tracks = noised(clean, noise, sigma, denoise)
        error = 10 * torch.log10((tracks["denoised"] - clean).square().mean() / clean.square().mean()).item()
        alt = f"Spectrograms of the clip noised at σ = {sigma:.3g}, denoised, and clean."
        heard = players({f"{name}, σ = {sigma:.3g}": track for name, track in tracks.items()})
        line = f"<p>σ = {sigma:.3g}: error of the denoised clip {error:.1f} dB</p>"
        return HTML(line + described(spectrograms(tracks, columns=3), alt).data + heard.data)

    return Slider(picture, [f"{sigma:.3g}" for sigma in sigmas], picture(len(sigmas) // 2), "σ")
