"""The same work in several processes."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None, chunk: int = 16
) -> Iterator[Result]:
    """`function` of each item, in the items' order.

    workers: processes (default: one per core); chunk: items per task. A single worker, or a single chunk of items, is
    computed in this process.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}")
    count = min(workers or os.cpu_count() or 1, math.ceil(len(items) / chunk))
    return map(function, items) if count <= 1 else _pooled(function, items, count, chunk)


def _pooled(function: Callable[[Item], Result], items: Sequence[Item], workers: int, chunk: int) -> Iterator[Result]:
    with process_pool(workers, threads=1) as pool:
        yield from pool.map(function, items, chunksize=chunk)


@contextmanager
def process_pool(workers: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `workers` processes with `threads` torch threads each.

    They end with this process, however that ends, and at Ctrl-C at once and silently. If the block raises an error,
    what they work on is finished and nothing new is begun.
    """
    # A forked child of a process whose OpenMP threads have run waits for them for ever, so children are spawned.
    pool = ProcessPoolExecutor(workers, mp_context=_Spawn(), initializer=_start_worker, initargs=(threads,))
    try:
        yield pool
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    except BaseException:
        children = list((pool._processes or {}).values())
        for item in list(pool._pending_work_items.values()):
            item.future.set_exception = partial(_lost, item.future)  # type: ignore[method-assign]
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.terminate()
        raise
    finally:
        pool.shutdown()


def _lost(work: Future[Any], error: BaseException | None) -> None:
    """Give `work` the loss of its worker; Python 3.11 gives it to cancelled work too, which may not be."""
    with suppress(InvalidStateError):
        Future.set_exception(work, error)


class _QuietProcess(SpawnProcess):
    """A child that Ctrl-C cannot reach before its worker is ready, so that it prints no traceback of its imports."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Spawn(SpawnContext):
    Process = _QuietProcess


def _start_worker(threads: int) -> None:
    import torch

    # At Ctrl-C the parent ends its workers: if they ended by themselves, the pool would print errors of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    end_with_parent()
    torch.set_num_threads(threads)


def end_with_parent() -> None:
    """Let this worker end when the process that started it ends, however that ends."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
