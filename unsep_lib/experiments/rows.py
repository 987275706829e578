"""A row: one mixture under one condition, to be separated once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from unsep_lib.evaluation.metrics import Score
from unsep_lib.files import key_of
from unsep_lib.source_spec import SourceSpec, parse_spec
from unsep_lib.versions import __version__

ROW_FORMAT = 1  # raised when a row's meaning changes, so that older rows are computed again


@dataclass(frozen=True)
class PlannedSource:
    """One source of a separation: the specification given to the solver, and its reference (None: not there)."""

    spec: str
    reference: int | None


@dataclass(frozen=True)
class PriorFile:
    """What a specification's prior stands for: a file of weights or `module:name`, and its SHA-256 or `digest_of`."""

    prior: str
    path: str
    sha256: str


def check_planned(path: str, what: str, digest: str, planned: str) -> None:
    """Raise ValueError unless the digest of a file or module, `what` in words, is that of the sweep's plan."""
    if digest != planned:
        raise ValueError(f"{path}: expected the {what} that the sweep was planned with, got another")


@dataclass(frozen=True)
class Row:
    """All that decides a row's result, where its files are, and what the table calls it.

    digest: SHA-256 of the mixture's samples; seconds: length of the piece used, 0 for all; level_difference: None for
    the levels it has; also_folder, also_digest: of a mixture added to it, or empty; solver_digest: of a solver of one's
    own. Baselines have no priors, steps or seed; clips: the manifest, with its SHA-256, for those that learn.
    """

    mixture: str
    task: str
    condition: str
    folder: str
    digest: str
    seconds: float
    level_difference: float | None
    sources: tuple[PlannedSource, ...]
    solver: str
    device: str
    priors: str = ""
    steps: int = 0
    seed: int = 0
    prior_files: tuple[PriorFile, ...] = ()
    clips: str = ""
    clips_sha256: str = ""
    also_folder: str = ""
    also_digest: str = ""
    solver_digest: str = ""

    def content(self) -> dict[str, object]:
        """What the result depends on, neither names nor places; its keys never change: rows are found by hash."""
        kept = ("digest", "seconds", "level_difference", "solver", "steps", "seed", "clips_sha256", "device")
        return (
            {
                "format": ROW_FORMAT,
                "unsep": __version__,
                "slots": [[source.spec, source.reference] for source in self.sources],
                "priors": {file.prior: file.sha256 for file in self.prior_files},
            }
            | {name: getattr(self, name) for name in kept}
            | ({"also": self.also_digest} if self.also_digest else {})
            | ({"solver_digest": self.solver_digest} if self.solver_digest else {})
        )

    @property
    def key(self) -> str:
        """Hash of the content, the stem of the row's file."""
        return key_of(self.content())

    @property
    def specs(self) -> tuple[SourceSpec, ...]:
        """The specifications given to the solver, in its order."""
        return tuple(parse_spec(source.spec) for source in self.sources)


class ScoredSource(Score):
    """A `Score` with whose it is: the source's number in the mixture or 0, its label, and the specification given.

    sdr: BSS-eval's with filters of 512 taps in dB, None where there is no SI-SDR.
    """

    source: int
    label: str
    spec: str
    sdr: float | None


class Record(TypedDict):
    """A row's file."""

    key: str
    mixture: str
    task: str
    condition: str
    priors: str
    folder: str
    content: dict[str, object]
    sources: list[ScoredSource]
    seconds: float
    evaluations: int
    gradients: int
    threads: int
    prior_files: list[dict[str, str]]
    versions: dict[str, str]


def read_record(file: Path) -> Record:
    """A row's file; `told` was the name of `spec` in earlier ones.

    Raises:
        ValueError: not a row.
    """
    try:
        record: Record = json.loads(file.read_text(encoding="utf-8").replace('"told":', '"spec":'))
    except ValueError as error:
        raise ValueError(f"{file}: not a row of a sweep ({error}); remove it to compute it again") from error
    return record
