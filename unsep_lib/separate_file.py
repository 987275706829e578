"""A recording in a file into a file a source: window by window, so that a stopped run goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, dbfs
from unsep_lib.files import clear_partials, sha256, staged, write_bytes, write_json
from unsep_lib.priors.base import Prior
from unsep_lib.separate import check_count, slots_for, step_count, window_separator
from unsep_lib.solvers import DEFAULT_SOLVER, Solver, solver_named
from unsep_lib.source_spec import SourceSpec, file_names
from unsep_lib.streaming import Recording, resampled_blocks, survey, track
from unsep_lib.versions import peak_memory_mb, versions
from unsep_lib.windows import WINDOW, joined, window_starts

KEPT = ".windows-"  # folders of finished windows, beside the files to come
REPORT = "report.json"
KEY_LENGTH = 20  # hexadecimal digits


@dataclass(frozen=True)
class Request:
    """What to separate a recording into, and with what.

    priors: one a specification; weights: what tells their files apart, such as hashes; steps: None for the solver's.
    """

    specs: tuple[SourceSpec, ...]
    priors: tuple[Prior, ...]
    weights: Mapping[str, str]
    solver: Solver
    steps: int
    seed: int = 0
    device: str = "cpu"

    @property
    def tracks(self) -> list[str]:
        """The WAV files' names: the sources', then the residual's."""
        return [f"{name}.wav" for name in (*file_names(self.specs), "residual")]

    def told(self) -> dict[str, object]:
        """What a report says of it."""
        return {
            "sources": [str(spec) for spec in self.specs],
            "solver": self.solver.name,
            "steps": self.steps,
            "seed": self.seed,
            "versions": versions(),
        }

    def key(self, path: Path) -> str:
        """Hash of all that decides the result for a file."""
        known = self.told() | {"recording": sha256(path), "weights": dict(self.weights), "device": self.device}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def request(
    specs: Sequence[SourceSpec],
    priors: Sequence[Prior],
    weights: Mapping[str, str],
    *,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Request:
    """A checked `Request`.

    Raises:
        ValueError: no sources or too many, an unknown solver, too many steps.
    """
    check_count(priors)
    chosen = solver_named(solver)
    return Request(tuple(specs), tuple(priors), weights, chosen, step_count(chosen, steps), seed, device)


def separate_file(
    path: Path, folder: Path, wanted: Request, on_window: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Separate a file into float WAV files a source, residual.wav and report.json in `folder`: the WAV files' paths.

    As `separate`, in constant memory. Finished windows are kept in `folder` until the files are there, all at once;
    the same call after a stop or a kill goes on after them. on_window(done, all). `folder` must be held (`alone`).

    Raises:
        ValueError: the file is no recording, or `folder` cannot be written to.
    """
    began = time.monotonic()
    recording, key = survey(path), wanted.key(path)
    window = window_separator(wanted.priors, wanted.solver, wanted.steps, wanted.seed, dbfs(recording.power))
    starts = window_starts(recording.working_length)
    with _kept_windows(folder, key) as store, staged(folder) as staging:
        files = [store / f"{index:06d}.npy" for index in range(len(starts))]
        for index, (start, file) in enumerate(zip(starts, files, strict=True)):
            if not file.is_file():
                piece = recording.working(start, start + WINDOW).to(wanted.device)
                _save(file, window(piece, index))
            if on_window is not None:
                on_window(index + 1, len(starts))
        residual_db = _write_tracks(recording, files, staging, wanted)
        report = {"mixture": str(path), "residual_db": round(residual_db, 2), "request": key} | wanted.told()
        report |= {"seconds": round(time.monotonic() - began, 3), "peak_memory_mb": round(peak_memory_mb())}
        write_json(staging / REPORT, report)
    return [folder / name for name in wanted.tracks]


def is_done(path: Path, folder: Path, wanted: Request) -> bool:
    """Whether `folder` holds the files of this very request."""
    report = folder / REPORT
    if not all(file.is_file() for file in (path, report, *(folder / name for name in wanted.tracks))):
        return False
    found: object = json.loads(report.read_text(encoding="utf-8")).get("request")
    return found == wanted.key(path)


@contextlib.contextmanager
def _kept_windows(folder: Path, key: str) -> Iterator[Path]:
    """The folder of a request's finished windows, those of other requests removed; gone when the block ends well."""
    store = folder / f"{KEPT}{key}"
    for other in folder.glob(f"{KEPT}*"):
        if other != store:
            shutil.rmtree(other)
    clear_partials(store)
    try:
        yield store
    except BaseException:
        with contextlib.suppress(OSError):
            store.rmdir()
        raise
    shutil.rmtree(store)


def _save(file: Path, sources: torch.Tensor) -> None:
    encoded = io.BytesIO()
    numpy.save(encoded, sources.cpu().numpy())
    write_bytes(file, encoded.getbuffer())


def _write_tracks(recording: Recording, files: Sequence[Path], folder: Path, wanted: Request) -> float:
    """Join the windows' `files` into a WAV file a track; returns the residual's level relative to the input in dB."""
    windows = (torch.from_numpy(numpy.load(file)) for file in files)
    blocks = resampled_blocks(joined(windows, slots_for(wanted.priors)), SAMPLE_RATE, recording.sample_rate)
    unexplained = total = 0.0
    done = 0
    with ExitStack() as stack:
        shape = (recording.sample_rate, recording.channels)
        writers = [stack.enter_context(track(folder / name, *shape)) for name in wanted.tracks]
        for block in blocks:
            sources = block[..., : recording.frames - done]
            own = recording.read(done, done + sources.shape[-1])
            residual = own - sources.sum(dim=0)
            for write, samples in zip(writers, (*sources, residual), strict=True):
                write(samples)
            unexplained += residual.double().square().sum().item()
            total += own.double().square().sum().item()
            done += sources.shape[-1]
    count = recording.frames * recording.channels
    return dbfs(unexplained / count) - dbfs(total / count)
