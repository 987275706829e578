"""A picture that a running solver redraws, and one that a slider changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import ipywidgets
from IPython.display import HTML, display
from matplotlib.figure import Figure
from traitlets import Bunch

from unsep_lib.figures import described
from unsep_lib.figures.seen import Seen

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
    """A slider over pictures, one a label.

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
