"""The supervised control: a network that is trained on mixtures, for comparison with priors that never see one."""

from unsep_lib.supervised.config import ControlConfig, ControlSize
from unsep_lib.supervised.network import SHIPPED, SLOTS, Control, find_control, load_control
from unsep_lib.supervised.run import train_control

__all__ = [
    "SHIPPED",
    "SLOTS",
    "Control",
    "ControlConfig",
    "ControlSize",
    "find_control",
    "load_control",
    "train_control",
]
