"""Every solver against what it answered before all of them ran in one loop, Dirac after its last step became exact.

On the machine and with the thread count of the recording the answers were equal to the last bit, these and those of
every solver with the shipped priors; other processors sum in another order.
"""

import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file

from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.separation import load_priors
from unsep_lib.solvers import SOLVERS

SEED, BEGIN, LENGTH = 3, 16_000, 4000
GAUSSIAN = load_file(GOLDEN / "solvers_gaussian.safetensors")
DEFAULT = load_file(GOLDEN / "default_solver.safetensors")


@pytest.mark.parametrize("recorded", GAUSSIAN)
def test_a_solver_answers_as_recorded_on_gaussian_sources(recorded):
    name, _, count = recorded.partition(", ")
    example = gaussian_example(int(count.split()[0]), 300)
    found = SOLVERS[name].run(example.mixture[None], example.priors, SOLVERS[name].steps, [SEED])[0]
    torch.testing.assert_close(found, GAUSSIAN[recorded], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("task", DEFAULT)
def test_the_recorded_default_answers_as_recorded_on_real_mixtures(task):
    mixture = embedded_mixtures(task)[0]
    priors = load_priors(mixture.specs, precision=torch.float32)
    piece = mixture.mixture[None, BEGIN : BEGIN + LENGTH]
    found = SOLVERS["dirac-wiener"].run(piece, priors, 30, [SEED])[0]
    torch.testing.assert_close(found, DEFAULT[task], atol=2e-4, rtol=1e-3)
