import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example, posterior
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.solvers import SOLVERS
from unsep_lib.solvers.dirac import Dirac
from unsep_lib.solvers.mixture_consistency import wiener_filter
from unsep_lib.solvers.sampler import Sampler

SEEDS = range(16)
STARTS = {1: [0.7], 2: [1.5, 0.5], 3: [1.5, 0.75**0.5, 0.5], 4: [1.5, 1.5 / 3 ** (1 / 3), 1.5 / 3 ** (2 / 3), 0.5]}


def runs(solver, example, steps):
    batch = example.mixture.expand(len(SEEDS), -1)
    return solver(batch, example.priors, steps, SEEDS)


def distance(sources, truth):
    return ((sources - truth.waveforms()).norm(dim=(1, 2)) / truth.waveforms().norm()).mean().item()


@pytest.mark.parametrize(("steps", "rounds"), [(1, 1), (15, 1), (16, 2), (31, 3), (32, 4), (90, 4)])
def test_steps_are_counted_over_all_rounds(steps, rounds):
    example, seen = gaussian_example(length=64), []
    SOLVERS["dirac-restart"].run(example.mixture[None], example.priors, steps, [0], seen.append)
    assert [snapshot.step for snapshot in seen] == list(range(1, steps + 1))
    assert {snapshot.steps for snapshot in seen} == {steps}
    sigmas = [snapshot.sigma for snapshot in seen]
    begins = [0, *(step for step in range(1, steps) if sigmas[step] > sigmas[step - 1])]
    assert [sigmas[step] for step in begins] == pytest.approx(STARTS[rounds])


def test_a_single_level_is_one_round_of_the_mean():
    example = gaussian_example(length=64)
    once = SOLVERS["projection-restart"].run(example.mixture[None], example.priors, 1, [3])
    assert torch.equal(once, SOLVERS["projection-mean"].run(example.mixture[None], example.priors, 1, [(3, 0)]))


def test_dirac_leaves_each_source_over_once_a_round_and_more_often_in_the_last(monkeypatch):
    example, seen, place = gaussian_example(length=64), [], Dirac.place
    monkeypatch.setattr(Dirac, "place", lambda *given: seen.append(place(*given)[..., 0].int()) or place(*given))
    SOLVERS["dirac-restart"].run(example.mixture.expand(2, -1), example.priors, 40, [0, 1])
    eliminated = [mask.argmax(dim=1).tolist() for mask in seen]
    assert eliminated == [[0, 1] * 2] * 30 + [[0, 1, 0, 1] * 2] * 10


def test_rounds_come_nearer_to_the_posterior_mean_than_one_long_round():
    example = gaussian_example()
    truth = posterior(example.priors, example.mixture)
    rounds, long = (
        distance(runs(SOLVERS[name].run, example, 40), truth) for name in ("projection-restart", "projection-mean")
    )
    assert rounds < 0.95 * long


def test_no_levels_are_refused():
    example = gaussian_example(length=64)
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        SOLVERS["projection-restart"].run(example.mixture[None], example.priors, 0, [0])


def test_the_last_of_the_defaults_four_rounds_leads_to_the_filter_and_is_twice_as_long(monkeypatch):
    example, seen, answer = gaussian_example(length=64), [], Sampler.answer
    monkeypatch.setattr(Sampler, "answer", lambda sampler, mixture, priors, steps, *rest: (
        seen.append((sampler.samples, steps, sampler.levels.low, sampler.rule.consistency is wiener_filter))
        or answer(sampler, mixture, priors, steps, *rest)
    ))  # fmt: skip
    default = SOLVERS["dirac-wiener"]
    default.run(example.mixture[None], example.priors, default.steps, [0])
    assert seen == [(2, 6, 0.15, False)] * 3 + [(2, 12, 0.02, True)]


@pytest.mark.parametrize(("steps", "levels"), [(17, [17]), (18, [6, 12]), (24, [6, 6, 12]), (29, [7, 7, 15])])
def test_fewer_levels_are_fewer_rounds_of_dirac_wiener(steps, levels, monkeypatch):
    example, seen, answer = gaussian_example(length=64), [], Sampler.answer
    monkeypatch.setattr(Sampler, "answer", lambda sampler, mixture, priors, steps, *rest: (
        seen.append(steps) or answer(sampler, mixture, priors, steps, *rest)
    ))  # fmt: skip
    SOLVERS["dirac-wiener"].run(example.mixture[None], example.priors, steps, [0])
    assert seen == levels


def test_dirac_wiener_settles_what_priors_leave_in_doubt():
    """Each source fills one half of the spectrum; its prior finds the other half possible too, at a tenth the power."""
    own = torch.cat([torch.ones(501), torch.zeros(500)])
    powers = torch.stack([own, 1 - own])
    noise = torch.fft.rfft(torch.randn(2, 2000, generator=torch.Generator().manual_seed(0)), norm="ortho")
    clean = torch.fft.irfft(0.1 * powers * noise, n=2000, norm="ortho")
    priors = [GaussianPrior(0.01 * power.clamp_min(0.1)) for power in powers]
    doubting, settled = (
        SOLVERS[name].run(clean.sum(dim=0)[None], priors, 40, [0])[0] for name in ("dirac-restart", "dirac-wiener")
    )
    doubt, left = ((found - clean).norm().item() for found in (doubting, settled))
    assert doubt > 0.1 / 1.1 * clean.norm().item()  # what the exact posterior mean leaves
    assert left < 0.25 * doubt
