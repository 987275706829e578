"""A mixing desk: a level for each source, and the mixture they make."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets
import torch
from IPython.display import HTML
from traitlets import Bunch

from unsep_lib.audio import rms_dbfs, scale_to_dbfs
from unsep_lib.figures import described, spectrograms
from unsep_lib.players import players
from unsep_lib.widgets.moving import Shown

LOWEST, HIGHEST, STEP = -60.0, -10.0, 1.0  # dBFS, the range of a level: from barely heard to close to clipping


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
    """A slider a track for its level in dBFS, and the mixture they make, to see and to hear.

    tracks: name → samples [time] at 16 kHz, of one length; levels: where the sliders begin.

    Raises:
        ValueError: what `mix` refuses.
    """

    def __init__(self, tracks: Mapping[str, torch.Tensor], levels: Mapping[str, float]):
        self.tracks = tracks
        self.still = described_mixture(tracks, levels)
        self.sliders = {
            name: ipywidgets.FloatSlider(
                value=level, min=LOWEST, max=HIGHEST, step=STEP, description=name, continuous_update=False
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
