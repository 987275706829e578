"""Several processes that train one prior: `accelerate launch`, or torchrun, starts them and says who is who."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

LAUNCHED = {"rank": "RANK", "count": "WORLD_SIZE", "local_rank": "LOCAL_RANK"}  # the variables that torchrun sets
PRECISIONS = {"no": False, "bf16": True}  # of `accelerate launch --mixed_precision`; fp16 would need loss scaling


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

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.count > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)
                tensor /= self.count


def launched() -> Processes:
    """The processes that a launcher started together (RANK, WORLD_SIZE, LOCAL_RANK); one if there is no launcher."""
    return Processes(**{field: int(os.environ[name]) for field, name in LAUNCHED.items() if name in os.environ})


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The launched processes, able to average over one another."""
    processes = launched()
    if processes.count == 1:
        yield processes
        return
    own = processes.device(device)
    distributed.init_process_group(
        "gloo" if own.type == "cpu" else "nccl", device_id=None if own.type == "cpu" else own
    )
    try:
        yield processes
    finally:
        distributed.destroy_process_group()


def launched_in_bfloat16() -> bool:
    """Whether the launcher was asked for bfloat16 (`accelerate launch --mixed_precision bf16`).

    Raises:
        ValueError: another precision than bf16 or none was asked for.
    """
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in PRECISIONS:
        raise ValueError(f"expected --mixed_precision no or bf16, got {asked}")
    return PRECISIONS[asked]
