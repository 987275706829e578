import json

import pytest
import torch
from safetensors.torch import save_file

from unsep_lib.networks.unet import CompactConfig, CompactNetwork
from unsep_lib.priors.checkpoints import available_priors, card_of, find_prior, load_prior, save_prior
from unsep_lib.priors.edm import EdmPrior


@pytest.fixture
def prior():
    torch.manual_seed(0)
    network = CompactNetwork(CompactConfig(labels=2))
    with torch.no_grad():
        network.output.weight.normal_(std=0.1)
    return EdmPrior(network, torch.rand(256), ["a", "b"]).eval().requires_grad_(False)


def test_a_saved_prior_denoises_as_before(prior, tmp_path):
    save_prior(tmp_path / "mine.safetensors", prior, {"name": "mine", "hours": 0.5})
    loaded = load_prior(tmp_path / "mine.safetensors", precision=torch.float32)
    noisy = torch.randn(1, 3000)
    assert torch.equal(
        loaded.with_condition(label="b").denoise(noisy, 0.3), prior.with_condition(label="b").denoise(noisy, 0.3)
    )
    card = card_of(tmp_path / "mine.safetensors")
    assert (card["name"], card["hours"], card["labels"]) == ("mine", 0.5, ["a", "b"])
    assert card["parameters"] == sum(tensor.numel() for tensor in loaded.parameters())


def test_priors_in_the_users_folder_are_found_by_name(prior, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path))
    save_prior(tmp_path / "priors" / "mine.safetensors", prior, {"name": "mine"})
    assert find_prior("mine") == available_priors()["mine"] == tmp_path / "priors" / "mine.safetensors"
    with pytest.raises(ValueError, match=r"unknown prior 'none': known are .*mine"):
        find_prior("none")


def damaged_files(folder, prior):
    save_prior(folder / "good.safetensors", prior, {"name": "good"})
    content = (folder / "good.safetensors").read_bytes()
    yield "empty", b""
    yield "text", b"not a checkpoint at all"
    yield "truncated", content[: len(content) // 2]
    yield "giant header", (1 << 40).to_bytes(8, "little") + b"{}"


def test_damaged_files_are_refused_in_one_sentence(prior, tmp_path):
    for name, content in damaged_files(tmp_path, prior):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a prior saved by unsep"):
            load_prior(path)


def test_a_foreign_or_mismatched_file_is_refused(prior, tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="not a prior saved by unsep"):
        load_prior(tmp_path / "foreign.safetensors")
    save_prior(tmp_path / "good.safetensors", prior, {})
    card = card_of(tmp_path / "good.safetensors")
    save_file({"spectrum": torch.ones(256)}, tmp_path / "bare.safetensors", metadata={"card": json.dumps(card)})
    with pytest.raises(ValueError, match="do not fit their card"):
        load_prior(tmp_path / "bare.safetensors")
