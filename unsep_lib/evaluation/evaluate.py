"""Scores of a separation method on mixtures with references."""

from __future__ import annotations

import contextlib
import json as json_format
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas
import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.mixtures import Mixture, MixtureFolders, headings, mixture_digest, mixture_folders
from unsep_lib.evaluation.baselines import oracle_ratio_mask
from unsep_lib.evaluation.metrics import (
    Calibration,
    Statistic,
    Voice,
    best_order,
    calibration,
    scored,
    source_switches,
    statistic,
    voices_of,
)
from unsep_lib.files import alone, kept, key_of, write_json
from unsep_lib.separation import Separation, check_count, digests, load_priors, origins_of, separate, step_count
from unsep_lib.solvers import DEFAULT_SOLVER, Solver, solver_named
from unsep_lib.solvers.agreement import Confidence
from unsep_lib.source_spec import parse_spec
from unsep_lib.versions import peak_memory_mb, versions
from unsep_lib.windows import HOP

COLLAPSE_DB = -10.0  # a source whose SI-SDR falls by more than this has collapsed
Method = Callable[[Mixture], torch.Tensor | Separation]


@dataclass(frozen=True)
class SourceScore:
    """The score of one audible source of one mixture, in dB.

    si_sdr: None for an estimate that is silent or not finite; si_sdr_improvement: None there, and where the mixture is
    the source itself; expected, expected_low, expected_high: the improvement that the separation itself estimated and
    its range, and agreement, from which it did so; None from a method that does not say.
    """

    mixture: str
    source: int
    label: str
    si_sdr: float | None
    si_sdr_improvement: float | None
    agreement: float | None = None
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None

    @property
    def collapsed(self) -> bool:
        """The estimate is lost, or lost more than 10 dB."""
        if self.si_sdr is None:
            return True
        return self.si_sdr_improvement is not None and self.si_sdr_improvement < COLLAPSE_DB


@dataclass(frozen=True)
class Evaluation:
    """Scores over mixtures.

    silent_references: sources that were left out because they do not sound; switches: how often sources changed places
    in `passages` from one window's 6 s to the next window's; voices: what a listener would make of them, None if that
    was not asked for.
    """

    rows: tuple[SourceScore, ...]
    seconds_per_mixture: float
    silent_references: int = 0
    switches: int = 0
    passages: int = 0
    voices: tuple[Voice, ...] | None = None

    @property
    def table(self) -> pandas.DataFrame:
        """The rows as a table, a column for each field of `SourceScore`; NaN where there is no score."""
        scores = [one.name for one in fields(SourceScore) if one.name not in ("mixture", "source", "label")]
        return pandas.DataFrame([asdict(row) for row in self.rows]).astype(dict.fromkeys(scores, float))

    def statistic(self, field: str) -> Statistic | None:
        """Mean, median and 95 % interval over mixtures of "si_sdr" or "si_sdr_improvement"; None if no row has one."""
        found = self.table.dropna(subset=field)
        return statistic(found[field], found["mixture"]) if len(found) else None

    @property
    def calibration(self) -> Calibration | None:
        """How well the separation knew its own improvements; None where it did not estimate three of them."""
        found = self.table.dropna(subset=["expected", "si_sdr_improvement"])
        if len(found) < 3:
            return None
        return calibration(
            *(found[name] for name in ("expected", "expected_low", "expected_high", "si_sdr_improvement"))
        )

    @property
    def collapsed(self) -> float:
        """Share of sources that lost more than 10 dB, or whose estimate is silent or not finite."""
        return sum(row.collapsed for row in self.rows) / len(self.rows)

    @property
    def left_out(self) -> dict[str, int]:
        """Why sources have no part in the mean improvement → how many."""
        lost = sum(row.si_sdr is None for row in self.rows)
        unimproved = sum(row.si_sdr_improvement is None for row in self.rows)
        return {
            "silent references": self.silent_references,
            "silent estimates": lost,
            "mixtures of one source": unimproved - lost,
        }

    def as_json(self) -> dict[str, object]:
        """The evaluation in the documented JSON layout."""
        fit = self.calibration
        statistics = {name: self.statistic(name) for name in ("si_sdr", "si_sdr_improvement")}
        report: dict[str, object] = {name: found and asdict(found) for name, found in statistics.items()}
        report |= {
            "collapsed": self.collapsed,
            "left_out": self.left_out,
            "seconds_per_mixture": self.seconds_per_mixture,
            "source_switches": self.switches,
            "window_passages": self.passages,
            "peak_memory_mb": peak_memory_mb(),
            "calibration": fit and asdict(fit),
            "rows": [asdict(row) for row in self.rows],
        }
        return report if self.voices is None else report | {"voices": [asdict(voice) for voice in self.voices]}


def source_scores(
    mixture: Mixture, estimates: torch.Tensor, confidence: Sequence[Confidence] | None = None
) -> list[SourceScore]:
    """The scores of a mixture's audible sources from its estimates [source, time], in the references' order.

    confidence: how far the separation trusts each estimate, if it says so.
    """
    order = best_order(estimates, mixture.sources, mixture.specs)
    rows = []
    for number, (spec, reference) in enumerate(zip(mixture.specs, mixture.sources, strict=True), start=1):
        found = scored(estimates[order[number - 1]], reference, mixture.mixture)
        if found["present"]:
            row = SourceScore(mixture.name, number, str(spec), found["si_sdr"], found["si_sdr_improvement"])
            trust = None if confidence is None else confidence[order[number - 1]]
            rows.append(row if trust is None else replace(
                row, agreement=trust.agreement, expected=trust.improvement, expected_low=trust.low,
                expected_high=trust.high,
            ))  # fmt: skip
    return rows


@dataclass(frozen=True)
class MixtureScore:
    """What one mixture adds to an `Evaluation`; seconds: of its separation."""

    rows: tuple[SourceScore, ...]
    seconds: float
    silent_references: int
    switches: int
    passages: int
    voices: tuple[Voice, ...]


Score = Callable[[Mixture], MixtureScore]


def evaluate(
    mixtures: Path | str | Sequence[Mixture],
    method: Method | None = None,
    *,
    source: Sequence[str] = (),
    only: str = "",
    part: tuple[int, int] = (1, 1),
    voices: bool = False,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    seed: int = 0,
    prior: Mapping[str, Path | str] | None = None,
    device: str = "cpu",
    precision: str | torch.dtype | None = None,
    json: Path | str | None = None,
    on_start: Callable[[Sequence[Mixture]], None] | None = None,
    on_kept: Callable[[str], None] | None = None,
    on_mixture: Callable[[str, list[SourceScore]], None] | None = None,
) -> Evaluation:
    """Score a separation on mixtures whose references are known, as `unsep evaluate` does.

    mixtures: a folder of them, with `source` the specifications where a mixture has no labels.txt, or a list; only:
    those whose names start with this; part: (K, N), every N-th from the K-th. method(mixture) → estimates [source,
    time], or a `Separation` with them and its confidence; without one, `separate` with the solver, steps, seed,
    weights by prior's name, device and precision given. voices: STOI of each voice too, and PESQ where its package is
    installed. json: a file for the result; until it is written, the scores of each finished mixture are kept beside it,
    and the same call after a stop or a kill goes on after them. on_start(mixtures) is called once they are read,
    on_kept(name) for each that an earlier call has scored, on_mixture(name, scores) after each, those too.

    Raises:
        ValueError: no mixtures, two of one name, only silent references, an unknown solver, prior or label, or `json`
            cannot be written.
    """
    if isinstance(mixtures, Path | str):
        mixtures = _mixtures_in(Path(mixtures), source, only, part)
    else:
        mixtures = chosen(mixtures, only, part)
    names = [one.name for one in headings(mixtures)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"expected mixtures of different names, got {twice!r} {names.count(twice)} times")
    if on_start is not None:
        on_start(mixtures)
    decided: list[object] = [voices, versions()]
    if method is None:
        method = separating_method(mixtures, solver, steps, seed, prior or {}, device, precision)
        specs = [spec for one in headings(mixtures) for spec in one.specs]
        chosen_solver = solver_named(solver)
        decided += [chosen_solver.name, step_count(chosen_solver, steps), seed, device, str(precision)]
        decided += [digests(origins_of(specs, prior or {}, solver))]
    else:
        decided += [secrets.token_hex()]
    with _beside(json, key_of(decided)) as store:
        score: Score = partial(mixture_score, method=method, voices=voices)
        if store is not None:
            score = _kept(score, store, on_kept)
        found = []
        for mixture in mixtures:
            found.append(score(mixture))
            if on_mixture is not None:
                on_mixture(mixture.name, list(found[-1].rows))
        evaluation = _summed(found, voices) if any(one.rows for one in found) else None
        if json is not None and evaluation is not None:
            write_json(json, evaluation.as_json())
    if evaluation is None:  # and nothing is kept, since the same call would find the same
        raise ValueError("expected at least one mixture with an audible reference, got none")
    return evaluation


def mixture_score(mixture: Mixture, method: Method, voices: bool) -> MixtureScore:
    """Separate a mixture by a method and score it.

    Raises:
        ValueError: the method cannot separate it.
    """
    began = time.monotonic()
    try:
        answer = method(mixture)
    except ValueError as error:
        raise ValueError(f"{mixture.name}: {error}") from error
    seconds = time.monotonic() - began
    if isinstance(answer, Separation):
        estimates, confidence = answer.sources[:, 0].cpu(), answer.confidence
    else:
        estimates, confidence = answer, None
    rows = source_scores(mixture, estimates, confidence)
    hop = round(HOP * mixture.sample_rate / SAMPLE_RATE)
    switches, passages = source_switches(estimates, mixture.sources, hop)
    heard = voices_of(mixture, estimates) if voices else []
    return MixtureScore(tuple(rows), seconds, len(mixture.specs) - len(rows), switches, passages, tuple(heard))


def _summed(scores: Sequence[MixtureScore], voices: bool) -> Evaluation:
    return Evaluation(
        tuple(row for one in scores for row in one.rows),
        sum(one.seconds for one in scores) / len(scores),
        sum(one.silent_references for one in scores),
        sum(one.switches for one in scores),
        sum(one.passages for one in scores),
        tuple(voice for one in scores for voice in one.voices) if voices else None,
    )


@contextlib.contextmanager
def _beside(json: Path | str | None, key: str) -> Iterator[Path | None]:
    """The folder of the finished mixtures of an evaluation that `json` will hold, which is held; none without it."""
    if json is None:
        yield None
        return
    json = Path(json)
    with alone(json, file=True), kept(json.parent, f".scored-{key_of(json.name)}-", key) as store:
        yield store


def _kept(score: Score, store: Path, on_kept: Callable[[str], None] | None) -> Score:
    """`score`, what it finds of each mixture written to `store`, or read from there: then on_kept(name)."""

    def of_mixture(mixture: Mixture) -> MixtureScore:
        what = [mixture.name, *map(str, mixture.specs), mixture_digest(mixture)]
        file = store / f"{key_of(what)}.json"
        # None yet, or damaged when the power failed: then it is scored again.
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            found = _read_score(file)
            if on_kept is not None:
                on_kept(mixture.name)
            return found
        found = score(mixture)
        write_json(file, asdict(found))
        return found

    return of_mixture


def _read_score(file: Path) -> MixtureScore:
    known = json_format.loads(file.read_text(encoding="utf-8"))
    rows = tuple(SourceScore(**row) for row in known["rows"])
    return MixtureScore(**(known | {"rows": rows, "voices": tuple(Voice(**voice) for voice in known["voices"])}))


def _mixtures_in(folder: Path, source: Sequence[str], only: str, part: tuple[int, int]) -> Sequence[Mixture]:
    folders, specs = mixture_folders(folder), [parse_spec(text) for text in source]
    try:
        return MixtureFolders(chosen(folders, only, part), specs)
    except _NoneLeft as error:
        raise ValueError(f"{folder}: {error}") from error


class _NoneLeft(ValueError):
    """The choice of mixtures left none."""


Named = TypeVar("Named", Mixture, Path)


def chosen(mixtures: Sequence[Named], only: str, part: tuple[int, int]) -> Sequence[Named]:
    """The mixtures, or folders of them, whose names start with `only`; with part = (K, N), every N-th from the K-th.

    Raises:
        ValueError: none are left.
    """
    if not only and part == (1, 1):
        return mixtures
    named = [mixture for mixture in mixtures if mixture.name.startswith(only)]
    if mixtures and not named:
        raise _NoneLeft(f"no mixture's name starts with {only!r}")
    number, parts = part
    if named and number > len(named):
        raise _NoneLeft(f"expected at most as many parts as mixtures, {len(named)}, got part {number}/{parts}")
    return named[number - 1 :: parts]


def separating_method(
    mixtures: Sequence[Mixture],
    solver: str | Solver,
    steps: int | None,
    seed: int,
    prior: Mapping[str, Path | str],
    device: str,
    precision: str | torch.dtype | None,
) -> Method:
    """`separate` as a method; loads every prior before the first mixture."""
    for one in headings(mixtures):
        try:
            check_count(one.specs)
        except ValueError as error:
            raise ValueError(f"{one.name}: {error}") from error
    specs = list(dict.fromkeys(spec for one in headings(mixtures) for spec in one.specs))
    dtype = getattr(torch, precision) if isinstance(precision, str) else precision
    priors = dict(zip(specs, load_priors(specs, prior, device, dtype), strict=True))

    def method(mixture: Mixture) -> Separation:
        chosen = [priors[spec] for spec in mixture.specs]
        samples = mixture.mixture.to(device)
        return separate(samples, chosen, mixture.sample_rate, solver=solver, steps=steps, seed=seed)

    return method


def oracle(mixture: Mixture) -> torch.Tensor:
    """The oracle ratio mask as a method."""
    return oracle_ratio_mask(mixture.mixture, mixture.sources)
