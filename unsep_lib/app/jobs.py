"""A separation that the page asks for: run with progress, packed into a zip, told as code."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import soundfile
import torch

from unsep_lib.app.job_queue import Cancelled
from unsep_lib.app.recordings import Recording
from unsep_lib.audio import SAMPLE_RATE, mono, resample
from unsep_lib.priors.checkpoints import available_priors, card_of
from unsep_lib.separation import Separation, separate
from unsep_lib.solvers import Snapshot
from unsep_lib.source_spec import SourceSpec, file_names
from unsep_lib.windows import window_starts

Show = Callable[[float, Mapping[str, torch.Tensor]], None]

CODE = """\
from unsep_lib import separate

found = separate({path!r}, {specs!r}, solver={solver!r}, steps={steps}, seed={seed})
found.save("sources")
"""


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


def known_sources() -> list[str]:
    """Every prior found that can be read, and each of its labels, as specifications."""
    names = []
    for name, path in available_priors().items():
        with contextlib.suppress(ValueError):  # a damaged file; `unsep separate --list` says what is wrong with it
            names += [name, *(f"{name}:{label}" for label in card_of(path)["labels"])]
    return names


def run(job: Job, cancelled: threading.Event, show: Show) -> Separation:
    """Separate; after each step show(share done, 0 … 1; the estimate [time] at 16 kHz of each source, by name).

    Raises:
        Cancelled: `cancelled` was set.
        ValueError: sources, solver or number of steps that do not fit.
    """
    audio, done, names = job.recording.audio, [0], file_names(job.specs)
    windows = len(window_starts(resampled_length(audio.samples.shape[-1], audio.sample_rate)))

    def on_step(snapshot: Snapshot) -> None:
        if cancelled.is_set():
            raise Cancelled
        share = (done[0] + snapshot.step / snapshot.steps) / windows
        show(share, dict(zip(names, snapshot.clean[0].cpu(), strict=True)))

    def on_window(finished: int, _: int) -> None:
        done[0] = finished

    separation = separate(
        audio.samples, job.specs, audio.sample_rate, solver=job.solver, steps=job.steps, seed=job.seed,
        device=job.device, on_step=on_step, on_window=on_window,
    )  # fmt: skip
    if cancelled.is_set():
        raise Cancelled
    return separation


def resampled_length(samples: int, rate: int) -> int:
    """Number of samples at 16 kHz of a signal of `samples` samples at `rate` Hz."""
    return -(-samples * SAMPLE_RATE // rate)


def tracks_of(separation: Separation) -> dict[str, torch.Tensor]:
    """File name's stem → samples [channel, time], the residual last; they add up to the recording."""
    return dict(separation) | {"residual": separation.residual}


def at_working_rate(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Samples [channel, time] as one channel [time] at 16 kHz, for pictures."""
    return resample(mono(samples), sample_rate, SAMPLE_RATE)


def zipped(tracks: Mapping[str, torch.Tensor], sample_rate: int) -> bytes:
    """A zip of one float WAV a track."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, samples in tracks.items():
            wav = io.BytesIO()
            soundfile.write(wav, samples.t().numpy(), sample_rate, format="WAV", subtype="FLOAT")
            archive.writestr(f"{name}.wav", wav.getvalue())
    return buffer.getvalue()
