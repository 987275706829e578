"""What figures ask of the numbers that they draw."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar, NotRequired, Protocol, TypedDict

import torch


class Seen(Protocol):
    """A step of a separation, as a solver's `Snapshot` tells it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def step(self) -> int:
        """Its number, from 1."""

    @property
    def steps(self) -> int:
        """How many there are."""

    @property
    def sigma(self) -> float:
        """The noise level of the estimate."""

    @property
    def state(self) -> torch.Tensor:
        """The sources at the next level [batch, source, time]."""

    @property
    def clean(self) -> torch.Tensor:
        """The estimated sources [batch, source, time]."""

    @property
    def residual(self) -> torch.Tensor:
        """What they leave of the mixture [batch, time]."""

    @property
    def guidance(self) -> torch.Tensor | None:
        """Norm of each source's gradient [batch, source], None without one."""


class Deviating(Protocol):
    """How far a solver's samples are from a posterior, as `ground_truth.Deviation` tells it."""

    @property
    def solver(self) -> str:
        """The solver's name."""

    @property
    def steps(self) -> int:
        """Its number of steps."""

    @property
    def bias(self) -> float:
        """Of the samples' mean."""

    @property
    def bias_floor(self) -> float:
        """What exact samples would show."""

    @property
    def spread(self) -> float:
        """The samples' standard deviation relative to the posterior's."""


class Trained(TypedDict):
    """A point of a training curve: bands are the validation loss by noise level, where it was measured."""

    seconds: float
    loss: float
    bands: NotRequired[list[float]]
