"""Several processes that train one prior, by accelerate: `accelerate launch -m unsep_lib train …` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

LAUNCHED = {"rank": "RANK", "count": "WORLD_SIZE", "local_rank": "LOCAL_RANK"}  # the variables that launchers set
PRECISIONS = {"no": False, "bf16": True}  # of `accelerate launch --mixed_precision`


@dataclass(frozen=True)
class Processes:
    """This process's rank among `count`, and its rank on its own machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device called `name`; of several GPUs, this process's own."""
        return torch.device("cuda", self.local_rank) if name == "cuda" and self.count > 1 else torch.device(name)

    def places(self, batch: int) -> range:
        """Which examples of all processes' `batch` · `count` are this one's."""
        return range(self.rank * batch, (self.rank + 1) * batch)


def launched() -> Processes:
    """The processes that a launcher started together (RANK, WORLD_SIZE, LOCAL_RANK); one if there is no launcher."""
    return Processes(**{field: int(os.environ[name]) for field, name in LAUNCHED.items() if name in os.environ})


def launched_in_bfloat16() -> bool:
    """Whether the launcher was asked for bfloat16 (`accelerate launch --mixed_precision bf16`).

    Raises:
        ValueError: another precision than bf16 or none was asked for.
    """
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in PRECISIONS:
        raise ValueError(f"expected --mixed_precision no or bf16, got {asked}")
    return PRECISIONS[asked]


@contextmanager
def accelerated(device: str, bfloat16: bool) -> Iterator[Accelerator]:
    """An `Accelerator` for one run; its process group and its state, which accelerate keeps globally, end with it.

    Raises:
        ValueError: accelerate cannot be imported, or a launcher asked for a precision other than bf16 or none.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise ValueError(f"training needs the package accelerate ({error}): pip install accelerate") from error
    precision = "bf16" if launched_in_bfloat16() or bfloat16 else "no"
    # The caller puts the prior on the device that was asked for, which may be the second of several GPUs.
    accelerator = Accelerator(cpu=torch.device(device).type == "cpu", mixed_precision=precision, device_placement=False)
    try:
        yield accelerator
    finally:
        accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)
