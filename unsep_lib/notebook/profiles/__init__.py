"""Profiles: how large everything runs, one TOML file each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, StrictInt, StrictStr
from pydantic.dataclasses import dataclass

from unsep_lib.settings import located, located_weights, read_toml

DEFAULT_PROFILE = "tutorial"
PROFILE_VARIABLE = "UNSEP_PROFILE"
PROFILES = Path(__file__).parent
MOST = 10**9  # of anything that is counted
Count = Annotated[StrictInt, Field(gt=0, le=MOST)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Sizes:
    """What a profile's file says.

    train_steps: of a notebook's own prior; mixtures_per_task and seeds: of the experiments; solver: what separates
    all five tasks; steps: noise levels by solver, the solver's own number where it is not named; truth_seeds: samples
    whose moments are compared with a Gaussian posterior's; speech_prior, sound_prior: names or files; device: where to
    compute; speech_data, sound_data: manifests to train on, empty for the embedded clips.
    """

    train_steps: Count
    mixtures_per_task: Count
    seeds: Count
    solver: StrictStr
    steps: dict[StrictStr, Count]
    truth_seeds: Count
    speech_prior: StrictStr
    sound_prior: StrictStr
    device: StrictStr
    speech_data: StrictStr
    sound_data: StrictStr

    def __post_init__(self) -> None:
        from unsep_lib.solvers import solver_named  # torch, which the page's server does without

        for name in (self.solver, *self.steps):
            solver_named(name)


@dataclass(frozen=True)
class Profile(Sizes):
    """Sizes of the notebooks' work, and the profile's name."""

    name: str

    def steps_of(self, solver: str) -> int:
        """Noise levels that `solver` goes through.

        Raises:
            ValueError: unknown solver.
        """
        from unsep_lib.solvers import solver_named

        return self.steps.get(solver) or solver_named(solver).steps


def profile_names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def profile_path(name: str = "") -> Path:
    """The file of a profile by name or TOML file; without a name `$UNSEP_PROFILE`, else tutorial.

    Raises:
        ValueError: unknown profile.
    """
    name = name or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    path = Path(located(name)) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"unknown profile {name!r}: known are {', '.join(profile_names())}, or give a .toml file")
    return path


def load_profile(name: str = "") -> Profile:
    """Read a profile (see `profile_path`); the files that it names are looked for beside it, here and in the clone.

    Raises:
        ValueError: unknown profile, or a key that is unknown, missing, of the wrong type or impossible, named.
    """
    path = profile_path(name)
    sizes, folder = read_toml(path, Sizes), path.resolve().parent
    files = {
        "speech_prior": located_weights(sizes.speech_prior, folder),
        "sound_prior": located_weights(sizes.sound_prior, folder),
        "speech_data": located(sizes.speech_data, folder),
        "sound_data": located(sizes.sound_data, folder),
    }
    return Profile(**(vars(sizes) | files), name=path.stem)
