"""Running `unsep` on small files, for tests."""

import soundfile
import torch

from unsep_lib.__main__ import main

RATE = 22_050
FAST = ["--solver", "projection", "--steps", "1"]


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T if samples.ndim == 2 else samples, rate, subtype="FLOAT")
    return path


def read(path):
    samples, rate = soundfile.read(path, always_2d=True)
    assert rate == RATE
    return samples.T


def separated(mixture, out, *sources):
    arguments = ["separate", str(mixture), "--out", str(out), *FAST]
    for source in sources:
        arguments += ["--source", source]
    return main(arguments)


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def names(folder):
    return {path.name for path in folder.iterdir()}


def one_sentence(capsys):
    error = capsys.readouterr().err
    assert error.startswith("unsep: error: ")
    assert error.count("\n") == 1 and error.endswith("\n")
    return error
