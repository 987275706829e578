"""The commands that write, each on small input, for kills, locks, full disks and folders that cannot be written."""

from __future__ import annotations

import json

import numpy
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hardening.audio_faults import RATE, tone
from hardening.file_faults import experiment, manifest, mixture

FAST = ("--solver", "projection", "--steps", "1")
VOICES, WINDOWS = 12, 9.0  # clips; seconds, more than one window of 8
VARYING = frozenset({"seconds", "hours", "seconds_per_mixture", "peak_memory_mb", "memory_mb", "digest", "modified"})


def make_input(folder):
    """Everything that the commands read, below `folder`."""
    mixture(folder)
    manifest(folder)
    experiment(folder, mixtures=folder / "mixtures", seeds="[0, 1]")
    generator = numpy.random.default_rng(0)
    soundfile.write(folder / "long.wav", 0.1 * generator.standard_normal(round(WINDOWS * RATE)), RATE)
    (folder / "voices").mkdir()
    for number in range(VOICES):
        soundfile.write(folder / "voices" / f"{number}.wav", (1 - number / 20) * tone(), RATE)


def separate(folder, out):
    return ["separate", folder / "long.wav", "--source=speech", "--source=speech", f"--out={out}", *FAST]


def train(folder, out):
    return ["train", "mine", "--data", folder / "m.jsonl", "--steps=3", f"--out={out}"]


def run_experiment(folder, out):
    return ["experiment", folder / "own.toml", f"--out={out}"]


def prepare(folder, out):
    return ["data", "prepare", folder / "voices", f"--out={out / 'm.jsonl'}", "--workers=1", f"--page={out / 'page'}"]


def mix(folder, out):
    return ["data", "mix", "--task=2speakers", "--count=3", "--split=train", "--workers=1", f"--out={out}",
            "--speech", folder / "m.jsonl"]  # fmt: skip


def evaluate(folder, out):
    return ["evaluate", "--mixtures", folder / "mixtures", f"--json={out / 'scores.json'}", *FAST]


def reproduce(folder, out):
    return ["reproduce", "--profile=smoke", f"--out={out}"]


COMMANDS = {
    "separate": separate,
    "train": train,
    "experiment": run_experiment,
    "data prepare": prepare,
    "data mix": mix,
}
ALL = COMMANDS | {"evaluate": evaluate, "reproduce": reproduce}


def words(name, folder, out):
    """The command line of a command."""
    return [str(word) for word in ALL[name](folder, out)]


def without_timings(value):
    """`value` without what differs from run to run; tensors as bytes."""
    if isinstance(value, dict):
        return {key: without_timings(item) for key, item in value.items() if key not in VARYING}
    if isinstance(value, list | tuple):
        return [without_timings(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def cells(notebook):
    """Sources and printed text."""
    return [(cell["source"], [output.get("text") for output in cell.get("outputs", ())]) for cell in notebook["cells"]]


def content(path):
    """What a file says, but for timings."""
    if path.suffix == ".ipynb":
        return cells(json.loads(path.read_text()))
    if path.suffix == ".json":
        return without_timings(json.loads(path.read_text()))
    if path.suffix == ".csv":
        names, *rows = (line.split(",") for line in path.read_text().splitlines())
        return [[cell for name, cell in zip(names, row, strict=True) if name not in VARYING] for row in rows]
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as archive:
            return without_timings([json.loads(archive.metadata()["card"]), load_file(path)])
    if path.suffix == ".pt":
        return without_timings(torch.load(path, weights_only=True))
    if path.suffix in (".wav", ".flac"):
        return [part.tobytes() if hasattr(part, "tobytes") else part for part in soundfile.read(path)]
    return None if path.suffix == ".html" else path.read_bytes()


def contents(folder):
    """Relative path → content of every file, temporary ones and locks included."""
    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()}
