"""The hash of an imported file is pinned at first sight."""

import hashlib
import json

import pytest
import torch

from unsep_lib.__main__ import main
from unsep_lib.bench.tf_reference import TfReferenceNetwork
from unsep_lib.networks.tf_config import TfConfig, formula_state


@pytest.fixture(scope="module")
def state():
    return formula_state(TfReferenceNetwork(TfConfig(width=8, embedding=16)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def released(folder, state, shift=0.0):
    """speech_source.pt as the authors release it, other bytes for another shift."""
    folder.mkdir(exist_ok=True)
    torch.save({"ema": {name: tensor + shift for name, tensor in state.items()}}, folder / "speech_source.pt")
    return folder / "speech_source.pt"


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def imported(path, *options):
    return main(["checkpoint", "import", str(path), "--name", "paper-speech", *options])


def test_another_file_of_a_known_name_is_refused_until_it_is_accepted(home, state, tmp_path, capsys):
    first, second = released(tmp_path / "a", state), released(tmp_path / "b", state, shift=1.0)
    prior = home / "priors" / "paper-speech.safetensors"
    assert imported(first) == 0
    before = prior.read_bytes()
    assert imported(second) == 2
    message = capsys.readouterr().err
    assert f"expected sha256 {hash_of(first)}" in message and f"got {hash_of(second)}" in message
    assert "--accept-new-hash" in message and message.count("\n") == 1
    assert prior.read_bytes() == before

    assert imported(second, "--accept-new-hash") == 0
    assert prior.read_bytes() != before
    assert imported(second) == 0
    assert imported(first) == 2


def test_the_same_bytes_are_welcome_again_and_other_names_have_their_own_pin(home, state, tmp_path):
    first, other = released(tmp_path / "a", state), released(tmp_path / "b", state, shift=1.0)
    assert imported(first) == imported(first) == 0
    renamed = other.rename(other.with_name("mine.pt"))
    assert imported(renamed) == 0
    pins = json.loads((home / "imported_sha256.json").read_text())
    assert pins == {"speech_source.pt": hash_of(first), "mine.pt": hash_of(renamed)}


def test_a_file_that_could_not_be_imported_is_not_pinned(home, state, tmp_path):
    damaged = released(tmp_path / "a", state)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    assert imported(damaged) == 2
    assert not home.exists()
    assert imported(released(tmp_path / "a", state)) == 0


@pytest.mark.parametrize(("content", "reason"), [("{", "not readable as JSON"), ("[1]", "expected an object")])
def test_damaged_pins_are_reported_not_forgotten(home, state, tmp_path, content, reason, capsys):
    home.mkdir()
    (home / "imported_sha256.json").write_text(content)
    for options in ([], ["--accept-new-hash"]):
        assert imported(released(tmp_path / "a", state), *options) == 2
    assert reason in capsys.readouterr().err
    assert (home / "imported_sha256.json").read_text() == content
    assert not (home / "priors").exists()
