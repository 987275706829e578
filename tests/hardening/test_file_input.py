"""Priors, profiles, experiments, manifests, mixtures and checkpoints at every entry that takes one."""

import functools
from pathlib import Path

import pytest

from hardening.cases import Entry, command, crossed, identified, judge
from hardening.file_faults import EXPERIMENTS, MANIFESTS, MIXTURES, PROFILES, manifest, mixture
from hardening.weight_faults import PRIORS, RELEASED
from unsep_lib.data.clips import read_manifest
from unsep_lib.data.mixtures import read_mixtures
from unsep_lib.networks.unet import CompactConfig
from unsep_lib.notebook.profiles import load_profile
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.training import TrainingConfig

FAST = ("--solver", "projection", "--steps", "1")
EVIL = Path("/tmp/unsep-this-must-not-exist")


class Here:
    """An executor that computes in this process: what is tested is what it is given and what becomes of it."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def submit(self, function, row):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(row))
        return future


@pytest.fixture(autouse=True)
def small(monkeypatch):
    config = functools.partial(TrainingConfig, batch=2, crop_seconds=0.1)
    monkeypatch.setattr("unsep_lib.training.by_name.TrainingConfig", config)
    tiny = functools.partial(CompactConfig, widths=(8, 8), blocks=(1, 1), heads=2, embedding=16)
    monkeypatch.setattr("unsep_lib.training.state.CompactConfig", tiny)
    monkeypatch.setattr("unsep_lib.training.state.SPECTRUM_CROPS", 8)
    monkeypatch.setattr("unsep_lib.experiments.process_executor", lambda workers: Here())


def mixed(place):
    return mixture(place.root / "in") / "mix.wav"


def separate_with(place, file):
    return command("separate", mixed(place), "--source=speech", f"--prior=speech={file}", f"--out={place.out}", *FAST)


def train_from(place, file):
    clips = manifest(place.root / "in")
    return command("train", "mine", "--data", clips, "--steps=1", f"--from={file}", f"--out={place.out}")


def evaluate_profile(place, file):
    return command("evaluate", "--mixtures", mixed(place).parent.parent, f"--profile={file}",
                   f"--json={place.out / 'scores.json'}")  # fmt: skip


def reproduce(place, file):
    return command("reproduce", f"--profile={file}", f"--out={place.out}")


def experiment(place, file):
    return command("experiment", "--out", place.out, "--", file)


def train(place, file):
    return command("train", "mine", "--data", file, "--steps=1", f"--out={place.out}")


def mix(place, file):
    return command("data", "mix", "--task=2speakers", "--count=1", "--split=train", "--workers=1",
                   f"--out={place.out}", "--speech", file)  # fmt: skip


def evaluate(place, folder):
    return command("evaluate", "--mixtures", folder, "--json", place.out / "scores.json", *FAST)


def evaluate_oracle(place, folder):
    from unsep_lib.evaluation.evaluate import evaluate, oracle

    evaluate(folder, oracle)


def evaluate_part(place, folder):
    return command("evaluate", "--mixtures", folder, "--only=a_", "--part=1/1", "--json", place.out / "a.json", *FAST)


def bench_hours(place, folder):
    return command("bench", "hours", "--mixtures", folder, "--steps=1", "--width=8")


def sweep(place, folder):
    config = place.root / "in" / "own.toml"
    config.write_text(
        f'mixtures = "{folder}"\nseeds = [0]\nsolvers = [{{ name = "oracle-ratio-mask" }}, {{ name = "mixture" }}]\n'
    )
    return command("experiment", config, "--out", place.out)


def import_released(place, file):
    return command("checkpoint", "import", file, "--name=paper")


def function(read):
    """An entry of Python's that takes a path."""

    def use(place, file):
        read(file)

    return use


OF_ONE = ("an empty one", "one without a label", "one of 17 sources", "one of an unknown prior")  # which is not chosen
NO_PRIORS = dict.fromkeys(
    ("label unknown", "prior unknown", "too many sources", "one of 17 sources", "one of an unknown prior"), ""
)
LOST = dict.fromkeys(("file empty", "file gone"), "")
TABLES = {
    "prior": (
        (
            Entry("separate --prior", separate_with),
            Entry("train --from", train_from),
            Entry("load_prior", function(load_prior), makes=False),
        ),
        PRIORS,
    ),
    "profile": (
        (
            Entry("evaluate --profile", evaluate_profile),
            Entry("load_profile", function(lambda file: load_profile(str(file))), makes=False),
            Entry("reproduce --profile", reproduce, only=tuple(fault.name for fault in PROFILES if fault.says)),
        ),
        PROFILES,
    ),
    "experiment": (
        (Entry("experiment", experiment),),
        EXPERIMENTS,
    ),
    "manifest": (
        (
            Entry("train --data", train, {"file empty": "no usable crop", "file gone": "no usable crop"}),
            Entry("data mix --speech", mix),
            Entry("read_manifest", function(read_manifest), LOST | {"empty": ""}, makes=False),
        ),
        MANIFESTS,
    ),
    "mixtures": (
        (
            Entry("evaluate", evaluate),
            Entry("evaluate --only", evaluate_part, dict.fromkeys(OF_ONE, "")),
            Entry("evaluate()", evaluate_oracle, NO_PRIORS, makes=False),
            Entry("bench hours", bench_hours, NO_PRIORS, makes=False),
            Entry("experiment", sweep, NO_PRIORS),
            Entry("read_mixtures", function(read_mixtures), NO_PRIORS, makes=False),
        ),
        MIXTURES,
    ),
    "checkpoint": ((Entry("checkpoint import", import_released, makes=False),), RELEASED),
}


def cases():
    for table, (entries, faults) in TABLES.items():
        for entry, fault in crossed(entries, faults):
            yield pytest.param(table, entry, fault, id=f"{identified(entry)}-{identified(fault)}")


@pytest.mark.parametrize(("table", "entry", "fault"), cases())
def test_a_file(table, entry, fault, place, capsys, count):
    count(table, entry.name, fault.name, lambda: judge(entry, fault, place, capsys))
    assert not EVIL.exists()
