"""Run an experiment on any executor: resumable, one file per row, one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from unsep_lib.experiments.config import Experiment
from unsep_lib.experiments.methods import compute
from unsep_lib.experiments.plan import plan
from unsep_lib.experiments.results import table_of, write_table
from unsep_lib.experiments.rows import Record, Row, read_record
from unsep_lib.files import alone, clear_partials, refuse_overwriting, write_json
from unsep_lib.parallel import process_pool

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS, TABLE = "rows", "table.csv"
CONNECT_SECONDS = 10.0  # to wait for a scheduler's answer


def process_executor(workers: int, threads: int = 0) -> AbstractContextManager[ProcessPoolExecutor]:
    """An executor of `workers` processes with `threads` torch threads each; 0: this process's threads divided.

    The processes end when this one does, however it ends.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"expected at least 1 worker, got {workers}")
    return process_pool(workers, threads or max(1, torch.get_num_threads() // workers))


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """The workers of the dask scheduler at `address`, such as tcp://127.0.0.1:8786; they need this package.

    Raises:
        ValueError: no scheduler answers there.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"no dask scheduler answers at {address!r} ({error})") from error
    with client, client.get_executor() as executor:
        yield executor


class Job(Protocol):
    """What a sweep asks of a submitted row: a future of concurrent.futures has it, and a job of submitit."""

    def result(self) -> Record:
        """The record, once it is there; raises what the row raised."""

    def cancel(self) -> object:
        """Give up on it."""


class Submits(Protocol):
    """Anything that computes a function elsewhere."""

    def submit(self, function: Callable[[Row], Record], row: Row, /) -> Job:
        """Promise function(row)."""


def run_sweep(
    experiment: Experiment,
    out: Path | str,
    executor: Submits,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataFrame:
    """Compute the rows that `out` lacks, one file each in `out/rows`, and write all into `out/table.csv`.

    A row's file is named by its content and written when it is done: a run that was stopped or killed goes on where it
    was, and a changed experiment computes only what is new. The table holds this experiment's rows. Workers read the
    same files as this process. on_progress: called with the number of rows done, those of earlier runs included, and
    of all, first before any is computed.

    Raises:
        ValueError: a wrong experiment, another run in `out`, or rows that failed (all others are kept).
    """
    out = Path(out)
    refuse_overwriting([out / TABLE], [experiment.clips] if experiment.clips else [], text=True)
    rows = plan(experiment)
    with alone(out):
        clear_partials(out / ROWS)
        files = {row.key: out / ROWS / f"{row.key}.json" for row in rows}
        records = {key: read_record(file) for key, file in files.items() if file.is_file()}
        failures: list[tuple[Row, Exception]] = []
        on_progress(len(records), len(files))
        for row, job in _computed({row.key: row for row in rows if row.key not in records}, executor):
            try:
                record = job.result()
            except Exception as error:
                failures.append((row, error))
                continue
            write_json(files[row.key], record)
            records[row.key] = record
            on_progress(len(records), len(files))
        table = table_of((row, records[row.key]) for row in rows if row.key in records)
        write_table(out / TABLE, table)
    if failures:
        row, first = failures[0]
        reason = next(iter(str(first).splitlines()), type(first).__name__)
        raise ValueError(
            f"{len(failures)} of {len(rows)} rows failed, the first of {row.mixture} with {row.solver} "
            f"({row.condition}): {reason}; the others are in {out / TABLE}"
        ) from first
    return table


def _computed(missing: dict[str, Row], executor: Submits) -> Iterator[tuple[Row, Job]]:
    """Each row with its finished job, in the order in which they finish; if nobody asks for more, the rest is given up.

    A job that is no future of concurrent.futures has a thread that waits for it.
    """
    waiting = ThreadPoolExecutor(max(1, len(missing)))
    jobs = {key: executor.submit(compute, row) for key, row in missing.items()}
    try:
        futures = {
            job if isinstance(job, Future) else waiting.submit(job.result): (missing[key], job)
            for key, job in jobs.items()
        }
        for future in as_completed(futures):
            yield futures[future]
    finally:
        for job in jobs.values():
            job.cancel()
        waiting.shutdown(wait=False, cancel_futures=True)
