"""The same work in several processes, work that signals stop, and how a command ends."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
BAD_INPUT, INTERRUPTED, NO_READER = 2, 130, 141  # exit codes: argparse's, and the shell's for Ctrl-C and SIGPIPE
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(KeyboardInterrupt):
    """A scheduler, `kill` or a closed terminal ends this process, by the signal that this says."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number  # the shell's


@contextmanager
def stoppable() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Stopped` in the block, so that it ends as at Ctrl-C: what is done is kept.

    The first one counts, others are ignored while the block ends. A signal that is ignored already (as SIGHUP under
    `nohup`) stays so. Only for the main thread; in others nothing changes.
    """

    def stop(number: int, _: object) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in STOPPING if main and signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in handled:
            signal.signal(number, stop)
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def exit_code(work: Callable[[], int]) -> int:
    """A command's exit code: its work's own, or that of how it ended early, told on stderr in one line.

    For a reader of stdout that went away it ends silently.
    """
    try:
        with stoppable():
            code = work()
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in the buffer is not wanted either
        return NO_READER
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "unsep_lib":
            raise
        return _refuse(f"this needs {error.name}, which Python does not find; pip install unsep[all] brings it")
    except ValueError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Stopped as stopped:
        print(f"unsep: stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("unsep: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _refuse(sentence: str) -> int:
    print(f"unsep: error: {printable(sentence)}", file=sys.stderr)
    return BAD_INPUT


def printable(text: str) -> str:
    """`text` in one line that any terminal can show."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and the signals of `stoppable` wait until the block has ended, so that it is done whole."""
    waiting: list[int] = []
    numbers = [signal.SIGINT, *STOPPING] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, lambda number, _: waiting.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)


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
