"""Separate a recording of any length, rate and number of channels: read, resample, level, solve, cross-fade, write."""

from __future__ import annotations

import contextlib
import html
import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, SILENCE_DBFS, dbfs, rms_dbfs
from unsep_lib.bandwidth import BANDWIDTHS, FULL, upward
from unsep_lib.files import alone, kept, key_of, refuse_overwriting, sha256, staged, write_bytes, write_json
from unsep_lib.priors.base import Prior
from unsep_lib.priors.checkpoints import digest_of, load_prior, priors_that_know
from unsep_lib.settings import names_python
from unsep_lib.solvers import DEFAULT_SOLVER, SOLVERS, Snapshot, Solver, solve_judged, solver_named
from unsep_lib.solvers.agreement import Confidence
from unsep_lib.solvers.mixture_consistency import fit_levels
from unsep_lib.source_spec import RESIDUAL, SourceSpec, file_names, parse_spec
from unsep_lib.versions import peak_memory_mb, versions
from unsep_lib.windows import (
    Passage,
    Recording,
    joined,
    paired,
    recording_of,
    resampled_blocks,
    stacked,
    survey,
    track,
    window_starts,
    windows_of,
)

if TYPE_CHECKING:
    from IPython.display import HTML

Source = str | SourceSpec | Prior  # `speech`, `sound:Cello`, or a prior of one's own
OnStep = Callable[[Snapshot], None] | None
OnWindow = Callable[[int, int], None] | None

WORKING_LEVEL = -18.5  # dBFS, a window's RMS inside: two sources in the middle of the priors' training levels
LEVEL_FRAME = SAMPLE_RATE // 10  # samples; a window's level is measured over frames of a tenth of a second
SOUNDING = 1e-4  # of the loudest frame's power (40 dB below it): quieter frames do not count in a window's level
MOST_SOURCES = 16  # the time grows with the square of their number; the paper has up to three
MOST_STEPS = 10_000  # fifty times the paper's 200
WINDOW_SEED_STRIDE = 1_000_003  # window n of seed s runs on seed s + n · this prime: windows do not share noise
KEPT = ".windows-"  # folders of finished windows, beside the tracks to come
UNFINISHED = "unfinished-tracks"  # folder of the tracks as far as they are written
REPORT = "report.json"


@dataclass(frozen=True)
class Request:
    """What to separate recordings into, and with what: priors that are loaded once for many recordings.

    specs: the sources as they were written; names: their tracks' names; origins: the file or `module:name` of each
    prior, by its name, and of a solver of one's own; none if one of these is an object of the caller's.
    """

    specs: tuple[str, ...]
    names: tuple[str, ...]
    priors: tuple[Prior, ...]
    origins: Mapping[str, Path | str]
    solver: Solver
    steps: int
    seed: int = 0
    device: str | None = None
    precision: str | None = None
    bandwidth: str = FULL

    @property
    def tracks(self) -> list[str]:
        """The WAV files' names: the sources', then the residual's."""
        return [f"{name}.wav" for name in (*self.names, RESIDUAL)]

    def metadata(self) -> dict[str, object]:
        """What a report says of it."""
        return {
            "sources": list(self.specs),
            "tracks": self.tracks,
            "solver": self.solver.name,
            "steps": self.steps,
            "seed": self.seed,
            "bandwidth": self.bandwidth,
            "versions": versions(),
        }

    def key(self, path: Path, *start: Path) -> str:
        """Hash of all that decides the result for a file; where that has no file, one that never comes again.

        start: the files of estimates at which the solver begins.
        """
        weights, device = digests(self.origins), self.device or "cpu"
        known = self.metadata() | {"recording": sha256(path), "weights": weights, "device": device}
        known |= {"precision": self.precision} | ({"start": [sha256(file) for file in start]} if start else {})
        return key_of(known)


@dataclass(frozen=True, eq=False)
class Separation(Mapping[str, torch.Tensor]):
    """Separated sources by name, each [channel, time], and the residual, at the recording's rate and level.

    `found["speech"]`, `found["sound:Cello"]`; equal sources are numbered: `found["speech_1"]`. The sources and the
    residual add up to the recording. sources: all of them [source, channel, time]; seconds: how long it took;
    confidence: of each source, from a solver on whose answers it was fitted, the default; passages: from each window
    to the next, where sources of one prior could change places.
    """

    request: Request = field(repr=False)
    sources: torch.Tensor = field(repr=False)
    residual: torch.Tensor = field(repr=False)
    sample_rate: int
    mixture: str
    seconds: float
    confidence: tuple[Confidence, ...] | None = None
    passages: tuple[Passage, ...] = ()

    def __getitem__(self, name: str | int) -> torch.Tensor:
        if isinstance(name, int):
            return self.sources[name]
        for known in (self.names, self.request.specs):
            if known.count(name) == 1:
                return self.sources[known.index(name)]
        raise KeyError(f"no source {name!r}: there are {', '.join(self.names)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The sources' names, which are those of their tracks."""
        return self.request.names

    @property
    def solver(self) -> str:
        """The solver's name."""
        return self.request.solver.name

    @property
    def steps(self) -> int:
        """The number of noise levels."""
        return self.request.steps

    @property
    def seed(self) -> int:
        """The seed of the noise."""
        return self.request.seed

    @property
    def residual_db(self) -> float:
        """Level of the residual relative to the recording, in dB."""
        return rms_dbfs(self.residual) - rms_dbfs(self.residual + self.sources.sum(dim=0))

    @property
    def report(self) -> dict[str, object]:
        """What was separated, with what, and how long it took; `save` writes it as report.json."""
        return _report(self.mixture, self.request, self.residual_db, self.seconds, self.confidence, self.passages)

    def save(self, folder: Path | str) -> list[Path]:
        """Write a float WAV file per source, residual.wav and report.json into `folder`: the WAV files' paths.

        Raises:
            ValueError: the folder cannot be written to, or the recording itself would be overwritten.
        """
        folder = Path(folder)
        refuse_losing([Path(self.mixture)], [folder], self.request)
        with alone(folder), staged(folder) as staging:
            for name, samples in zip(self.request.tracks, (*self.sources, self.residual), strict=True):
                with track(staging / name, self.sample_rate, len(samples)) as write:
                    write(samples)
            write_json(staging / REPORT, self.report)
        return [folder / name for name in self.request.tracks]

    def play(self) -> HTML:
        """A table of players for a notebook, one per source and one of the residual, all at one gain."""
        from unsep_lib.figures.players import player_table

        return player_table({"separated": dict(self) | {RESIDUAL: self.residual}}, self.sample_rate)

    def _repr_html_(self) -> str:
        trust = self.confidence or ("",) * len(self)
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{rms_dbfs(samples):.1f} dBFS</td><td>{one}</td></tr>"
            for (name, samples), one in zip((*self.items(), (RESIDUAL, self.residual)), (*trust, ""), strict=True)
        )
        length = self.residual.shape[-1] / self.sample_rate
        return (
            f"<p>{html.escape(self.mixture)}: {length:.1f} s at {self.sample_rate} Hz, {self.solver}, {self.steps} "
            f"steps, seed {self.seed}, {self.seconds:.1f} s of work</p>"
            f"<table><tr><th>source</th><th>level</th><th>estimated</th></tr>{rows}</table>"
        )


def separate(
    mixture: Path | str | torch.Tensor | numpy.ndarray | Sequence[float],
    sources: Source | Sequence[Source],
    sample_rate: float | None = None,
    *,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    prior: Mapping[str, Path | str] | None = None,
    device: str | None = None,
    precision: str | torch.dtype | None = None,
    bandwidth: str = FULL,
    start: Sequence[Path | str | torch.Tensor | numpy.ndarray] | None = None,
    on_step: OnStep = None,
    on_window: OnWindow = None,
    on_block: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
) -> Separation:
    """Separate a recording into sources, in memory.

    Works at 16 kHz inside; what lies above 8 kHz is shared out by `bandwidth.upward`. Long recordings run in
    overlapping windows of 8 s, each at a level of its own; channels share noise. Silence comes back as silence. Sources
    of the same prior and label are interchangeable: they keep their index from window to window.

    mixture: a file, or samples [time], [channel, time] or [time, channel] from −1 to 1 and their `sample_rate` in Hz;
    sources: names of priors with or without a label (`speech`, `sound:Cello`), or priors; solver: a name or one of your
    own; steps: noise levels, None for the solver's number; prior: name → file, of priors that are not found by name;
    device, precision: where and in what networks compute (float32 or bfloat16), by default the fastest on the CPU;
    bandwidth: "full", or "16k", which leaves in the residual what lies above 8 kHz; start: an estimate of each source,
    such as another separator's, of the mixture's rate and length and any level, at which the last restart begins;
    on_step(snapshot), on_window(done, all), on_block(sources, own) are called after each step, window, finished block.

    Raises:
        ValueError: no such file, samples of another shape or kind, NaN or infinity, no sources, an unknown prior, label
            or solver.
    """
    began = time.monotonic()
    recording = recording_of(mixture, sample_rate)
    if device is None and isinstance(mixture, torch.Tensor):
        device = str(mixture.device)
    wanted = request(
        sources, solver=solver, steps=steps, seed=seed, prior=prior, device=device, precision=precision,
        bandwidth=bandwidth,
    )  # fmt: skip
    begun = None
    if start is not None:
        rate = recording.sample_rate
        parts = [recording_of(one, None if isinstance(one, str | Path) else rate) for one in start]
        begun = stacked(parts, recording, len(wanted.priors))
    found, residuals, judged = [], [], Judged()
    for blocks, own in _separated(recording, wanted, begun, window_solver(wanted, on_step), judged, on_window):
        found.append(blocks)
        residuals.append(own - blocks.sum(dim=0))
        if on_block is not None:
            on_block(blocks, own)
    return Separation(
        wanted, torch.cat(found, dim=-1), torch.cat(residuals, dim=-1), recording.sample_rate, recording.name,
        time.monotonic() - began, _confidence(wanted, judged.agreements), tuple(judged.passages),
    )  # fmt: skip


def separate_file(
    path: Path | str,
    sources: Source | Sequence[Source] | Request,
    out: Path | str,
    *,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    prior: Mapping[str, Path | str] | None = None,
    device: str | None = None,
    precision: str | torch.dtype | None = None,
    bandwidth: str = FULL,
    start: Sequence[Path | str] | None = None,
    on_window: OnWindow = None,
) -> list[Path]:
    """Separate a file into a float WAV file per source, residual.wav and report.json in `out`: the WAV files' paths.

    As `separate`, in constant memory. The tracks grow in `out`/unfinished-tracks, where they can be played, and appear
    in `out` all at once. Finished windows are kept until then: the same call after a stop or a kill goes on after them.
    sources: as for `separate`, or a `request` made once for many files, which the other words do not change then.

    Raises:
        ValueError: the file is no recording, it would be overwritten, or `out` cannot be written to.
    """
    began, path, out = time.monotonic(), Path(path), Path(out)
    if isinstance(sources, Request):
        wanted = sources
    else:
        wanted = request(
            sources, solver=solver, steps=steps, seed=seed, prior=prior, device=device, precision=precision,
            bandwidth=bandwidth,
        )  # fmt: skip
    inputs = [path, *map(Path, start or [])]
    refuse_losing(inputs, [out], wanted)
    with alone(out):
        recording, key = survey(path), wanted.key(*inputs)
        begun = None if start is None else stacked([survey(one) for one in start], recording, len(wanted.priors))
        with kept(out, KEPT, key) as store, staged(out, UNFINISHED) as staging:
            solved, judged = _kept(window_solver(wanted), store), Judged()
            blocks = _separated(recording, wanted, begun, solved, judged, on_window)
            residual_db = _write_tracks(blocks, recording, staging, wanted)
            confidence, seconds = _confidence(wanted, judged.agreements), time.monotonic() - began
            report = _report(str(path), wanted, residual_db, seconds, confidence, judged.passages)
            write_json(staging / REPORT, report | {"request": key})
    return [out / name for name in wanted.tracks]


def _separated(
    recording: Recording,
    wanted: Request,
    start: Recording | None,
    solved: SolvedWindow,
    judged: Judged,
    on_window: OnWindow,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Consecutive blocks of the sources [source, channel, time] and of the recording [channel, time], at its rate.

    start: estimates of the sources, one after another in its channels; judged: gets what is found about every window.
    Holds some windows at a time.
    """
    count = len(window_starts(recording.working_length))

    def working(whole: Recording) -> Iterator[torch.Tensor]:
        return windows_of(resampled_blocks(whole.blocks(), whole.sample_rate, SAMPLE_RATE))

    def windows() -> Iterator[torch.Tensor]:
        begun = repeat(None) if start is None else working(start)
        for index, (window, estimates) in enumerate(zip(working(recording), begun, strict=False)):
            found = solved(window, index, estimates)
            if found.agreement is not None:
                judged.agreements.append(found.agreement)
            yield found.sources
            if on_window is not None:
                on_window(index + 1, count)

    blocks = joined(windows(), interchangeable(wanted.priors), judged.passages)
    found = paired(resampled_blocks(blocks, SAMPLE_RATE, recording.sample_rate), recording.blocks())
    return upward(found, recording.sample_rate) if wanted.bandwidth == FULL else found


@dataclass
class Judged:
    """What is found about a separation while it runs: each window's agreement [source] in dB, and the passages."""

    agreements: list[torch.Tensor] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)


class Solved(NamedTuple):
    """A window's sources [source, channel, time], and their agreement [source] in dB, None where there is none."""

    sources: torch.Tensor
    agreement: torch.Tensor | None


SolvedWindow = Callable[[torch.Tensor, int, torch.Tensor | None], Solved]


def window_solver(wanted: Request, on_step: OnStep = None) -> SolvedWindow:
    """A function (window [channel, time] at 16 kHz, its number, estimates [source · channel, time]) → Solved.

    The networks see each channel at one level, measured over what sounds in it; a silent channel is not solved.
    estimates: where the solver starts, None for its own start.
    """

    def window(mixture: torch.Tensor, index: int, estimates: torch.Tensor | None = None) -> Solved:
        power = sounding_power(mixture)
        audible = power > 10 ** (SILENCE_DBFS / 10)
        sources = mixture.new_zeros(len(wanted.priors), *mixture.shape)
        agreement = None
        if audible.any():
            gain = (10 ** (WORKING_LEVEL / 20) / power[audible].sqrt()).to(mixture)[:, None]
            seeds = [wanted.seed + index * WINDOW_SEED_STRIDE] * len(gain)
            scaled = (mixture[audible] * gain).to(wanted.device or mixture.device)
            solver = wanted.solver
            if estimates is not None:
                begun = estimates.unflatten(0, (len(wanted.priors), len(mixture))).transpose(0, 1)[audible]
                solver = solver.begun_at(fit_levels(begun.to(scaled), scaled))
            found = solve_judged(scaled, wanted.priors, solver=solver, steps=wanted.steps, seeds=seeds, on_step=on_step)
            sources[:, audible] = found.sources.transpose(0, 1).to(mixture.device) / gain
            agreement = None if found.agreement is None else found.agreement.mean(dim=0).cpu()
        return Solved(sources, agreement)

    return window


def sounding_power(samples: torch.Tensor) -> torch.Tensor:
    """Mean square of each channel of [channel, time] over the tenths of a second within 40 dB of its loudest."""
    frames = samples.cpu().double().square().split(LEVEL_FRAME, dim=-1)
    energy = torch.stack([frame.sum(dim=-1) for frame in frames])
    length = torch.tensor([frame.shape[-1] for frame in frames])[:, None]
    power = energy / length
    sounds = power >= SOUNDING * power.amax(dim=0)
    return (energy * sounds).sum(dim=0) / (length * sounds).sum(dim=0)


def interchangeable(priors: Sequence[Prior]) -> list[object]:
    """What each source is: equal for those of one network, label and example, which can be confused."""
    return [prior.identity for prior in priors]


def request(
    sources: Source | Sequence[Source],
    *,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    prior: Mapping[str, Path | str] | None = None,
    device: str | None = None,
    precision: str | torch.dtype | None = None,
    bandwidth: str = FULL,
) -> Request:
    """Load the priors that `sources` name, each file once, and check what else is asked for; words as in `separate`.

    Raises:
        ValueError: no sources or too many, an unknown prior, label or solver, too many steps.
    """
    asked = _listed(sources)
    check_count(asked)
    if bandwidth not in BANDWIDTHS:
        raise ValueError(f"expected bandwidth {' or '.join(BANDWIDTHS)}, got {bandwidth!r}")
    chosen, dtype = solver_named(solver), _dtype(precision)
    specs = {index: source for index, source in enumerate(asked) if isinstance(source, SourceSpec)}
    where = "cpu" if device is None else device
    check_device(where)
    loaded = load_priors(list(specs.values()), prior, where, dtype) if specs else []
    priors: dict[int, Any] = dict(enumerate(asked)) | dict(zip(specs, loaded, strict=True))
    names = file_names([specs.get(index, SourceSpec(f"source_{index + 1}")) for index in range(len(asked))])
    origins = origins_of(list(specs.values()), prior or {}, solver) if len(specs) == len(asked) else {}
    return Request(
        tuple(str(specs.get(index, names[index])) for index in range(len(asked))), tuple(names),
        tuple(priors.values()), origins, chosen, step_count(chosen, steps), seed,
        device, str(dtype) if dtype else None, bandwidth,
    )  # fmt: skip


def origins_of(
    specs: Iterable[SourceSpec], prior: Mapping[str, Path | str], solver: str | Solver
) -> dict[str, Path | str]:
    """The file, name or `module:name` of each prior, by its name, and of a solver of one's own.

    None at all if the solver is an object of the caller's, of which nobody knows whether it is the same as before.
    """
    if not isinstance(solver, str):
        return origins_of(specs, prior, solver.name) if SOLVERS.get(solver.name) is solver else {}
    origins = {spec.prior: prior.get(spec.prior, spec.prior) for spec in specs}
    return origins | ({solver: solver} if names_python(solver) else {})


def digests(origins: Mapping[str, Path | str]) -> dict[str, str]:
    """What tells priors and solvers from any others, by name; of those without a file what never comes again."""
    found = {}
    with contextlib.suppress(ValueError):  # a module without a file, such as a notebook
        found = {name: digest_of(origin) for name, origin in origins.items()}
    return found or {"own": secrets.token_hex()}


def load_priors(
    sources: Sequence[str | SourceSpec],
    files: Mapping[str, Path | str] | None = None,
    device: str = "cpu",
    precision: torch.dtype | None = None,
) -> list[Prior]:
    """The prior of each source, of one mixture or of many, each file read once.

    files: names → files to use instead, or module:name. precision: what the networks multiply matrices in,
    torch.float32 or torch.bfloat16; None is the fastest on `device`.

    Raises:
        ValueError: an unknown prior or label, or no source at all.
    """
    check_count(sources[:1])
    loaded, specs = {}, [parse_spec(source) if isinstance(source, str) else source for source in sources]
    for spec in specs:
        if spec.prior not in loaded:
            loaded[spec.prior] = load_prior((files or {}).get(spec.prior, spec.prior), device, precision)
    return [_labelled(loaded[spec.prior], spec.label) for spec in specs]


def _labelled(prior: Prior, label: str | None) -> Prior:
    try:
        return prior.with_condition(label=label)
    except ValueError as error:
        others = [f"{name}:{label}" for name in priors_that_know(str(label))]
        raise ValueError(f"{error}; there is {', '.join(others)}" if others else str(error)) from error


def _listed(sources: object) -> list[SourceSpec | Prior]:
    if isinstance(sources, str | SourceSpec) or hasattr(sources, "denoise"):
        sources = [sources]
    found: list[Any] = [
        parse_spec(source) if isinstance(source, str) else source
        for source in (sources if isinstance(sources, Iterable) else [sources])
    ]
    for source in found:
        if not isinstance(source, SourceSpec) and not hasattr(source, "denoise"):
            raise ValueError(f"expected sources such as `speech` or `sound:Cello`, or priors, got {source!r}")
    return found


def _dtype(precision: str | torch.dtype | None) -> torch.dtype | None:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision is None or precision in known.values():
        return precision  # type: ignore[return-value]
    if precision not in known:
        raise ValueError(f"expected precision float32 or bfloat16, got {precision!r}")
    return known[str(precision)]


def check_device(name: str) -> None:
    """Raise ValueError unless torch can compute on the device."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"cannot compute on device {name!r}: {str(error).splitlines()[0]}") from error


def step_count(solver: Solver, steps: int | None) -> int:
    """`steps`, or the solver's own number.

    Raises:
        ValueError: too many.
    """
    count = solver.steps if steps is None else steps
    if count > MOST_STEPS:
        raise ValueError(f"expected at most {MOST_STEPS} steps, got {count}")
    return count


def check_count(sources: Sequence[object]) -> None:
    """Raise ValueError unless there is at least one source and not too many."""
    if not sources:
        raise ValueError("expected at least one source, such as `speech` or `sound:Cello`, got none")
    if len(sources) > MOST_SOURCES:
        raise ValueError(f"expected at most {MOST_SOURCES} sources, got {len(sources)}")


def refuse_losing(inputs: Iterable[Path], folders: Iterable[Path], wanted: Request) -> None:
    """Raise ValueError if writing the tracks into one of the folders would write over one of the inputs, or remove it.

    What a stopped run left in `UNFINISHED`, where it can be played, is removed when the next one begins.
    """
    written = [folder / name for folder in folders for name in (*wanted.tracks, REPORT)]
    removed = [path for folder in folders for path in (folder / UNFINISHED).glob("*") if path.is_file()]
    refuse_overwriting([*written, *removed], inputs)


def is_done(path: Path, folder: Path, wanted: Request) -> bool:
    """Whether `folder` holds the files of this very request."""
    if not all(file.is_file() for file in (path, *(folder / name for name in wanted.tracks))):
        return False
    return read_report(folder).get("request") == wanted.key(path)


def read_report(folder: Path) -> dict[str, Any]:
    """The report of an earlier run in `folder`, empty if there is none that can be read."""
    try:
        found = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _report(
    mixture: str,
    wanted: Request,
    residual_db: float,
    seconds: float,
    confidence: Sequence[Confidence] | None,
    passages: Sequence[Passage],
) -> dict[str, object]:
    measured = {"seconds": round(seconds, 3), "peak_memory_mb": round(peak_memory_mb())}
    judged = None if confidence is None else [asdict(one) | {"words": str(one)} for one in confidence]
    joints = [{"seconds": one.seconds, "margin": round(one.margin, 3)} for one in passages]
    found = {"mixture": mixture, "residual_db": round(residual_db, 2), "confidence": judged, "passages": joints}
    return found | wanted.metadata() | measured


def _confidence(wanted: Request, agreed: Sequence[torch.Tensor]) -> tuple[Confidence, ...] | None:
    """How far each source can be trusted, from the agreements [source] of the windows; equal sources share theirs."""
    if not agreed or not wanted.solver.calibrated:
        return None
    alike, groups = torch.stack(list(agreed)).mean(dim=0).tolist(), interchangeable(wanted.priors)
    shared = [[value for value, other in zip(alike, groups, strict=True) if other == own] for own in groups]
    return tuple(Confidence.of(sum(values) / len(values), one_prior=len(values) > 1) for values in shared)


def _kept(solved: SolvedWindow, store: Path) -> SolvedWindow:
    """`solved`, what it finds of each window written to `store`, or read from there."""

    def window(mixture: torch.Tensor, index: int, estimates: torch.Tensor | None = None) -> Solved:
        file = store / f"{index:06d}.npz"
        # None yet, or damaged when the power failed: then it is solved again.
        with contextlib.suppress(OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile):
            known = numpy.load(file)
            agreement = torch.from_numpy(known["agreement"]) if "agreement" in known else None
            return Solved(torch.from_numpy(known["sources"]), agreement)
        found = solved(mixture, index, estimates)
        encoded = io.BytesIO()
        numpy.savez(encoded, **{name: part.numpy() for name, part in found._asdict().items() if part is not None})
        write_bytes(file, encoded.getbuffer())
        return found

    return window


def _write_tracks(
    blocks: Iterable[tuple[torch.Tensor, torch.Tensor]], recording: Recording, folder: Path, wanted: Request
) -> float:
    """Write blocks of sources and of their recording into a WAV file per track; the residual's relative level in dB."""
    unexplained = total = 0.0
    with ExitStack() as stack:
        shape = (recording.sample_rate, recording.channels)
        writers = [stack.enter_context(track(folder / name, *shape)) for name in wanted.tracks]
        for sources, own in blocks:
            residual = own - sources.sum(dim=0)
            for write, samples in zip(writers, (*sources, residual), strict=True):
                write(samples)
            unexplained += residual.double().square().sum().item()
            total += own.double().square().sum().item()
    count = recording.frames * recording.channels
    return dbfs(unexplained / count) - dbfs(total / count)
