"""Pictures that move: redrawn while a solver runs, or under a slider.

Everything drawn here comes from plain functions of `unsep_lib.figures`; without a kernel a still picture stands in
the widget's place.
"""

from unsep_lib.widgets.desk import MixingDesk, mix
from unsep_lib.widgets.dial import GuidanceDial, one_of_batch
from unsep_lib.widgets.moving import WIDGET_VIEW, LivePicture, Slider
from unsep_lib.widgets.sliders import noise_slider, noised, scrubber

__all__ = [
    "WIDGET_VIEW",
    "GuidanceDial",
    "LivePicture",
    "MixingDesk",
    "Slider",
    "mix",
    "noise_slider",
    "noised",
    "one_of_batch",
    "scrubber",
]
