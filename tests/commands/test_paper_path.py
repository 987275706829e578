"""The `paper` profile's way through the library, on a CPU with random weights of a narrow network."""

import json
import tomllib
from importlib.resources import files

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from unsep_lib.__main__ import main
from unsep_lib.bench.tf_reference import TfReferenceNetwork
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.data.mixture_sets import TASKS
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.networks.tf_config import TfConfig, formula_state
from unsep_lib.priors.checkpoints import card_of, load_prior
from unsep_lib.priors.epsilon import SOUND_LABELS, EpsilonPrior
from unsep_lib.priors.paper_schedule import paper_sigma

SHORT = 1_000  # samples of the shortened mixtures
PAPER = tomllib.loads((files("unsep_lib.notebook.profiles") / "paper.toml").read_text(encoding="utf-8"))


def shortened(mixture):
    """The loudest stretch of each source, added up."""
    pieces = mixture.sources.unfold(-1, SHORT, SHORT)
    loudest = pieces.square().sum(dim=-1).argmax(dim=-1)
    sources = torch.stack([piece[index] for piece, index in zip(pieces, loudest, strict=True)])
    return Mixture(mixture.name, sources.sum(dim=0), sources, mixture.specs)


@pytest.fixture(scope="module")
def five_tasks(tmp_path_factory):
    """One short mixture of each of the five tasks, from the embedded ones."""
    folder = tmp_path_factory.mktemp("mixtures")
    for task in TASKS:
        mixture = shortened(embedded_mixtures(task)[0])
        write_mixture(folder / mixture.name, mixture)
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def random_priors():
    for kind in ("speech", "sound"):
        assert main(["checkpoint", "random", f"random-{kind}", "--kind", kind, "--width", "8"]) == 0


def profile_of(folder, **changes):
    """The paper profile's own TOML with a few values changed."""
    table = PAPER | changes
    steps = table.pop("steps")
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    text += "[steps]\n" + "".join(f"{solver} = {count}\n" for solver, count in steps.items())
    (folder / "mine.toml").write_text(text)
    return str(folder / "mine.toml")


def evaluated(mixtures, out, *options):
    assert main(["evaluate", "--mixtures", str(mixtures), "--json", str(out), *options]) == 0
    return json.loads(out.read_text())["rows"]


def test_the_profile_asks_for_the_papers_priors_and_solver_on_a_gpu():
    assert (PAPER["speech_prior"], PAPER["sound_prior"]) == ("paper-speech", "paper-sound")
    assert (PAPER["solver"], PAPER["steps"]["hybrid"], PAPER["device"]) == ("hybrid", 200, "cuda")


def test_the_five_tasks_run_as_the_profile_says_on_random_weights(home, five_tasks, tmp_path, capsys):
    random_priors()
    changes = {"speech_prior": "random-speech", "sound_prior": "random-sound", "device": "cpu"}
    changes["steps"] = {"hybrid": 1}
    rows = evaluated(five_tasks, tmp_path / "a.json", "--profile", profile_of(tmp_path, **changes))
    assert "note: random-speech holds weights from a formula, trained on nothing" in capsys.readouterr().err
    assert {row["mixture"].rpartition("_")[0] for row in rows} == TASKS.keys()
    assert len(rows) == sum(task.speech + task.sounds for task in TASKS.values())
    spelled_out = ["--prior", "speech=random-speech", "--prior", "sound=random-sound", "--solver", "hybrid"]
    one, two = (
        evaluated(five_tasks, tmp_path / "b.json", "--only", "1speech-1sound", *spelled_out, "--steps", steps)
        for steps in ("1", "2")
    )
    assert one == [row for row in rows if row["mixture"].startswith("1speech-1sound")] != two


def test_the_profile_itself_runs_imported_checkpoints_and_its_values_can_be_overridden(home, five_tasks, tmp_path):
    for name, labels in (("speech", 1), ("sound", 50)):
        state = formula_state(TfReferenceNetwork(TfConfig(width=8, embedding=16, labels=labels)))
        torch.save({"ema": state}, tmp_path / f"{name}_source.pt")
        assert main(["checkpoint", "import", str(tmp_path / f"{name}_source.pt"), "--name", f"paper-{name}"]) == 0
    common = ["--only", "1speech-1sound", "--device", "cpu", "--steps", "1"]
    rows = evaluated(five_tasks, tmp_path / "a.json", "--profile", "paper", *common)
    assert [row["label"].partition(":")[0] for row in rows] == ["speech", "sound"]
    spelled_out = ["--prior", "speech=paper-speech", "--prior", "sound=paper-sound", "--solver"]
    assert rows == evaluated(five_tasks, tmp_path / "b.json", *spelled_out, "hybrid", *common)
    overridden = evaluated(five_tasks, tmp_path / "c.json", "--profile", "paper", "--solver", "projection", *common)
    assert overridden == evaluated(five_tasks, tmp_path / "d.json", *spelled_out, "projection", *common) != rows


@pytest.mark.parametrize(
    ("task", "file", "name"),
    [("2speakers", "speech_source.pt", "paper-speech"), ("2sounds", "sound_source.pt", "paper-sound")],
)
def test_a_missing_prior_is_named_with_the_command_that_makes_it(task, file, name, home, five_tasks, capsys):
    options = ["--profile", "paper", "--mixtures", str(five_tasks), "--only", task, "--device", "cpu"]
    assert main(["evaluate", *options]) == 2
    message = capsys.readouterr().err
    assert f"unknown prior '{name}'" in message and message.count("\n") == 1
    assert f"`unsep checkpoint import {file} --name {name}`" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="the profile's device is here")
def test_without_a_gpu_the_profile_says_so(five_tasks, capsys):
    assert main(["evaluate", "--profile", "paper", "--mixtures", str(five_tasks)]) == 2
    assert "cannot compute on device 'cuda'" in capsys.readouterr().err


def test_parts_share_the_mixtures_without_overlap(home, five_tasks, tmp_path):
    random_priors()
    options = ["--prior", "speech=random-speech", "--prior", "sound=random-sound", "--solver", "projection",
               "--steps", "1"]  # fmt: skip
    whole = evaluated(five_tasks, tmp_path / "all.json", *options)
    parts = [evaluated(five_tasks, tmp_path / f"{k}.json", *options, "--part", f"{k}/2") for k in (1, 2)]
    assert all(parts)
    assert sorted(map(str, whole)) == sorted(map(str, [*parts[0], *parts[1]]))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "x/y", "1/2/3"])
def test_impossible_parts_are_refused(text, five_tasks):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--mixtures", str(five_tasks), "--part", text])
    assert stopped.value.code == 2


def test_more_parts_than_mixtures_leave_the_last_ones_nothing(home, five_tasks, capsys):
    assert main(["evaluate", "--mixtures", str(five_tasks), "--part", "6/6"]) == 2
    assert "expected at most as many parts as mixtures, 5, got part 6/6" in capsys.readouterr().err


def test_a_random_prior_is_the_papers_network_and_its_card_says_untrained(home, capsys):
    random_priors()
    output = capsys.readouterr().out
    assert output.count("trained on nothing") == 2
    sound = load_prior("random-sound")
    assert isinstance(sound, EpsilonPrior) and sound.labels == SOUND_LABELS and load_prior("random-speech").labels == ()
    card = card_of(home / "priors" / "random-sound.safetensors")
    assert "trained on nothing" in card["untrained"] and card["hours"] == 0 and "sha256" not in card
    reference = TfReferenceNetwork(TfConfig(width=8, labels=50))
    reference.load_state_dict(formula_state(reference))
    noisy, sigma = 0.1 * torch.randn(1, 1500, generator=torch.Generator().manual_seed(0)), paper_sigma(60)
    power = 1 / (1 + sigma**2)
    epsilon = reference(power**0.5 * noisy, torch.tensor([300]), torch.tensor([SOUND_LABELS.index("Cello")]))
    torch.testing.assert_close(
        sound.with_condition(label="Cello").denoise(noisy, sigma), noisy - sigma * epsilon, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", ["speech", "a:b", "../evil"])
def test_random_weights_never_take_a_trained_priors_name(name, home, capsys):
    assert main(["checkpoint", "random", name, "--width", "8"]) == 2
    assert "expected a" in capsys.readouterr().err
    assert not home.exists()


def test_random_weights_can_be_made_again_and_a_width_the_heads_cannot_share_is_refused(home, capsys):
    for _ in range(2):
        assert main(["checkpoint", "random", "toy", "--width", "8"]) == 0
    assert main(["checkpoint", "random", "other", "--width", "20"]) == 2
    assert "multiple of 8 for 4 heads, got 20" in capsys.readouterr().err


def test_attention_as_plain_products_gives_the_same_gradient(home):
    """GPUs fall back to plain products where no fused kernel takes the head's width."""
    random_priors()
    prior = load_prior("random-speech")
    noisy = 0.1 * torch.randn(1, 1500, generator=torch.Generator().manual_seed(0))
    gradients = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        leaf = noisy.clone().requires_grad_()
        with sdpa_kernel(backend):
            gradients += torch.autograd.grad(prior.denoise(leaf, paper_sigma(60)).square().sum(), leaf)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
