"""A row: one mixture under one condition, to be separated once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from unsep_lib import __version__
from unsep_lib.files import sha256
from unsep_lib.source_spec import SourceSpec, parse_spec

ROW_FORMAT = 1  # raised when a row's meaning changes, so that older rows are computed again
KEY_LENGTH = 20  # hexadecimal digits: 80 bits, no collisions among any number of rows


@dataclass(frozen=True)
class Slot:
    """One source of a separation: its specification as told to the solver, and its reference (None: not there)."""

    spec: str
    reference: int | None


@dataclass(frozen=True)
class PriorFile:
    """The weights that a specification's prior stands for: their file and its SHA-256."""

    prior: str
    path: str
    sha256: str


def check_planned(path: str, digest: str, what: str) -> None:
    """Raise ValueError unless the file, `what` in words, still has the SHA-256 that the sweep was planned with."""
    if sha256(Path(path)) != digest:
        raise ValueError(f"{path}: expected the {what} that the sweep was planned with, got another")


@dataclass(frozen=True)
class Row:
    """All that decides a row's result, where its files are, and what the table calls it.

    digest: SHA-256 of the mixture's samples; seconds: length of the piece used, 0 for all; level_difference: None for
    the levels it has; also_folder, also_digest: of a mixture added to it, or empty. Baselines have no priors, steps or
    seed; clips: the manifest, with its SHA-256, for those that learn.
    """

    mixture: str
    task: str
    condition: str
    folder: str
    digest: str
    seconds: float
    level_difference: float | None
    slots: tuple[Slot, ...]
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

    def content(self) -> dict[str, object]:
        """What the result depends on: neither names nor places."""
        kept = ("digest", "seconds", "level_difference", "solver", "steps", "seed", "clips_sha256", "device")
        return (
            {
                "format": ROW_FORMAT,
                "unsep": __version__,
                "slots": [[slot.spec, slot.reference] for slot in self.slots],
                "priors": {file.prior: file.sha256 for file in self.prior_files},
            }
            | {name: getattr(self, name) for name in kept}
            | ({"also": self.also_digest} if self.also_digest else {})
        )

    @property
    def key(self) -> str:
        """Hash of the content, the stem of the row's file."""
        text = json.dumps(self.content(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def specs(self) -> tuple[SourceSpec, ...]:
        """What the solver is told, in its order."""
        return tuple(parse_spec(slot.spec) for slot in self.slots)


class Score(TypedDict):
    """Scores in dB of one estimate, None where they do not exist; present: whether the reference sounds."""

    present: bool
    level: float | None
    si_sdr: float | None
    si_sdr_improvement: float | None
    sdr: float | None


class Scored(TypedDict):
    """A `Score` with whose it is: the source's number in the mixture or 0, its label, and what the solver was told."""

    source: int
    label: str
    told: str
    present: bool
    level: float | None
    si_sdr: float | None
    si_sdr_improvement: float | None
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
    sources: list[Scored]
    seconds: float
    evaluations: int
    gradients: int
    threads: int
    prior_files: list[dict[str, str]]
    versions: dict[str, str]
