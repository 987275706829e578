import os
import random
import signal

import numpy
import pytest
import torch
from command_line import noise, write
from filelock import FileLock

from unsep_lib.__main__ import main
from unsep_lib.networks.unet import CompactConfig, CompactNetwork
from unsep_lib.priors.checkpoints import save_prior
from unsep_lib.priors.edm import EdmPrior

# A suite in the background is begun without these, and what it starts would not hear them either.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

BINS = 256
TINY = {"widths": (8, 8), "blocks": (1, 1), "heads": 2, "embedding": 16}


@pytest.fixture(autouse=True)
def seeded():
    """Begin every test with the generators at one seed, UNSEP_TEST_SEED or 0, so that none depends on those before."""
    seed = int(os.environ.get("UNSEP_TEST_SEED", "0"))
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture(scope="session")
def tiny_prior():
    """tiny_prior(seed, labels): a very small untrained prior whose answers depend on its seed."""

    def make(seed=0, labels=()):
        torch.manual_seed(seed)
        network = CompactNetwork(CompactConfig(labels=len(labels), **TINY))
        with torch.no_grad():
            network.output.weight.normal_(std=0.05)
        return EdmPrior(network, 0.1 * torch.rand(BINS), labels).eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The rendered course, in a folder that all processes of this run share: the first that asks for it writes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "a book"
    with FileLock(f"{folder}.lock"):
        if not (folder / "index.html").is_file():
            assert main(["course", "--book", str(folder)]) == 0
    return folder


@pytest.fixture
def home(tmp_path, tiny_prior, monkeypatch):
    """A user's folder that holds the tiny priors `speech` and `sound` (labels Cello and Flute)."""
    folder = tmp_path / "home"
    monkeypatch.setenv("UNSEP_HOME", str(folder))
    monkeypatch.setattr("unsep_lib.priors.checkpoints.PRETRAINED", tmp_path / "nothing is shipped")
    save_prior(folder / "priors" / "speech.safetensors", tiny_prior(1), {"name": "speech", "hours": 0.5})
    save_prior(folder / "priors" / "sound.safetensors", tiny_prior(2, ["Cello", "Flute"]), {"name": "sound"})
    return folder


@pytest.fixture
def one_thread():
    """Compute with one thread, as processes that read ahead do: on some processors more change the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mixture(tmp_path):
    return write(tmp_path / "in" / "mix.wav", noise(2, 5001).numpy())
