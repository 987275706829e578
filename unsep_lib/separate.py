"""Separate a recording of any length, rate and number of channels into its sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from unsep_lib.audio import HIGHEST_RATE, LOWEST_RATE, SAMPLE_RATE, SILENCE_DBFS, resample, rms_dbfs
from unsep_lib.priors.base import Prior
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.solvers import DEFAULT_SOLVER, Snapshot, Solver, solve, solver_named
from unsep_lib.source_spec import SourceSpec
from unsep_lib.windows import in_windows

WORKING_LEVEL = -18.5  # dBFS, the mixture's RMS inside: two sources in the middle of the priors' training levels
MOST_SOURCES = 16  # the time grows with the square of their number; the paper has up to three
MOST_STEPS = 10_000  # fifty times the paper's 200
SLOT_SEED_STRIDE = 1_000_003  # window n of seed s runs on seed s + n · this prime: windows do not share noise


@dataclass(frozen=True)
class Separation:
    """Separated sources [source, channel, time] and the residual [channel, time] at the input's rate and level.

    The sources and the residual add up to the input. seconds: how long it took.
    """

    sources: torch.Tensor
    residual: torch.Tensor
    sample_rate: int
    solver: str
    steps: int
    seed: int
    seconds: float

    @property
    def residual_db(self) -> float:
        """Level of the residual relative to the input, in dB."""
        return rms_dbfs(self.residual) - rms_dbfs(self.residual + self.sources.sum(dim=0))


def load_priors(
    specs: Sequence[SourceSpec],
    files: Mapping[str, Path | str] | None = None,
    device: str = "cpu",
    precision: torch.dtype | None = None,
) -> list[Prior]:
    """The prior of each specification, each file read once; `files` maps names to files to use instead.

    precision: what the networks multiply matrices in, torch.float32 or torch.bfloat16; None is the fastest on `device`.

    Raises:
        ValueError: an unknown prior or label, or no specification at all.
    """
    check_count(specs)
    loaded = {}
    for spec in specs:
        if spec.prior not in loaded:
            loaded[spec.prior] = load_prior((files or {}).get(spec.prior, spec.prior), device, precision)
    return [loaded[spec.prior].labelled(spec.label) for spec in specs]


def separate(
    samples: torch.Tensor,
    sample_rate: int,
    priors: Sequence[Prior],
    *,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    on_step: Callable[[Snapshot], None] | None = None,
    on_window: Callable[[int, int], None] | None = None,
) -> Separation:
    """Separate `samples` [time] or [channel, time] at any rate into one source a prior.

    Works at 16 kHz inside: what lies above 8 kHz stays in the residual. Channels share noise and slots; long
    signals run in overlapping windows of 8 s. Silence comes back as silence. Priors of the same object class and
    label are interchangeable: such sources are kept in one slot from window to window. solver: a name, or one of your
    own.

    Raises:
        ValueError: no samples, NaN or infinity, no priors, or an unknown solver.
    """
    began = time.monotonic()
    chosen = solver_named(solver)
    samples = _checked(samples, sample_rate, priors)
    count = step_count(chosen, steps)
    working = resample(samples, sample_rate, SAMPLE_RATE)
    window = window_separator(priors, chosen, count, seed, rms_dbfs(working), on_step)
    sources = in_windows(working, window, slots_for(priors), on_window)
    sources = resample(sources, SAMPLE_RATE, sample_rate)[..., : samples.shape[-1]]
    residual = samples - sources.sum(dim=0)
    return Separation(sources, residual, sample_rate, chosen.name, count, seed, time.monotonic() - began)


def window_separator(
    priors: Sequence[Prior],
    solver: Solver,
    steps: int,
    seed: int,
    level: float,
    on_step: Callable[[Snapshot], None] | None = None,
) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """A function (piece [channel, time] at 16 kHz, its window's number) → sources [source, channel, time].

    level: the whole recording's in dBFS, which decides what gain the networks see it with.
    """
    gain: float = 10.0 ** ((WORKING_LEVEL - level) / 20.0)

    def window(piece: torch.Tensor, index: int) -> torch.Tensor:
        if rms_dbfs(piece) <= SILENCE_DBFS:
            return piece.new_zeros(len(priors), *piece.shape)
        seeds = [seed + index * SLOT_SEED_STRIDE] * len(piece)
        sources = solve(piece * gain, priors, solver=solver, steps=steps, seeds=seeds, on_step=on_step)
        return sources.transpose(0, 1) / gain

    return window


def slots_for(priors: Sequence[Prior]) -> list[object]:
    """What each source is: equal for those of one network and label, which can be confused."""
    return [(id(getattr(prior, "network", prior)), getattr(prior, "label_index", None)) for prior in priors]


def step_count(solver: Solver, steps: int | None) -> int:
    """`steps`, or the solver's own number.

    Raises:
        ValueError: too many.
    """
    count = solver.default_steps if steps is None else steps
    if count > MOST_STEPS:
        raise ValueError(f"expected at most {MOST_STEPS} steps, got {count}")
    return count


def _checked(samples: torch.Tensor, sample_rate: int, priors: Sequence[Prior]) -> torch.Tensor:
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {sample_rate}")
    if samples.ndim not in (1, 2) or samples.numel() == 0:
        raise ValueError(f"expected samples [time] or [channel, time], got shape {tuple(samples.shape)}")
    if not samples.is_floating_point():
        raise ValueError(f"expected real floating-point samples from -1 to 1, got {samples.dtype}")
    if not torch.isfinite(samples).all():
        raise ValueError("the samples contain NaN or infinity")
    check_count(priors)
    return (samples[None] if samples.ndim == 1 else samples).float()


def check_count(sources: Sequence[object]) -> None:
    """Raise ValueError unless there is at least one source and not too many."""
    if not sources:
        raise ValueError("expected at least one source, such as `speech` or `sound:Cello`, got none")
    if len(sources) > MOST_SOURCES:
        raise ValueError(f"expected at most {MOST_SOURCES} sources, got {len(sources)}")
