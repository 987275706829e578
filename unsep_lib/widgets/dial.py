"""A guidance dial: settings that were run before, beside one that runs while you watch."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import ipywidgets
from IPython.display import HTML

from unsep_lib.figures import compared_runs, described
from unsep_lib.figures.seen import Seen
from unsep_lib.players import players
from unsep_lib.widgets.moving import Shown, Slider

LOWEST, HIGHEST = -2, 1  # powers of ten of the factor that the live run can be given
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

    runs: label → snapshots of a separation; names: one a source; live(factor, on_step): separates with guidance times
    `factor` and calls on_step after each step.

    Raises:
        ValueError: no runs.
    """

    def __init__(self, runs: Mapping[str, Sequence[Seen]], names: Sequence[str], live: Live):
        self.runs, self.names, self.live = dict(runs), names, live
        labels = list(self.runs)
        self.still = self.picture(labels[-1]) if labels else HTML("")
        self.dial = Slider(lambda index: self.picture(labels[index]), labels, self.still, "guidance")
        self.factor = ipywidgets.FloatLogSlider(value=1, min=LOWEST, max=HIGHEST, step=0.1, description="factor")
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
