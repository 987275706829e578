"""Sliders over the steps of a separation, and over the noise level on a clip."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from IPython.display import HTML

from unsep_lib.figures import described, emerging, moment, spectrograms
from unsep_lib.figures.seen import Seen
from unsep_lib.players import players
from unsep_lib.widgets.moving import Slider

Denoise = Callable[[torch.Tensor, float], torch.Tensor]


def scrubber(snapshots: Sequence[Seen], names: Sequence[str]) -> Slider:
    """A slider over the steps of one separation: states, estimates, residual and norms of the step it stands at.

    names: one a source, in the order of the snapshots' source axis.
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
