"""Pictures that move: redrawn while a solver runs, or under a slider.

Everything drawn here comes from plain functions of `unsep_lib.figures`; without a kernel a still picture stands in
the widget's place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import ipywidgets
from IPython.display import HTML, display
from matplotlib.figure import Figure

from unsep_lib.figures import described, emerging, moment

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class LivePicture:
    """An `on_step` callback that keeps every snapshot and redraws a figure of them every few steps.

    draw(snapshots) → Figure; alt: its text alternative. Shows itself at the first step.
    """

    def __init__(self, draw: Callable[[Sequence], Figure], alt: str, every: int = 10):
        if every < 1:
            raise ValueError(f"expected to redraw every 1 or more steps, got {every}")
        self.draw, self.alt, self.every = draw, alt, every
        self.snapshots: list = []
        self._handle = None

    def __call__(self, snapshot) -> None:
        self.snapshots.append(snapshot)
        if snapshot.step % self.every and snapshot.step not in (1, snapshot.steps):
            return
        picture = described(self.draw(self.snapshots), self.alt)
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)


class Slider:
    """An integer slider over pictures, and a still picture where no kernel answers.

    picture(index) → HTML for index 0 … count − 1.

    Raises:
        ValueError: nothing to show.
    """

    def __init__(self, picture: Callable[[int], HTML], count: int, still: HTML, description: str):
        if count < 1:
            raise ValueError(f"expected at least 1 picture, got {count}")
        self.picture, self.still = picture, still
        self.slider = ipywidgets.IntSlider(
            value=count - 1, min=0, max=count - 1, description=description, continuous_update=False
        )
        self.image = ipywidgets.HTML(picture(count - 1).data)
        self.slider.observe(self._moved, names="value")
        self.box = ipywidgets.VBox([self.slider, self.image])

    def _moved(self, change) -> None:
        self.image.value = self.picture(change["new"]).data

    def _repr_mimebundle_(self, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, object]:
        return self.box._repr_mimebundle_() | {"text/html": self.still.data, "text/plain": "a slider over pictures"}


def scrubber(snapshots: Sequence, names: Sequence[str]) -> Slider:
    """A slider over the steps of one separation: states, estimates and residual of the step it stands at.

    names: one a source, in the order of the snapshots' source axis.
    """

    def picture(index: int) -> HTML:
        alt = f"States, estimates and residual at step {snapshots[index].step} of {snapshots[index].steps}."
        return described(moment(snapshots, names, index), alt)

    still = described(
        emerging(snapshots, names), "States and estimates at five noise levels: from noise, the sources emerge."
    )
    return Slider(picture, len(snapshots), still, "step")
