"""A mixing console, and settings of a solver that were run before beside one that runs while you watch."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import ipywidgets
import torch
from IPython.display import HTML
from traitlets import Bunch

from unsep_lib.audio import rms_dbfs, scale_to_dbfs
from unsep_lib.figures import compared_runs, described, spectrograms
from unsep_lib.figures.players import players
from unsep_lib.figures.spectrograms import Seen
from unsep_lib.notebook.widgets import Shown, Slider

LOWEST_LEVEL, HIGHEST_LEVEL, LEVEL_STEP = -60.0, -10.0, 1.0  # dBFS: from barely heard to close to clipping


def mix(tracks: Mapping[str, torch.Tensor], levels: Mapping[str, float]) -> torch.Tensor:
    """The sum of `tracks` [time], each scaled to an RMS of its level in dBFS; nothing is clipped or normalised.

    Raises:
        ValueError: no tracks, tracks of different lengths, levels for other names, or a silent track.
    """
    if not tracks or tracks.keys() != levels.keys():
        raise ValueError(f"expected a level for each of {', '.join(tracks) or 'no track'}, got {', '.join(levels)}")
    if len(lengths := {len(track) for track in tracks.values()}) > 1:
        raise ValueError(f"expected tracks of one length, got {sorted(lengths)} samples")
    return torch.stack([scale_to_dbfs(track, levels[name]) for name, track in tracks.items()]).sum(dim=0)


def described_mixture(tracks: Mapping[str, torch.Tensor], levels: Mapping[str, float]) -> HTML:
    """The mixture at these levels: a sentence, its spectrogram, and a player."""
    mixture = mix(tracks, levels)
    peak = mixture.abs().max().item()
    words = ", ".join(f"{name} at {level:.0f} dBFS" for name, level in levels.items())
    clipped = ": above full scale, the player clips it" if peak > 1 else ""
    line = f"{words}: the mixture has {rms_dbfs(mixture):.1f} dBFS and peaks at {peak:.2f}{clipped}"
    picture = described(spectrograms({"mixture": mixture}), f"Spectrogram of the mixture of {words}.")
    return HTML(f"<p>{line}</p>{picture.data}{players({f'mixture: {words}': mixture}).data}")


class MixingDesk(Shown):
    """A slider per track for its level in dBFS, and the mixture they make, as a picture and a player.

    tracks: name → samples [time] at 16 kHz, of one length; levels: where the sliders begin.

    Raises:
        ValueError: what `mix` refuses.
    """

    def __init__(self, tracks: Mapping[str, torch.Tensor], levels: Mapping[str, float]):
        self.tracks = tracks
        self.still = described_mixture(tracks, levels)
        self.sliders = {
            name: ipywidgets.FloatSlider(
                value=level,
                min=LOWEST_LEVEL,
                max=HIGHEST_LEVEL,
                step=LEVEL_STEP,
                description=name,
                continuous_update=False,
            )
            for name, level in levels.items()
        }
        self.image = ipywidgets.HTML(self.still.data)
        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        self.box = ipywidgets.VBox([*self.sliders.values(), self.image])

    @property
    def levels(self) -> dict[str, float]:
        """The levels that the sliders stand at, dBFS."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def _moved(self, change: Bunch) -> None:
        self.image.value = described_mixture(self.tracks, self.levels).data


LOWEST_POWER, HIGHEST_POWER = -2, 1  # powers of ten of the factor that the live run can be given
REDRAWS = 5  # pictures in the course of a live run

Live = Callable[[float, Callable[[Seen], None]], object]
Step = TypeVar("Step", bound=Seen)


def one_of_batch(snapshots: Sequence[Step], index: int) -> list[Step]:
    """The snapshots of a batch's separation number `index`, as if it had been separated alone."""
    axes = ("state", "clean", "residual", "guidance")
    return [
        replace(snapshot, **{name: tensor[index : index + 1] for name in axes
                             if (tensor := getattr(snapshot, name)) is not None})
        for snapshot in snapshots
    ]  # fmt: skip


class GuidanceDial(Shown):
    """A slider over finished runs, and a factor and a button that run another one.

    runs: label → snapshots of a separation; names: one per source; live(factor, on_step): separates with guidance times
    `factor` and calls on_step after each step.

    Raises:
        ValueError: no runs.
    """

    def __init__(self, runs: Mapping[str, Sequence[Seen]], names: Sequence[str], live: Live):
        self.runs, self.names, self.live = dict(runs), names, live
        labels = list(self.runs)
        self.still = self.picture(labels[-1]) if labels else HTML("")
        self.dial = Slider(lambda index: self.picture(labels[index]), labels, self.still, "guidance")
        self.factor = ipywidgets.FloatLogSlider(
            value=1, min=LOWEST_POWER, max=HIGHEST_POWER, step=0.1, description="factor"
        )
        self.button = ipywidgets.Button(description="Run it")
        self.image = ipywidgets.HTML()
        self.button.on_click(lambda button: self.run_live(self.factor.value))
        self.box = ipywidgets.VBox([self.dial.box, ipywidgets.HBox([self.factor, self.button]), self.image])

    def picture(self, label: str) -> HTML:
        """A finished run beside the others, and its sources to hear."""
        return HTML(self._drawn(self.runs, label).data + self._heard(self.runs[label], label).data)

    def run_live(self, factor: float) -> None:
        """Separate with `factor`, redrawing every few steps beside the finished runs; then hear its sources."""
        label = f"× {factor:.2g}, live"
        seen: list[Seen] = []

        def on_step(snapshot: Seen) -> None:
            seen.append(snapshot)
            if snapshot.step % max(1, snapshot.steps // REDRAWS) == 0 or snapshot.step == snapshot.steps:
                self.image.value = self._drawn(self.runs | {label: seen}, label).data

        self.button.disabled = True
        try:
            self.live(factor, on_step)
            self.image.value += self._heard(seen, label).data
        except ValueError as error:
            self.image.value = f"<p>{html.escape(str(error))}</p>"
        finally:
            self.button.disabled = False

    def _drawn(self, runs: Mapping[str, Sequence[Seen]], label: str) -> HTML:
        alt = f"Estimated sources and what they leave unexplained with guidance {label}, beside the other settings."
        return described(compared_runs(runs, self.names, label), alt)

    def _heard(self, snapshots: Sequence[Seen], label: str) -> HTML:
        sources = zip(self.names, snapshots[-1].clean[0], strict=True)
        return players({f"guidance {label}: {name}": source for name, source in sources})
