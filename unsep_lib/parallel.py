"""The same work in several processes."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None, chunk: int = 16
) -> Iterator[Result]:
    """`function` of each item, in the items' order.

    workers: processes (default: one a core); chunk: items that one takes at a time. One process, or no more than one
    chunk of items, is worked here.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}")
    count = min(workers or os.cpu_count() or 1, math.ceil(len(items) / chunk))
    return map(function, items) if count <= 1 else _pooled(function, items, count, chunk)


def _pooled(function: Callable[[Item], Result], items: Sequence[Item], workers: int, chunk: int) -> Iterator[Result]:
    # A forked child of a process whose OpenMP threads have run waits for them for ever, so children are spawned.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def _start_worker() -> None:
    import torch

    end_with_parent()
    torch.set_num_threads(1)


def end_with_parent() -> None:
    """Let this worker end when the process that started it ends, however that ends."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
