"""Run an experiment on any executor: resumable, one file a row, one table."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

import torch

from unsep_lib.experiments.compute import compute
from unsep_lib.experiments.config import Experiment
from unsep_lib.experiments.plan import plan
from unsep_lib.experiments.results import Line, lines_of, write_table
from unsep_lib.experiments.rows import Record, Row
from unsep_lib.files import alone, clear_partials, write_json
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


Cost = tuple[str, int, int]


class Pace:
    """Seconds to the end, from what rows of the same solver, steps and number of sources cost so far.

    A row without a like one is taken to cost the mean of all. Work done at once counts as at once: what remains is
    divided by the seconds of work done a second of this run.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._costs: dict[Cost, list[float]] = defaultdict(list)
        self._done = 0.0

    def note(self, row: Row, seconds: float, before: bool = False) -> None:
        """A finished row's cost; before: it was finished by an earlier run."""
        self._costs[_cost(row)].append(seconds)
        self._done += 0.0 if before else seconds

    def remaining(self, rows: Iterable[Row]) -> float | None:
        """Estimated seconds until `rows` are done; None before the first row of this run."""
        if not self._done:
            return None
        means = {cost: fmean(seconds) for cost, seconds in self._costs.items()}
        overall = fmean(means.values())
        work = sum(means.get(_cost(row), overall) for row in rows)
        return work * (time.monotonic() - self._began) / self._done


def _cost(row: Row) -> Cost:
    return row.solver, row.steps, len(row.slots)


ROWS, TABLE = "rows", "table.csv"
POLL_SECONDS = 0.1  # between looks at futures: far below what a row takes


class Future(Protocol):
    """What a sweep asks of a submitted row, as the futures of concurrent.futures, dask and submitit have it."""

    def done(self) -> bool:
        """Whether there is a result or an exception."""

    def result(self) -> Record:
        """The record; raises what the row raised."""

    def cancel(self) -> object:
        """Give up on it."""


class Executor(Protocol):
    """Anything that computes a function elsewhere."""

    def submit(self, function: Callable[[Row], Record], row: Row, /) -> Future:
        """Promise function(row)."""


@dataclass(frozen=True)
class Progress:
    """Rows done, rows in all, those of earlier runs included, and the seconds left (None: not known yet)."""

    done: int
    total: int
    remaining: float | None


def run_sweep(
    experiment: Experiment,
    out: Path | str,
    executor: Executor,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Line]:
    """Compute the rows that `out` lacks, one file each in `out/rows`, and write all into `out/table.csv`.

    A row's file is named by its content and written when it is done: a run that was stopped or killed goes on where it
    was, and a changed experiment computes only what is new. The table holds this experiment's rows. Workers read the
    same files as this process.

    Raises:
        ValueError: a wrong experiment, another run in `out`, or rows that failed (all others are kept).
    """
    rows = plan(experiment)
    out = Path(out)
    with alone(out):
        records = _finished(out / ROWS, rows)
        failures = _compute_missing(rows, records, out / ROWS, executor, on_progress)
        lines = [line for row in rows if row.key in records for line in lines_of(row, records[row.key])]
        write_table(out / TABLE, lines)
    if failures:
        row, error = failures[0]
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{len(failures)} of {len(rows)} rows failed, the first of {row.mixture} with {row.solver} "
            f"({row.condition}): {reason}; the others are in {out / TABLE}"
        ) from error
    return lines


def _finished(folder: Path, rows: Sequence[Row]) -> dict[str, Record]:
    """Key → record of the rows that are done; what a killed run left half-written is removed."""
    clear_partials(folder)
    files = {row.key: folder / f"{row.key}.json" for row in rows}
    return {key: _read(file) for key, file in files.items() if file.is_file()}


def _read(file: Path) -> Record:
    try:
        record: Record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: not a row of a sweep ({error}); remove it to compute it again") from error
    return record


def _compute_missing(
    rows: Sequence[Row],
    records: dict[str, Record],
    folder: Path,
    executor: Executor,
    on_progress: Callable[[Progress], None],
) -> list[tuple[Row, Exception]]:
    """Add the missing records to `records` and their files to `folder`; returns the rows that failed and why."""
    pace = Pace()
    failures: list[tuple[Row, Exception]] = []
    unique = {row.key: row for row in rows}
    missing = {key: row for key, row in unique.items() if key not in records}
    for key, record in records.items():
        pace.note(unique[key], record["seconds"], before=True)
    on_progress(Progress(len(records), len(unique), None))
    submitted = [(executor.submit(compute, row), row) for row in missing.values()]
    with closing(_as_done(submitted)) as finished:
        for future, row in finished:
            del missing[row.key]
            try:
                record = future.result()
            except Exception as error:
                failures.append((row, error))
                continue
            write_json(folder / f"{row.key}.json", record)
            records[row.key] = record
            pace.note(row, record["seconds"])
            on_progress(Progress(len(records), len(unique), pace.remaining(missing.values())))
    return failures


def _as_done(submitted: Sequence[tuple[Future, Row]]) -> Generator[tuple[Future, Row]]:
    """Futures with their rows as they finish, by looking: all that every kind of future has in common is `done`."""
    pending = submitted
    try:
        while pending:
            looked = [(future.done(), future, row) for future, row in pending]
            pending = [(future, row) for done, future, row in looked if not done]
            yield from ((future, row) for done, future, row in looked if done)
            if len(pending) == len(looked):
                time.sleep(POLL_SECONDS)
    finally:
        for future, _ in pending:
            future.cancel()
