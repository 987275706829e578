import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example, posterior
from unsep_lib.solvers import SOLVERS
from unsep_lib.solvers.best_of import denoising_losses, mean_of_best
from unsep_lib.solvers.initialization import SeededNoise
from unsep_lib.solvers.projection import projection
from unsep_lib.solvers.several import several

LENGTH = 400


@pytest.fixture(scope="module")
def example():
    return gaussian_example(2, LENGTH)


def noise(seeds=((0,),), sources=2):
    return SeededNoise(list(seeds), range(sources), LENGTH, torch.device("cpu"))


def energies(candidates, priors):
    """−log p of each candidate [sample, source, time] but for a constant, from the priors' known densities."""
    spectra = torch.fft.rfft(candidates.double(), norm="ortho").abs().square()
    twice = torch.full((LENGTH // 2 + 1,), 1.0, dtype=torch.float64)
    twice[[0, -1]] = 0.5
    powers = torch.stack([prior.power.double() for prior in priors])
    return (twice * spectra / powers).sum(dim=(1, 2))


def test_candidates_are_ranked_as_their_densities_rank_them(example):
    wiener = posterior(example.priors, example.mixture).waveforms().float()
    further = [wiener + share * (example.sources - wiener) for share in (3.0, 2.0, 1.0, 0.0)]
    candidates = torch.stack([example.sources.flip(0), *further])
    exact = energies(candidates, example.priors)
    assert exact.argsort().tolist() == [4, 3, 2, 1, 0]
    losses = denoising_losses(candidates[None], example.priors, noise())
    assert losses[0].argsort().tolist() == [4, 3, 2, 1, 0]


def test_the_loss_grows_with_minus_log_density():
    """For samples alike in everything but their power the losses are affine in −log p."""
    example = gaussian_example(1, LENGTH)
    candidates = torch.stack([scale * example.sources for scale in (0.5, 1.0, 1.5, 2.0, 3.0)])
    losses = denoising_losses(candidates[None], example.priors, noise(sources=1))[0].double()
    exact = energies(candidates, example.priors)
    slopes = losses.diff() / exact.diff()
    assert slopes.min() > 0
    torch.testing.assert_close(slopes, slopes.mean().expand(4), rtol=0.05, atol=0)


def test_equal_candidates_get_equal_losses_whatever_stands_beside_them(example):
    one, other = example.sources, example.sources.flip(0)
    losses = denoising_losses(torch.stack([one, other, one])[None], example.priors, noise())[0]
    assert losses[0] == losses[2] != losses[1]


def test_the_best_is_the_projection_sample_that_the_priors_find_likeliest(example):
    batch, seeds = example.mixture.expand(6, -1), [(seed,) for seed in range(6)]
    samples = several(projection, batch, example.priors, 8, seeds, count=4)
    chosen = SOLVERS["best-of"].run(batch, example.priors, 8, seeds, None)
    ranks = []
    for found, candidates in zip(chosen, samples, strict=True):
        (index,) = (index for index, candidate in enumerate(candidates) if torch.equal(candidate, found))
        ranks.append(energies(candidates, example.priors).argsort().argsort()[index].item())
    assert sum(ranks) / len(ranks) < 0.4, f"ranks by the known density, 0 the likeliest: {ranks}"


def test_the_mean_is_that_of_the_kept_candidates(example):
    batch, seeds = example.mixture.expand(2, -1), [(3,), (4,)]
    samples = several(projection, batch, example.priors, 5, seeds, count=4)
    losses = denoising_losses(samples, example.priors, noise([(3, 4), (4, 4)]))
    for kept in (1, 2, 4):
        found = mean_of_best(batch, example.priors, 5, seeds, count=4, kept=kept)
        best = losses.argsort(dim=1)[:, :kept]
        expected = torch.stack([samples[row, best[row]].mean(dim=0) for row in range(2)])
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found, samples.mean(dim=1))
