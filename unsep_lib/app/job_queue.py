"""One at a time, first come first served, across processes; a process that dies loses its place."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.2  # between looks at the queue, and the longest that Cancel takes while waiting


class Cancelled(Exception):
    """The person who asked no longer wants it."""


@contextmanager
def turn(folder: Path, cancelled: threading.Event, on_wait: Callable[[int], None]) -> Iterator[None]:
    """Hold the only turn of `folder`; until it comes, on_wait(how many are before) at each change.

    Raises:
        Cancelled: `cancelled` was set before the turn came.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ticket = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.ticket"
    mutex = FileLock(folder / "running.lock")
    place = FileLock(ticket)
    try:
        with place:
            _wait(mutex, ticket, cancelled, on_wait)
            try:
                yield
            finally:
                mutex.release()
    finally:
        ticket.unlink(missing_ok=True)


def _wait(mutex: FileLock, ticket: Path, cancelled: threading.Event, on_wait: Callable[[int], None]) -> None:
    told = 0
    while True:
        before = waiting_before(ticket)
        if not before and _taken(mutex):
            return
        if cancelled.wait(POLL_SECONDS):
            raise Cancelled
        if max(before, 1) != told:
            told = max(before, 1)
            on_wait(told)


def waiting_before(ticket: Path) -> int:
    """How many earlier tickets of the same folder are held; those that nobody holds are removed."""
    count = 0
    for other in sorted(ticket.parent.glob("*.ticket")):
        if other.name >= ticket.name:
            break
        lock = FileLock(other)
        if _taken(lock):
            lock.release()
            other.unlink(missing_ok=True)
        else:
            count += 1
    return count


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
