"""Bytes of good files changed at random: each is read, or refused with a ValueError that names the file."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardening.audio_faults import recorded
from hardening.cases import PASSED
from hardening.file_faults import experiment, manifest, profile
from hardening.weight_faults import prior, released
from unsep_lib.audio import read_audio
from unsep_lib.data.clips import read_manifest
from unsep_lib.experiments import load_experiment
from unsep_lib.notebook.profiles import load_profile
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.priors.released import read_released

FEW, MANY = 25, 2000
FILES = {
    "read_audio": (lambda folder: recorded(folder, subtype="PCM_16"), read_audio),
    "read_audio of FLAC": (lambda folder: recorded(folder, name="a.flac", subtype="PCM_16"), read_audio),
    "load_prior": (prior, load_prior),
    "read_manifest": (manifest, read_manifest),
    "load_profile": (profile, lambda path: load_profile(str(path))),
    "load_experiment": (lambda folder: experiment(folder, mixtures="mixtures"), load_experiment),
    "read_released": (lambda folder: released(folder, {"ema": {"x": torch.ones(3)}}), read_released),
}
KINDS = ("flip", "cut", "drop", "repeat", "insert")
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(KINDS), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)  # fmt: skip


def mutated(content, changes):
    """`content` with bytes changed, cut off, left out, repeated or inserted; squared places prefer its head."""
    for where, what, data in changes:
        start = round(where**2 * len(content))
        head, tail = content[:start], content[start:]
        if what == "flip":
            content = head + data + tail[len(data) :]
        elif what == "cut":
            content = head
        elif what == "drop":
            content = head + tail[len(data) :]
        elif what == "repeat":
            content = head + tail[: len(data) ** 3] + tail
        else:
            content = head + data + tail
    return content


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", FILES)
def test_changed_bytes_are_read_or_refused(name, examples, tmp_path, count):
    make, read = FILES[name]
    good = make(tmp_path)
    content = good.read_bytes()
    changed = tmp_path / f"changed{good.suffix}"

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(CHANGES)
    def holds(changes):
        changed.write_bytes(mutated(content, changes))
        try:
            read(changed)
        except ValueError as error:
            assert str(changed) in str(error)

    def judged():
        read(good) if name != "read_released" else None
        holds()
        return PASSED

    count("changed bytes", name, f"{examples} files", judged)
