"""Where rows are computed: processes here, or a dask cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from unsep_lib.parallel import end_with_parent

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0  # to wait for a scheduler's answer


def process_executor(workers: int, threads: int = 0) -> ProcessPoolExecutor:
    """An executor of `workers` processes with `threads` torch threads each; 0: this process's threads divided.

    The processes end when this one does, however it ends.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}")
    share = threads or max(1, torch.get_num_threads() // workers)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(share,))


def _start_worker(threads: int) -> None:
    end_with_parent()
    torch.set_num_threads(threads)


@contextmanager
def dask_client(address: str) -> Iterator[Client]:
    """A client of the dask scheduler at `address`, such as tcp://127.0.0.1:8786; its workers need this package.

    Raises:
        ValueError: no scheduler answers there.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"no dask scheduler answers at {address!r} ({error})") from error
    with client:
        yield client
