"""A separation that the page asks for: its turn among all sessions, run with progress, packed, and as code.

One runs at a time, first come first served, across processes; a process that dies loses its place.
"""

from __future__ import annotations

import io
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from filelock import FileLock, Timeout

from unsep_lib.app.recordings import Recording
from unsep_lib.audio import SAMPLE_RATE, mono, resample
from unsep_lib.priors.checkpoints import available_priors, card_of
from unsep_lib.separation import Separation, separate
from unsep_lib.solvers import Snapshot
from unsep_lib.source_spec import RESIDUAL, SourceSpec, file_names
from unsep_lib.windows import window_starts

POLL_SECONDS = 0.2  # between looks at the queue, and the longest that Cancel takes while waiting
Show = Callable[[float, Mapping[str, torch.Tensor]], None]

CODE = """\
from unsep_lib import separate

found = separate({path!r}, {specs!r}, solver={solver!r}, steps={steps}, seed={seed})
found.save("sources")
"""


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
    announced = 0
    while True:
        before = waiting_before(ticket)
        if not before and _taken(mutex):
            return
        if cancelled.wait(POLL_SECONDS):
            raise Cancelled
        if max(before, 1) != announced:
            announced = max(before, 1)
            on_wait(announced)


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


@dataclass(frozen=True)
class Job:
    """What to separate, into which sources, and how."""

    recording: Recording
    specs: tuple[SourceSpec, ...]
    solver: str
    steps: int
    seed: int
    device: str = "cpu"

    def code(self) -> str:
        """Python that does the same in a cell."""
        specs = [str(spec) for spec in self.specs]
        return CODE.format(path=self.recording.path, specs=specs, solver=self.solver, steps=self.steps, seed=self.seed)


def known_sources() -> tuple[list[str], list[str]]:
    """Every prior found that can be read, and each of its labels, as specifications; sentences on the others."""
    names, damaged = [], []
    for name, path in available_priors().items():
        try:
            names += [name, *(f"{name}:{label}" for label in card_of(path)["labels"])]
        except ValueError as error:
            damaged.append(f"Not listed is {name}: {error}")
    return names, damaged


def run(job: Job, cancelled: threading.Event, show: Show, show_part: Show) -> Separation:
    """Separate; after each step show(share done, 0 … 1; the estimate [time] at 16 kHz of each source, by name).

    show_part(its first second; its part [channel, time] of each source, by name) after each finished part of a
    recording that is separated in more than one.

    Raises:
        Cancelled: `cancelled` was set.
        ValueError: sources, solver or number of steps that do not fit.
    """
    audio, names = job.recording.audio, file_names(job.specs)
    windows_done = samples_shown = 0
    windows = len(window_starts(resampled_length(audio.samples.shape[-1], audio.sample_rate)))

    def on_step(snapshot: Snapshot) -> None:
        if cancelled.is_set():
            raise Cancelled
        share = (windows_done + snapshot.step / snapshot.steps) / windows
        show(share, dict(zip(names, snapshot.clean[0].cpu(), strict=True)))

    def on_window(finished: int, _: int) -> None:
        nonlocal windows_done
        windows_done = finished

    def on_block(sources: torch.Tensor, own: torch.Tensor) -> None:
        nonlocal samples_shown
        if windows > 1:
            show_part(samples_shown / audio.sample_rate, dict(zip(names, sources, strict=True)))
        samples_shown += own.shape[-1]

    separation = separate(
        audio.samples, job.specs, audio.sample_rate, solver=job.solver, steps=job.steps, seed=job.seed,
        device=job.device, on_step=on_step, on_window=on_window, on_block=on_block,
    )  # fmt: skip
    if cancelled.is_set():
        raise Cancelled
    return separation


def resampled_length(samples: int, rate: int) -> int:
    """Number of samples at 16 kHz of a signal of `samples` samples at `rate` Hz."""
    return -(-samples * SAMPLE_RATE // rate)


def tracks_of(separation: Separation) -> dict[str, torch.Tensor]:
    """File name's stem → samples [channel, time], the residual last; they add up to the recording."""
    return dict(separation) | {RESIDUAL: separation.residual}


def at_working_rate(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Samples [channel, time] as one channel [time] at 16 kHz, for pictures."""
    return resample(mono(samples), sample_rate, SAMPLE_RATE)


def zipped(tracks: Mapping[str, torch.Tensor], sample_rate: int) -> bytes:
    """A zip of one float WAV per track."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, samples in tracks.items():
            wav = io.BytesIO()
            soundfile.write(wav, samples.t().numpy(), sample_rate, format="WAV", subtype="FLOAT")
            archive.writestr(f"{name}.wav", wav.getvalue())
    return buffer.getvalue()
