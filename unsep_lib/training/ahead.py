"""Batches drawn ahead of time, by processes of their own: what a GPU needs to stay busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")
AHEAD = 4  # batches that each worker holds ready


class Steps(Dataset[T | ValueError], Generic[T]):
    """What `draw` gives for each step; a ValueError is handed on as a value, so that only its sentence arrives."""

    def __init__(self, draw: Callable[[int], T]):
        self.draw = draw

    def __getitem__(self, step: int) -> T | ValueError:
        try:
            return self.draw(step)
        except ValueError as error:
            return error


def drawn_ahead(draw: Callable[[int], T], first: int, workers: int) -> Iterator[T]:
    """`draw(first)`, `draw(first + 1)`, …, in order and without end, drawn by `workers` processes ahead of time.

    What is drawn must depend on the step alone; `draw` must be picklable. workers 0: drawn when asked for.

    Raises:
        ValueError: fewer workers than 0, and whatever ValueError `draw` raises.
    """
    if workers < 0:
        raise ValueError(f"expected a number of workers from 0 up, got {workers}")
    loader: DataLoader[T | ValueError] = DataLoader(
        Steps(draw),
        batch_size=None,
        sampler=count(first),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    for drawn in loader:
        if isinstance(drawn, ValueError):
            raise drawn
        yield drawn
