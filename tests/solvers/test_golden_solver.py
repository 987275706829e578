import json

import pytest
from places import SHARED
from safetensors.torch import load_file

from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig
from unsep_lib.priors.epsilon import EpsilonPrior
from unsep_lib.priors.paper_schedule import paper_grid
from unsep_lib.solvers import Problem, reverse
from unsep_lib.solvers.guidance import Guided, hybrid_guidance
from unsep_lib.solvers.initialization import noise_augmented_mixture

RECORDED = SHARED / "golden"
STEPS = 6
LABELS = (1, 4)
pytestmark = pytest.mark.skipif(
    not (RECORDED / "solver_trace.safetensors").exists(),
    reason=f"the recorded solver trace and its network are only in {RECORDED}, too large to commit",
)


class ReplayedNoise:
    """Recorded draws in order: the start's, then each step's; the draw the result does not use is left out."""

    def __init__(self, trace):
        self.start = trace["draw_00"]
        self.steps = [trace[f"draw_{number:02}"].transpose(0, 1) for number in range(1, 2 * STEPS, 2)]

    def shared(self):
        return self.start

    def draw(self):
        return self.steps.pop(0)


@pytest.fixture(scope="module")
def trace():
    return load_file(RECORDED / "solver_trace.safetensors")


@pytest.fixture(scope="module")
def priors():
    shape = json.loads((RECORDED / "network_config.json").read_text())["model"]
    config = TfConfig(shape["hidden_size"], shape["emb_dim"], shape["num_heads"], shape["num_class"])
    network = TfAttentionNetwork(config, recompute=False)
    network.load_state_dict(load_file(RECORDED / "network_state.safetensors"))
    prior = EpsilonPrior(network, labels=[str(label) for label in range(config.labels)])
    return [prior.with_condition(label=str(label)) for label in LABELS]


def test_six_hybrid_steps_reproduce_the_released_programs_states(trace, priors):
    noise, states = ReplayedNoise(trace), []
    problem, levels = Problem(trace["mixture"][None], priors, noise), paper_grid()[: STEPS + 1]
    reverse(
        problem, noise_augmented_mixture(problem, levels[0]), levels, Guided(hybrid_guidance),
        lambda snapshot: states.append(snapshot.state[0]),
    )  # fmt: skip
    errors = [(state - trace[f"x_after_{step}"]).abs().max().item() for step, state in enumerate(states)]
    print("largest error of each state:", " ".join(f"{error:.1e}" for error in errors))
    assert noise.steps == []
    assert len(errors) == STEPS
    assert max(errors) <= 1e-5
