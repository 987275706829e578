"""Recordings at every entry that takes one."""

import functools
import json
import shutil
from importlib.util import find_spec

import pytest

from hardening.audio_faults import AUDIO, BROKEN, RATE, SAMPLES
from hardening.cases import Entry, command, crossed, identified, judge
from unsep_lib.audio import read_audio
from unsep_lib.networks.unet import CompactConfig
from unsep_lib.training import TrainingConfig

FAST = ("--solver", "projection", "--steps", "1")
PLAIN = ("silence", "DC", "one sample", "8 channels", "float64", "44101 Hz")
BROKEN_NAMES = tuple(fault.name for fault in BROKEN)
SKIPPED = "could be used"


def separate(place, file):
    return command("separate", "--source=speech", "--source=sound:Cello", f"--out={place.out}", *FAST, "--", file)


def read(place, file):
    audio = read_audio(file)
    assert audio.samples.isfinite().all() and audio.samples.numel()


def evaluate(place, file):
    folder = place.root / "in" / "mixtures" / "a"
    folder.mkdir(parents=True)
    suffix = ".flac" if file.suffix == ".flac" else ".wav"
    if file.is_file():
        shutil.copyfile(file, folder / f"mix{suffix}")
        shutil.copyfile(file, folder / f"source_1{suffix}")
    (folder / "labels.txt").write_text("speech\n")
    return command("evaluate", "--mixtures", folder.parent, "--json", place.out / "scores.json", *FAST)


def prepare(place, file):
    return command("data", "prepare", "--workers=1", f"--out={place.out / 'm.jsonl'}", "--", file.parent)


def manifest_of(file):
    """A manifest that promises a tenth of a second of a voice."""
    row = {"corpus": "c", "file": str(file), "sha256": "", "label": "", "split": "train", "sample_rate": RATE}
    path = file.parent / "m.jsonl"
    path.write_text(json.dumps(row | {"frames": SAMPLES, "spans": [[0.0, 0.1]]}) + "\n")
    return path


def train(place, file):
    return command("train", "mine", "--data", manifest_of(file), "--steps", "1", "--out", place.out)


def mix(place, file):
    manifest = manifest_of(file)
    other = (
        manifest.read_text().replace('"file": "', '"file": "/dev/shm/none').replace('"corpus": "c"', '"corpus": "d"')
    )
    manifest.write_text(manifest.read_text() + other)
    return command("data", "mix", "--task=2speakers", "--count=1", "--split=train", "--workers=1",
                   f"--out={place.out}", "--speech", manifest)  # fmt: skip


NO_FILE = ("missing", "a folder", "a pipe", "a link to itself")
SILENT = dict.fromkeys(("silence", "subnormal"), "the recording is silent")
UPLOAD = dict.fromkeys((*NO_FILE, "empty"), "the file is empty") | {"8 channels": "expected mono or stereo"} | SILENT
UPLOAD |= dict.fromkeys(("rate 1", "claims 2³⁵ samples"), "expected at most 60 seconds")


def upload(place, file):
    from unsep_lib.app.recordings import read_upload

    audio = read_upload(file.name, file.read_bytes() if file.is_file() else b"").audio
    assert audio.samples.isfinite().all() and audio.samples.numel()


ENTRIES = (
    Entry("separate", separate, instead={"a folder": "the folder holds no recordings"}),
    Entry("read_audio", read, makes=False),
    Entry(
        "evaluate",
        evaluate,
        dict.fromkeys(NO_FILE, "expected a mix.wav") | {"silence": "audible reference"},
        (*BROKEN_NAMES, *PLAIN, *(f"{rate} Hz" for rate in (8_000, 192_000))),
    ),
    Entry(
        "data prepare",
        prepare,
        dict.fromkeys(NO_FILE, "no audio files found")
        | dict.fromkeys(BROKEN_NAMES[4:], SKIPPED)
        | dict.fromkeys(("M4A", "name: no suffix but one"), "no audio files found")
        | dict.fromkeys(("silence", "subnormal"), SKIPPED),
    ),
    Entry("train", train, dict.fromkeys((*BROKEN_NAMES, "silence"), "no usable crop"), (*BROKEN_NAMES, *PLAIN)),
    Entry("data mix", mix, {"half a FLAC": "no such audio file"}, BROKEN_NAMES),
    *([Entry("app upload", upload, UPLOAD, makes=False)] if find_spec("unsep_lib.app") else []),
)


@pytest.fixture(autouse=True)
def small_training(monkeypatch):
    config = functools.partial(TrainingConfig, batch=2, crop_seconds=0.1)
    monkeypatch.setattr("unsep_lib.training.by_name.TrainingConfig", config)
    tiny = functools.partial(CompactConfig, widths=(8, 8), blocks=(1, 1), heads=2, embedding=16)
    monkeypatch.setattr("unsep_lib.training.state.CompactConfig", tiny)
    monkeypatch.setattr("unsep_lib.training.state.SPECTRUM_CROPS", 8)


@pytest.mark.parametrize(("entry", "fault"), crossed(ENTRIES, AUDIO), ids=identified)
def test_a_recording(entry, fault, place, capsys, count):
    count("recording", entry.name, fault.name, lambda: judge(entry, fault, place, capsys))
