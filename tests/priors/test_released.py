import hashlib
import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unsep_lib.__main__ import main
from unsep_lib.bench.tf_reference import TfReferenceNetwork
from unsep_lib.bench.timing import formula_state
from unsep_lib.networks.tf_config import TfConfig
from unsep_lib.priors.checkpoints import card_of, load_prior
from unsep_lib.priors.epsilon import SOUND_LABELS, EpsilonPrior
from unsep_lib.priors.paper_schedule import paper_sigma, signal_power
from unsep_lib.priors.released import import_released, read_released

SOUND = TfConfig(width=8, embedding=16, labels=50)


@pytest.fixture(scope="module")
def state():
    return {name: tensor.float() for name, tensor in formula_state(TfReferenceNetwork(SOUND)).items()}


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def released(state, tmp_path):
    """A file as the authors release them: a plain and an averaged state."""
    torch.save({"model": {name: 0 * tensor for name, tensor in state.items()}, "ema": state}, tmp_path / "sound.pt")
    return tmp_path / "sound.pt"


def saved(tmp_path, value):
    torch.save(value, tmp_path / "other.pt")
    return tmp_path / "other.pt"


def test_an_imported_prior_denoises_with_the_averaged_weights(released, state, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path))
    assert main(["checkpoint", "import", str(released), "--name", "authors"]) == 0
    path = tmp_path / "priors" / "authors.safetensors"
    assert str(path) in capsys.readouterr().out
    prior = load_prior("authors")
    assert isinstance(prior, EpsilonPrior) and prior.labels == SOUND_LABELS
    reference = TfReferenceNetwork(SOUND)
    reference.load_state_dict(state)
    noisy, power = 0.3 * torch.randn(1, 2000), signal_power(paper_sigma(100))
    for label, index in (("Cough", 22), (None, 50)):
        with torch.no_grad():
            epsilon = reference(power**0.5 * noisy, torch.tensor([500]), torch.tensor([index]))
        clean = noisy - ((1 - power) / power) ** 0.5 * epsilon
        torch.testing.assert_close(
            prior.with_condition(label=label).denoise(noisy, paper_sigma(100)), clean, rtol=1e-3, atol=1e-4
        )


def test_the_card_says_what_it_is_and_where_it_is_from(released, state, tmp_path):
    import_released(released, tmp_path / "sound.safetensors")
    card = card_of(tmp_path / "sound.safetensors")
    assert card == {
        "format": "unsep-tf-attention-1",
        "name": "sound",
        "network": {"width": 8, "embedding": 16, "heads": 4, "labels": 50},
        "labels": list(SOUND_LABELS),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "source": "sound.pt",
        "sha256": hashlib.sha256(released.read_bytes()).hexdigest(),
        "licence": "unresolved; not to be redistributed",
    }
    with safe_open(tmp_path / "sound.safetensors", framework="pt") as archive:
        assert set(archive.keys()) == set(state)


def test_a_prior_of_one_class_answers_without_a_label(tmp_path):
    state = formula_state(TfReferenceNetwork(TfConfig(width=8, embedding=16)))
    import_released(saved(tmp_path, {"ema": state}), tmp_path / "speech.safetensors")
    prior = load_prior(tmp_path / "speech.safetensors")
    assert (prior.labels, prior.label_index) == ((), 0)
    assert prior.denoise(torch.randn(1, 999), prior.sigma_max).dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in prior.parameters())


class Code:
    def __reduce__(self):
        return print, ("this must not run",)


def test_files_that_are_no_checkpoint_are_refused_in_one_sentence(released, tmp_path, capsys):
    content = released.read_bytes()
    for name, value, reason in (
        ("empty", b"", "damaged, or of another kind"),
        ("text", b"not a checkpoint at all", "damaged, or of another kind"),
        ("truncated", content[: len(content) // 2], "damaged, or of another kind"),
        ("code", pickle.dumps({"ema": Code()}, protocol=2), "could run code"),
        ("newer code", pickle.dumps({"ema": Code()}), "not a checkpoint that can be read safely"),
    ):
        (tmp_path / f"{name}.pt").write_bytes(value)
        assert main(["checkpoint", "import", str(tmp_path / f"{name}.pt"), "--name", "x"]) == 2
        output = capsys.readouterr()
        assert reason in output.err and output.err.count("\n") == 1
        assert "this must not run" not in output.out
    torch.save({"ema": Code()}, tmp_path / "zipped.pt")
    with pytest.raises(ValueError, match="could run code"):
        read_released(tmp_path / "zipped.pt")
    with pytest.raises(ValueError, match="no such file"):
        read_released(tmp_path)


def test_other_dictionaries_are_refused(tmp_path, state):
    for value, found in (({"model": state}, "model"), ({"ema": [1]}, "ema"), ([1], "none"), (torch.ones(1), "none")):
        with pytest.raises(ValueError, match=f"expected a dictionary with a state under 'ema', got {found}"):
            read_released(saved(tmp_path, value))


def test_weights_of_another_network_are_refused_naming_the_first_differences(tmp_path, state):
    table, bias = "y_embedder_1.embedding_table.weight", "out_conv.bias"
    rest = {name: tensor for name, tensor in state.items() if name != bias}
    for changed, message in (
        (rest, f"{bias}: expected 8, got none"),
        (rest | {bias: torch.ones(9)}, f"{bias}: expected 8, got 9"),
        (state | {"extra": torch.ones(2, 3)}, "1 of .* tensors differ: extra: expected none, got 2×3"),
        (rest | {bias: torch.full((8,), torch.nan)}, f"finite numbers under {bias}, got NaN"),
        (rest | {bias: torch.ones(8, dtype=torch.int64)}, "got NaN, infinity or torch.int64"),
        (rest | {bias: "eight"}, f"finite numbers under {bias}, got str"),
        (state | {table: torch.ones(3)}, f"expected {table} with 2 dimensions"),
        (state | {table: torch.ones(1, 16)}, "at least 2 rows"),
        (state | {"out_conv.weight": torch.ones(20, 20, 3, 3)}, "multiple of 8 for 4 heads, got 20"),
        ({}, f"expected a tensor {table}, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            read_released(saved(tmp_path, {"ema": changed}))
    with pytest.raises(ValueError, match="tensors differ") as caught:
        read_released(saved(tmp_path, {"ema": rest | {table: torch.ones(51, 17)}}))
    assert str(caught.value).count("expected") == 3


def test_a_refused_import_leaves_nothing_and_keeps_what_was_there(tmp_path):
    target = tmp_path / "speech.safetensors"
    target.write_bytes(b"before")
    with pytest.raises(ValueError, match="expected a dictionary"):
        import_released(saved(tmp_path, {}), target)
    assert target.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"speech.safetensors", "other.pt"}


@pytest.mark.parametrize("name", ["../evil", "a:b", "", "a/b"])
def test_names_that_no_source_could_have_are_refused(name, released, capsys):
    assert main(["checkpoint", "import", str(released), "--name", name]) == 2
    assert "expected a" in capsys.readouterr().err


def test_cards_and_weights_that_do_not_fit_are_refused(tmp_path):
    card = {"format": "unsep-tf-attention-1", "network": {"width": 8, "embedding": 16}, "labels": []}
    for changes, message in (
        ({}, "do not fit their card"),
        ({"network": {"height": 8}}, "do not fit their card"),
        (
            {"format": "unheard-of"},
            "expected a prior of format unsep-compact-1 or unsep-tf-attention-1, got 'unheard-of'",
        ),
    ):
        metadata = {"card": json.dumps(card | changes)}
        save_file({"out_conv.bias": torch.zeros(8)}, tmp_path / "bad.safetensors", metadata=metadata)
        with pytest.raises(ValueError, match=message):
            load_prior(tmp_path / "bad.safetensors")
