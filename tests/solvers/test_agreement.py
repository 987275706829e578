import threading

import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.priors.base import GaussianPrior, Identity, Prior
from unsep_lib.solvers import SOLVERS, Restarts, Sampler, solve
from unsep_lib.solvers.agreement import LIMIT, Confidence, agreement, consensus
from unsep_lib.solvers.loop import denoise_all


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_agreement_is_the_si_sdr_of_either_against_the_other():
    first, second = drawn(5, 400), drawn(5, 400, seed=1)
    second = 0.3 * (first + torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0])[:, None] * second) + 0.2
    theirs = scale_invariant_signal_distortion_ratio(first, second, zero_mean=True)
    torch.testing.assert_close(agreement(first, second), theirs, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(agreement(second, first), agreement(first, second))


def test_equal_answers_agree_at_the_limit_and_a_silent_one_says_nothing():
    one = drawn(400)
    assert agreement(one, 2 * one).item() == LIMIT
    assert agreement(one, torch.zeros(400)).item() == 0.0


def test_the_consensus_leans_to_the_answers_that_agree():
    right, wrong = drawn(2, 400), drawn(2, 400, seed=1)
    answers = torch.stack([right + 0.1 * drawn(2, 400, seed=seed) for seed in (2, 3)] + [wrong])
    found = consensus(answers, ["a", "b"])
    assert (agreement(found.mean, right) > 15).all()
    assert (agreement(answers.mean(dim=0), right) < 8).all()
    assert (found.agreement < 10).all()


def test_interchangeable_sources_are_put_in_one_order_first():
    right = drawn(3, 400)
    answers = torch.stack([right, right[[2, 1, 0]], right]) + 0.1 * drawn(3, 3, 400, seed=1)
    mixed, sorted_ = consensus(answers, ["a", "b", "c"]), consensus(answers, ["a", "b", "a"])
    assert (sorted_.agreement > 15).all() and (agreement(sorted_.mean, right) > 20).all()
    assert (mixed.agreement[[0, 2]] < 10).all() and mixed.agreement[1] > 15


class OneOf(Prior):
    """A source that is one of a few known signals: `E[x_0 | x]` is their mean, weighed by `exp(−‖x − s‖²/2σ²)`."""

    sigma_min, sigma_max, identity = 0.0, float("inf"), Identity("one of them")

    def __init__(self, signals):
        self.signals = signals

    def denoise(self, noisy, sigma):
        distance = (noisy[:, None] - self.signals).square().sum(dim=-1)
        return torch.softmax(-distance / (2 * sigma**2), dim=-1) @ self.signals


@pytest.fixture
def two_tones():
    """Two interchangeable sources, tones of 0.1: the mixture fits either order."""
    time = torch.arange(8192) / 16_000
    tones = 0.1 * torch.stack([torch.sin(2 * torch.pi * pitch * time) for pitch in (400, 1500)])
    return tones, [OneOf(tones), OneOf(tones)]


@pytest.mark.parametrize("name", ["dirac-wiener", "dirac-agreed", "projection"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_start_decides_which_of_two_answers_is_found(name, order, two_tones):
    tones, priors = two_tones
    guess = tones[order] + 0.02 * drawn(2, 8192)
    found = SOLVERS[name].begun_at(guess[None]).run(tones.sum(dim=0)[None], priors, 30, [0])[0]
    assert (agreement(found, tones[order]) > 20).all()


def test_chains_that_find_the_sources_in_another_order_agree(two_tones):
    tones, priors = two_tones
    answer = SOLVERS["dirac-agreed"].answer(tones.sum(dim=0).expand(8, -1), priors, 30, range(8))
    first = agreement(answer.sources[:, 0], tones[0]) > agreement(answer.sources[:, 0], tones[1])
    ordered = torch.where(first[:, None, None], tones, tones[[1, 0]])
    assert 0 < first.sum() < 8
    assert (agreement(answer.sources, ordered) > 15).all()


@pytest.mark.parametrize(("enough", "chains"), [(-100.0, 2), (100.0, 3)])
def test_chains_end_once_they_agree(enough, chains):
    example, seen = gaussian_example(length=64), []
    agreed = SOLVERS["dirac-agreed"]
    assert isinstance(agreed, Restarts)
    solver = Restarts("x", agreed.early, agreed.last, agreed.sigmas, agreed.fewest, chains=3, enough=enough)
    answer = solver.answer(example.mixture[None], example.priors, 30, [0], seen.append)
    assert [snapshot.step for snapshot in seen] == list(range(1, 18 * chains + 12 + 1))
    assert {snapshot.steps for snapshot in seen} == {18 * 3 + 12}
    assert answer.agreement.shape == (1, 2)


def test_one_chain_is_the_default_to_the_last_bit():
    example, default = gaussian_example(length=64), SOLVERS["dirac-wiener"]
    agreed = SOLVERS["dirac-agreed"]
    one = Restarts("x", agreed.early, agreed.last, agreed.sigmas, agreed.fewest, chains=1)
    found, expected = (solver.run(example.mixture[None], example.priors, 30, [5]) for solver in (one, default))
    assert torch.equal(found, expected)


def test_a_variance_preserving_solver_begins_at_no_estimate():
    with pytest.raises(ValueError, match="variance-preserving"):
        SOLVERS["hybrid"].begun_at(torch.zeros(1, 2, 64))
    with pytest.raises(ValueError, match="daps cannot begin at given estimates"):
        SOLVERS["daps"].begun_at(torch.zeros(1, 2, 64))


class Noting(GaussianPrior):
    """A prior that notes in which thread it was asked, and with how many threads of its own."""

    def denoise(self, noisy, sigma):
        self.asked = threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()
        return super().denoise(noisy, sigma)


@pytest.mark.parametrize("graph", [True, False])
def test_sources_have_a_thread_each_and_gradients_pass(graph):
    priors = [Noting(torch.linspace(1, 2, 33)), Noting(torch.linspace(2, 1, 33))]
    noisy = drawn(3, 2, 64).requires_grad_(graph)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.set_grad_enabled(graph):
            found = denoise_all(priors, noisy, 0.5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    places, threads, graphs = zip(*(prior.asked for prior in priors), strict=True)
    assert threading.get_ident() not in places and threads == (1, 1) and graphs == (graph, graph)
    alone = torch.stack([prior.denoise(noisy[:, k], 0.5) for k, prior in enumerate(priors)], dim=1)
    assert torch.equal(found, alone)
    if graph:
        assert torch.equal(*(torch.autograd.grad(one.square().sum(), noisy)[0] for one in (found, alone)))


def test_a_priors_sentence_comes_through_its_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="expected a clip of 33 DFT bins, got 26"):
            solve(drawn(1, 50), [GaussianPrior(torch.ones(33))] * 2, seeds=[0], solver="projection", steps=1)
    finally:
        torch.set_num_threads(before)


def test_samples_of_one_start_say_how_far_they_agree():
    example = gaussian_example(length=64)
    projection = SOLVERS["projection-mean"]
    assert isinstance(projection, Sampler)
    answer = projection.answer(example.mixture[None], example.priors, 10, [0])
    assert answer.agreement.shape == (1, 2)
    assert SOLVERS["projection"].answer(example.mixture[None], example.priors, 10, [0]).agreement is None


def test_confidence_grows_with_agreement_and_says_when_it_is_low():
    low, high = Confidence.of(0.0), Confidence.of(25.0)
    assert low.improvement < high.improvement and low.low < low.improvement < low.high
    assert "mixed up" in str(low) and "mixed up" not in str(high)


def test_agreement_says_less_where_sources_share_a_prior():
    alone, shared = (Confidence.of(9.0, one_prior=one_prior) for one_prior in (False, True))
    assert shared.improvement < alone.improvement and shared.high - shared.low == pytest.approx(
        alone.high - alone.low, abs=0.2
    )
    assert (alone.doubtful, shared.doubtful) == (False, True) and "mixed up" in str(shared)
    assert not Confidence.of(25.0, one_prior=True).doubtful
