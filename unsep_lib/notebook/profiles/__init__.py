"""Profiles: how large everything runs, one TOML file each."""

from __future__ import annotations

import math
import os
import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

DEFAULT_PROFILE = "tutorial"
PROFILE_VARIABLE = "UNSEP_PROFILE"
PAPER_SOLVERS = ("hybrid", "hybrid-tuned", "dsg", "dps", "cqt-diff", "undiff")
TYPES = {"str": str, "int": int, "float": float}


@dataclass(frozen=True)
class Profile:
    """Sizes of the notebooks' work.

    train_minutes: of a notebook's own prior; mixtures_per_task and seeds: of the experiments; solver: what separates
    all five tasks; solver_steps: of a guided solver; projection_steps: of a projection; sample_steps: of a single
    sample; truth_seeds: samples whose moments are compared with a Gaussian posterior's; speech_prior, sound_prior:
    names or files; device: where to compute; speech_data, sound_data: manifests to train on, empty for the embedded
    clips.
    """

    name: str
    train_minutes: float
    mixtures_per_task: int
    seeds: int
    solver: str
    solver_steps: int
    projection_steps: int
    sample_steps: int
    truth_seeds: int
    speech_prior: str
    sound_prior: str
    device: str
    speech_data: str
    sound_data: str

    def steps_of(self, solver: str) -> int:
        """Noise levels that `solver` goes through: more on the paper's schedule than on any other."""
        return self.solver_steps if solver in PAPER_SOLVERS else self.projection_steps


def profile_names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def load_profile(name: str = "") -> Profile:
    """Read a profile by name or TOML file; without a name `$UNSEP_PROFILE`, else tutorial.

    Raises:
        ValueError: unknown profile, or a key that is unknown, missing, of the wrong type or impossible, named.
    """
    name = name or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    path = Path(name) if name.endswith(".toml") else Path(__file__).parent / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"unknown profile {name!r}: known are {', '.join(profile_names())}, or give a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from error
    return Profile(name=path.stem, **_checked(path, table))


def _checked(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    expected = {field.name: TYPES[str(field.type)] for field in fields(Profile) if field.name != "name"}
    for key in table:
        if key not in expected:
            raise ValueError(f"{path}: unknown key {key!r}: known are {', '.join(expected)}")
    for key, kind in expected.items():
        if key not in table:
            raise ValueError(f"{path}: the key {key!r} is missing")
        value = table[key]
        if kind is float and type(value) is int and value < sys.float_info.max:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(f"{path}: expected {kind.__name__} for {key!r}, got {value!r}")
        if isinstance(value, int | float) and not 0 < value < math.inf:
            raise ValueError(f"{path}: expected {key!r} above 0 and finite, got {value}")
        table[key] = value
    return table
