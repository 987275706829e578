"""Priors of one's own by name: a format that is registered, and `module:name` in place of a file."""

import json

import pytest
import torch

from unsep_lib import load_prior, separate, separate_file
from unsep_lib.__main__ import main
from unsep_lib.priors import checkpoints
from unsep_lib.priors.base import Prior
from unsep_lib.priors.checkpoints import LOADERS, register_format, save_weights

RATE = 16_000
FAST = {"solver": "projection", "steps": 2}
CARD = {"format": "test-shrink-1", "labels": ["soft", "hard"], "network": {}, "parameters": 1}


class Shrink(Prior):
    """`D(x, σ) = s x/(s + σ²)`, s another number for each label."""

    sigma_min, sigma_max = 0.0, 10.0

    def __init__(self, labels, variance):
        self.labels, self.variance, self.index = tuple(labels), variance, 0

    def conditioned(self, index, example):
        changed = Shrink(self.labels, self.variance)
        changed.index = 0 if index is None else index
        return changed

    def denoise(self, noisy, sigma):
        return noisy * self.variance[self.index] / (self.variance[self.index] + sigma**2)


def read_shrink(card, tensors):
    return Shrink(card["labels"], tensors["variance"])


@pytest.fixture
def formats(monkeypatch):
    monkeypatch.setattr(checkpoints, "LOADERS", dict(LOADERS))


@pytest.fixture
def shrink(home, formats):
    """The file of a prior of a format that is not registered yet, found by the name `shrink`."""
    network = torch.nn.Module()
    network.register_buffer("variance", torch.tensor([0.01, 0.04]))
    save_weights(home / "priors" / "shrink.safetensors", network, CARD)
    return home / "priors" / "shrink.safetensors"


@pytest.fixture
def mixture():
    return 0.1 * torch.randn(RATE // 2, generator=torch.Generator().manual_seed(0))


def test_a_registered_format_loads_by_name_and_separates(shrink, mixture):
    with pytest.raises(ValueError, match=r"expected a prior of format .*, got 'test-shrink-1'"):
        load_prior("shrink")
    register_format("test-shrink-1", read_shrink)
    noisy = torch.ones(1, 5)
    torch.testing.assert_close(load_prior("shrink").denoise(noisy, 0.1), noisy * 0.01 / 0.02)
    torch.testing.assert_close(load_prior(shrink).with_condition(label="hard").denoise(noisy, 0.1), noisy * 0.04 / 0.05)
    found = separate(mixture, ["shrink:hard", "speech"], RATE, **FAST)
    assert list(found) == ["shrink_hard", "speech"]
    torch.testing.assert_close(sum(found.values()) + found.residual, mixture[None], atol=1e-6, rtol=0)


def test_a_format_has_one_loader(formats):
    register_format("test-shrink-1", read_shrink)
    register_format("test-shrink-1", read_shrink)
    for name in ("test-shrink-1", checkpoints.FORMAT):
        with pytest.raises(ValueError, match=f"expected a format that no other loader reads, got '{name}'"):
            register_format(name, lambda card, tensors: None)


def test_what_a_loader_finds_wrong_is_one_sentence_with_the_file(shrink):
    register_format("test-shrink-1", lambda card, tensors: read_shrink(card, {"variance": tensors["mean"]}))
    with pytest.raises(ValueError, match=r"shrink\.safetensors: the weights do not fit their card \('mean'\)"):
        load_prior("shrink")


OWN = """
from unsep_lib.priors.base import GaussianPrior, Prior

class Half(Prior):
    sigma_min, sigma_max = 0.0, 10.0
    labels = ()
    def denoise(self, noisy, sigma):
        return noisy / 2

half = Half()
def make():
    return Half()
def of_two(a, b):
    return Half()
nothing = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_priors_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_priors_of_a_test"


@pytest.mark.parametrize("name", ["half", "make"])
def test_a_prior_of_ones_own_stands_where_a_file_is_named(name, own, home, mixture, tmp_path):
    found = separate(mixture, ["mine", "speech"], RATE, prior={"mine": f"{own}:{name}"}, **FAST)
    again = separate(mixture, [load_prior(f"{own}:{name}"), "speech"], RATE, **FAST)
    assert list(found) == ["mine", "speech"] and torch.equal(found.sources, again.sources)
    found.save(tmp_path / "mix")
    words = ["--source", "mine", "--source", "speech", "--prior", f"mine={own}:{name}", "--solver", "projection"]
    recording = str(tmp_path / "mix" / "mine.wav")
    assert main(["separate", recording, *words, "--steps", "2", "--out", str(tmp_path / "out")]) == 0
    by_call = separate_file(recording, ["mine", "speech"], tmp_path / "call", prior={"mine": f"{own}:{name}"}, **FAST)
    assert [path.read_bytes() for path in by_call] == [(tmp_path / "out" / path.name).read_bytes() for path in by_call]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sources"] == ["mine", "speech"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere_at_all:half", "expected a prior at 'nowhere_at_all:half', found none"),
        ("own_priors_of_a_test:missing", "expected a prior at 'own_priors_of_a_test:missing', found none"),
        ("own_priors_of_a_test:of_two", "expected a prior or a function of no arguments at"),
        ("own_priors_of_a_test:nothing", "expected a prior at 'own_priors_of_a_test:nothing', got int"),
    ],
)
def test_what_is_no_prior_is_refused_in_one_sentence(name, sentence, own):
    with pytest.raises(ValueError, match=sentence):
        load_prior(name)
