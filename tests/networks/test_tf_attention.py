import csv

import numpy as np
import pytest
import torch
from places import GOLDEN, SHARED
from safetensors.torch import load_file

from unsep_lib.bench.tf_reference import TfReferenceNetwork
from unsep_lib.bench.timing import formula_state
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig, config_of

RECORDED = SHARED / "golden"
NETWORKS = (TfAttentionNetwork, TfReferenceNetwork)
SMALL, RELEASED = TfConfig(width=16, embedding=32, labels=5), TfConfig()
SEEDED = {"width16": (SMALL, [995, 250], [1, 4]), "width72": (RELEASED, [995], [0])}
BOUNDS = {torch.float64: 1e-6, torch.float32: 2e-4}
TINY = TfConfig(width=8, embedding=16, labels=3)


def built(kind, config=TINY, dtype=torch.float32):
    network = kind(config)
    network.load_state_dict(formula_state(network))
    return network.to(dtype).requires_grad_(False)


def relative(ours, golden):
    return ((ours.double() - golden.double()).abs().max() / golden.double().abs().max()).item()


def with_gradient(network, samples, time, label):
    """ε, and the gradient of Σ ε · linspace(−1, 1, L) with respect to the samples."""
    samples = samples.clone().requires_grad_()
    epsilon = network(samples, time, label)
    weights = torch.linspace(-1, 1, samples.shape[-1], dtype=samples.dtype)
    (gradient,) = torch.autograd.grad((epsilon * weights).sum(), samples)
    return epsilon.detach(), gradient


def case(name, dtype):
    config, time, label = SEEDED[name]
    samples = 0.3 * np.random.RandomState(0).standard_normal((len(time), 16320))
    return config, torch.from_numpy(samples).to(dtype), torch.tensor(time), torch.tensor(label)


def noise(*shape, seed=0):
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check_seeded(kind, name, dtype):
    golden = load_file(GOLDEN / "seeded_io.safetensors")
    config, samples, time, label = case(name, dtype)
    epsilon, gradient = with_gradient(built(kind, config, dtype), samples, time, label)
    assert relative(epsilon, golden[f"{name}_eps"]) <= BOUNDS[dtype]
    assert relative(gradient, golden[f"{name}_grad_x"]) <= BOUNDS[dtype]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TfAttentionNetwork, torch.float64),
        (TfAttentionNetwork, torch.float32),
        (TfReferenceNetwork, torch.float64),
        pytest.param(TfReferenceNetwork, torch.float32, marks=pytest.mark.full),
    ],
)
def test_small_network_matches_the_released_programs_values(kind, dtype):
    check_seeded(kind, "width16", dtype)


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TfAttentionNetwork, torch.float64),
        (TfAttentionNetwork, torch.float32),
        (TfReferenceNetwork, torch.float32),
    ],
)
def test_released_size_matches_the_released_programs_values(kind, dtype):
    check_seeded(kind, "width72", dtype)


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"needs {RECORDED}, which a fresh machine lacks")
@pytest.mark.parametrize("kind", NETWORKS)
def test_recorded_weights_give_the_recorded_outputs(kind):
    state, golden = (load_file(RECORDED / f"network_{name}.safetensors") for name in ("state", "io"))
    network = kind(config_of({name: tuple(tensor.shape) for name, tensor in state.items()})).requires_grad_(False)
    network.load_state_dict(state)
    epsilon, gradient = with_gradient(network, golden["x"], golden["t"], golden["label"])
    assert relative(epsilon, golden["eps"]) <= 1e-5
    assert relative(gradient, golden["grad_x"]) <= 1e-5


@pytest.mark.parametrize("kind", NETWORKS)
def test_names_and_shapes_are_the_checkpoints(kind):
    with (GOLDEN / "checkpoint_keys.tsv").open(encoding="utf-8", newline="") as rows:
        released = {name: tuple(map(int, shape.split("x"))) for name, shape in csv.reader(rows, delimiter="\t")}
    with torch.device("meta"):
        network = kind(RELEASED)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == released
    assert sum(parameter.numel() for parameter in network.parameters()) == 37_212_016
    assert config_of(released) == RELEASED
    table = "y_embedder_1.embedding_table.weight"
    assert config_of(released | {table: (51, 128)}) == TfConfig(labels=50)


@pytest.mark.parametrize("length", [1, 254, 255, 764, 765, 16321])
def test_both_forms_agree_at_any_length(length):
    samples, time, label = noise(1, length), torch.tensor([310]), torch.tensor([2])
    fast, reference = (
        with_gradient(built(kind, dtype=torch.float64), samples.double(), time, label) for kind in NETWORKS
    )
    assert fast[0].shape == (1, length)
    assert max(relative(ours, theirs) for ours, theirs in zip(fast, reference, strict=True)) < 1e-10


def test_a_batch_equals_one_at_a_time():
    network = built(TfAttentionNetwork, dtype=torch.float64)
    samples, time, label = noise(3, 3000).double(), torch.tensor([5, 500, 995]), torch.tensor([0, 2, 3])
    together = with_gradient(network, samples, time, label)
    for row in range(3):
        alone = with_gradient(network, *(value[row : row + 1] for value in (samples, time, label)))
        assert max(relative(a, b[row : row + 1]) for a, b in zip(alone, together, strict=True)) < 1e-10


def test_small_slabs_change_nothing(monkeypatch):
    inputs = noise(2, 3000).double(), torch.tensor([5, 995]), torch.tensor([0, 3])
    whole = with_gradient(built(TfAttentionNetwork, dtype=torch.float64), *inputs)
    monkeypatch.setattr("unsep_lib.networks.tf_layers.CPU_VALUES", 20_000)
    cut = with_gradient(built(TfAttentionNetwork, dtype=torch.float64), *inputs)
    assert max(relative(a, b) for a, b in zip(cut, whole, strict=True)) < 1e-10


def test_recomputation_changes_nothing():
    network = built(TfAttentionNetwork, dtype=torch.float64)
    inputs = noise(2, 3000).double(), torch.tensor([5, 995]), torch.tensor([0, 3])
    recomputed = with_gradient(network, *inputs)
    network.recompute = False
    kept = with_gradient(network, *inputs)
    assert max(relative(a, b) for a, b in zip(recomputed, kept, strict=True)) < 1e-10


def test_recomputation_keeps_less_for_the_gradient():
    kept = {}
    for recompute in (True, False):
        network, sizes = built(TfAttentionNetwork), {}
        network.recompute = recompute

        def note(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            epsilon = network(noise(1, 5000).requires_grad_(), torch.tensor([5]), torch.tensor([0]))
        kept[recompute] = sum(sizes.values())
        assert epsilon.requires_grad
    assert kept[True] < kept[False] / 5


def test_the_gradient_is_the_slope():
    network = built(TfAttentionNetwork, dtype=torch.float64)
    samples, direction = noise(1, 2000).double(), noise(1, 2000, seed=1).double()
    inputs, weights = (torch.tensor([250]), torch.tensor([1])), torch.linspace(-1, 1, 2000, dtype=torch.float64)
    _, gradient = with_gradient(network, samples, *inputs)
    above, below = ((network(samples + h * direction, *inputs) * weights).sum() for h in (1e-5, -1e-5))
    torch.testing.assert_close((gradient * direction).sum(), (above - below) / 2e-5, rtol=1e-6, atol=0)


def test_unfrozen_weights_get_the_same_gradients_as_in_the_reference():
    gradients = {}
    for kind in NETWORKS:
        network = built(kind, dtype=torch.float64).requires_grad_(True)
        network(noise(1, 1500).double(), torch.tensor([250]), torch.tensor([1])).square().sum().backward()
        gradients[kind] = {name: parameter.grad for name, parameter in network.named_parameters()}
    fast, reference = (gradients[kind] for kind in NETWORKS)
    used = [name for name, gradient in reference.items() if gradient is not None]
    assert max(relative(fast[name], reference[name]) for name in used) < 1e-9


def test_inference_mode_leaves_later_gradients_possible():
    network, inputs = built(TfAttentionNetwork), (torch.tensor([5]), torch.tensor([0]))
    with torch.inference_mode():
        network(noise(1, 3333), *inputs)
    assert with_gradient(network, noise(1, 3333), *inputs)[1].isfinite().all()


def test_bfloat16_products_stay_close():
    network = built(TfAttentionNetwork)
    inputs = noise(1, 3000), torch.tensor([250]), torch.tensor([1])
    exact = with_gradient(network, *inputs)
    rounded = with_gradient(network.bfloat16_products(), *inputs)
    assert all(1e-5 < relative(a, b) < 0.1 for a, b in zip(rounded, exact, strict=True))
    assert network.latent[0].freatt.mlp.fc1.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", NETWORKS)
def test_inputs_that_do_not_fit_are_refused(kind):
    network, one, zero = built(kind), torch.tensor([1]), torch.tensor([0])
    for samples, time, label, message in (
        (noise(300), one, zero, r"expected samples \[batch, time\]"),
        (noise(1, 0), one, zero, "at least one sample"),
        (noise(2, 300), one, zero, r"expected time \[2\]"),
        (noise(1, 300), one, torch.tensor([4]), r"expected labels from 0 to 3, got \[4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            network(samples, time, label)


def test_a_width_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of 8 for 4 heads, got 20"):
        TfConfig(width=20)
