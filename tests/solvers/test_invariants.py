"""What holds for every solver, whatever the number of sources, the length and the seed."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import log_grid, paper_grid
from unsep_lib.separation import separate
from unsep_lib.solvers import SOLVERS, Problem, reverse, solve
from unsep_lib.solvers.guidance import Guided, cqt_diff_guidance, dps_guidance, dsg_guidance, hybrid_guidance
from unsep_lib.solvers.initialization import gaussian_noise, noise_augmented_mixture, noisy_mixture, pure_noise
from unsep_lib.solvers.loop import SeededNoise
from unsep_lib.solvers.mixture_consistency import share_equally
from unsep_lib.solvers.pigdm import PseudoinverseGuided
from unsep_lib.solvers.projection import Projection
from unsep_lib.solvers.undiff import undiff

few = settings(max_examples=10, deadline=None, derandomize=True, database=None)
sources = st.integers(1, 5)
lengths = st.integers(1, 2000)
seeds = st.integers(0, 2**31 - 1)
STEPS = 2
ADD_UP = [
    "dirac-wiener", "dirac-agreed", "dirac-restart", "projection-restart", "projection-mean", "projection", "dirac",
    "daps",
]  # fmt: skip
SYMMETRIC = [name for name in SOLVERS if not name.startswith("dirac")]  # all that treat their sources alike
RULES = {
    "projection": (noisy_mixture, Projection(), log_grid(1.0, 0.01, 3)),
    "equal shares": (pure_noise, Projection(share_equally), log_grid(1.0, 0.01, 3)),
    "pigdm": (noisy_mixture, PseudoinverseGuided(), log_grid(1.0, 0.01, 3)),
    "hybrid": (noise_augmented_mixture, Guided(hybrid_guidance), paper_grid(3)),
    "dsg": (gaussian_noise, Guided(dsg_guidance), paper_grid(3)),
    "dps": (noise_augmented_mixture, Guided(dps_guidance), paper_grid(3)),
    "cqt-diff": (noise_augmented_mixture, Guided(cqt_diff_guidance), paper_grid(3)),
    "undiff": (gaussian_noise, undiff, paper_grid(3)),
}


def gaussian_priors(count, length):
    bins = torch.linspace(0, 1, length // 2 + 1)
    return [GaussianPrior(0.001 + 0.009 * (bins - k / count).square()) for k in range(count)]


def mixtures(count, length, seed=0):
    return 0.1 * torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("solver", SOLVERS)
@few
@given(sources, lengths, seeds)
@example(1, 1, 0)
@example(5, 2000, 0)
def test_any_number_of_sources_and_any_length_work(solver, count, length, seed):
    found = solve(mixtures(1, length), gaussian_priors(count, length), solver=solver, steps=STEPS, seeds=[seed])
    assert found.shape == (1, count, length)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("solver", ADD_UP)
@few
@given(sources, lengths, seeds)
def test_sources_add_up_to_the_mixture(solver, count, length, seed):
    mixture = mixtures(2, length)
    found = solve(mixture, gaussian_priors(count, length), solver=solver, steps=STEPS, seeds=[seed, seed + 1])
    torch.testing.assert_close(found.sum(dim=1), mixture, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", RULES)
@few
@given(st.permutations(range(3)), lengths, seeds)
def test_permuting_sources_with_their_noise_permutes_the_result(name, order, length, seed):
    start, rule, grid = RULES[name]
    priors = gaussian_priors(3, length)

    def run(order):
        noise = SeededNoise([(seed,)], order, length, torch.device("cpu"))
        problem = Problem(mixtures(1, length), [priors[k] for k in order], noise)
        return reverse(problem, start(problem, grid[0]), grid, rule)

    torch.testing.assert_close(run(order), run([0, 1, 2])[:, order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver", SYMMETRIC)
@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_permuting_sources_with_their_streams_permutes_a_solvers_result(solver, order, monkeypatch):
    length, first, priors = 500, SeededNoise.__init__, gaussian_priors(3, 500)

    def run(order):
        def reordered(self, seeds, streams, length, device):
            first(self, seeds, [order[stream] for stream in streams], length, device)

        monkeypatch.setattr(SeededNoise, "__init__", reordered)
        chosen = [priors[k] for k in order]
        return solve(mixtures(2, length), chosen, solver=solver, steps=4, seeds=[3, 4])

    plain = run([0, 1, 2])
    assert (plain[:, order] - plain).abs().max() > 1e-3
    torch.testing.assert_close(run(order), plain[:, order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_callback_sees_every_step_once(solver, steps):
    seen = []
    found = solve(
        mixtures(2, 90), gaussian_priors(2, 90), solver=solver, steps=steps, seeds=[0, 1], on_step=seen.append
    )
    assert [(snapshot.step, snapshot.steps) for snapshot in seen] == [(step, steps) for step in range(1, steps + 1)]
    assert all(snapshot.sigma > 0 for snapshot in seen)
    assert all(snapshot.state.shape == snapshot.clean.shape for snapshot in seen)
    assert all(snapshot.residual.shape == (len(snapshot.clean), 90) for snapshot in seen)
    if len(seen[-1].state) == len(found):
        torch.testing.assert_close(seen[-1].state, found)


@pytest.mark.parametrize("solver", SOLVERS)
@few
@given(st.floats(1e-3, 1e3), st.integers(2, 2000), seeds)
def test_scaling_the_mixture_scales_the_sources(solver, gain, length, seed):
    samples, priors = mixtures(1, length)[0], gaussian_priors(2, length)
    arguments = {"solver": solver, "steps": STEPS, "seed": seed}
    expected = separate(samples, priors, SAMPLE_RATE, **arguments).sources
    scaled = separate(gain * samples, priors, SAMPLE_RATE, **arguments).sources
    torch.testing.assert_close(scaled / gain, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@few
@given(st.integers(16, 2000), st.lists(seeds, min_size=2, max_size=2, unique=True))
def test_seeds_decide_everything(solver, length, two):
    mixture, priors = mixtures(1, length), gaussian_priors(2, length)
    first, again, other = (
        solve(mixture, priors, solver=solver, steps=STEPS, seeds=[s]) for s in (two[0], two[0], two[1])
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@few
@given(sources, lengths, st.lists(seeds, min_size=3, max_size=3))
def test_a_batch_equals_its_mixtures_one_at_a_time(solver, count, length, batch):
    mixture, priors = mixtures(3, length), gaussian_priors(count, length)
    together = solve(mixture, priors, solver=solver, steps=STEPS, seeds=batch)
    alone = [solve(mixture[[i]], priors, solver=solver, steps=STEPS, seeds=[batch[i]]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
