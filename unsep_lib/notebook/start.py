"""What every notebook begins with: its profile, the versions, and a folder for what it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unsep_lib.audio import SAMPLE_RATE, write_audio
from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.embedded import REPOSITORY, embedded_clips
from unsep_lib.files import atomic_path, write_json
from unsep_lib.notebook.profiles import Profile, load_profile
from unsep_lib.versions import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUT_VARIABLE = "UNSEP_OUT"
HEADLINE = "headline.json"
UNHELD = ("smoke",)  # profiles whose runs are too short for what the text says


@dataclass(frozen=True)
class Notebook:
    """A running notebook: its name, profile and output folder."""

    name: str
    profile: Profile
    root: Path

    def path(self, filename: str) -> Path:
        """Where this notebook keeps a file."""
        return self.root / "artefacts" / self.name / filename

    def save_results(self, results: list[dict[str, object]]) -> None:
        """Write results.json: rows of name, value, unit, low, high, command for the report.

        A row whose number another run may miss by more than its unit's usual tolerance has a `tolerance` as well.
        """
        expected = ["name", "value", "unit", "low", "high", "command"]
        for row in results:
            if [key for key in row if key != "tolerance"] != expected:
                raise ValueError(f"expected the keys {', '.join(expected)}, got {', '.join(row)}")
        write_json(self.path("results.json"), results)

    def save_headline(self, sentence: str, figure: str, sounds: dict[str, str]) -> None:
        """Write headline.json: what the report begins with, a sentence, a saved figure and caption → saved tracks."""
        write_json(self.path(HEADLINE), {"sentence": sentence, "figure": figure, "sounds": sounds})

    def holds(self, sentence: str, true: bool) -> None:
        """Print a sentence that follows from this run's numbers.

        A profile of too few steps for sentences, smoke, only prints whether it holds.

        Raises:
            AssertionError: it does not hold.
        """
        print(f"{sentence}: {true}")
        if not true and self.profile.name not in UNHELD:
            raise AssertionError(f"{self.name}: expected this run's numbers to say that {sentence}")

    def save_audio(self, filename: str, samples: torch.Tensor, sample_rate: int = SAMPLE_RATE) -> None:
        """Write a track that the report plays."""
        write_audio(self.path(filename), samples, sample_rate)

    def save_figure(self, filename: str, figure: Figure) -> None:
        """Write a figure that the report shows, with the alternative text that `described` gave it as its title.

        Raises:
            ValueError: the figure was not described.
        """
        if not figure.get_label():
            raise ValueError(f"{filename}: expected a figure that `described` was called on, got one without alt text")
        with atomic_path(self.path(filename)) as temporary:
            figure.savefig(temporary, format="svg", bbox_inches="tight", metadata={"Title": figure.get_label()})

    def require(self, notebook: str, filename: str) -> Path:
        """A file that an earlier notebook makes.

        Raises:
            ValueError: it is not there; the message names the notebook and the command that runs it.
        """
        path = self.root / "artefacts" / notebook / filename
        if not path.is_file():
            raise ValueError(
                f"{self.name} needs {filename} from {notebook}: run notebooks/{notebook}.ipynb first, "
                f"or `make reproduce PROFILE={self.profile.name}`"
            )
        return path


def start(name: str, profile: str = "") -> Notebook:
    """Begin a notebook: print versions and profile, fix the seed of torch's global generator."""
    chosen = load_profile(profile)
    root = Path(os.environ.get(OUT_VARIABLE) or REPOSITORY / "out" / chosen.name)
    torch.manual_seed(0)
    print(", ".join(f"{package} {number}" for package, number in versions().items()))
    print(f"profile {chosen.name}, device {chosen.device}, {torch.get_num_threads()} threads")
    return Notebook(name, chosen, root.resolve())


def training_clips(profile: Profile, kind: str) -> list[Clip]:
    """The clips that a notebook trains a "speech" or "sound" prior on: the profile's manifest, else the embedded ones.

    Raises:
        ValueError: another kind, or a manifest that is missing or damaged.
    """
    manifests = {"speech": profile.speech_data, "sound": profile.sound_data}
    if kind not in manifests:
        raise ValueError(f"expected one of {', '.join(manifests)}, got {kind!r}")
    if manifests[kind]:
        return read_manifest(manifests[kind])
    return [clip for clip in embedded_clips() if bool(clip.label) == (kind == "sound")]
