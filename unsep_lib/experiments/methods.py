"""What a row can be separated by: every solver and ablation, and baselines as if they were solvers."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.baselines import hpss, mixture_itself, nmf_sources, oracle_ratio_mask, oracle_wiener
from unsep_lib.checkpoints import LoadedPrior, load_prior
from unsep_lib.experiments.dictionaries import dictionary
from unsep_lib.experiments.rows import PriorFile, Row, check_planned
from unsep_lib.priors import Prior
from unsep_lib.separate import separate
from unsep_lib.solvers import ABLATIONS, SOLVERS, Solver
from unsep_lib.specification import SourceSpec
from unsep_lib.supervised import SHIPPED, SLOTS, Control, load_control

HPSS_SOURCES = 2  # the harmonic and the percussive part
Estimates = Callable[[torch.Tensor, torch.Tensor, Sequence[Any]], torch.Tensor]


@dataclass(frozen=True)
class Baseline:
    """A method without priors, steps or randomness.

    run(mixture [time], references [slot, time], learned) → estimates [slot, time]; learns: whether it uses the
    specifications, by a dictionary of each, which are then `learned`, otherwise a condition that changes only them has
    no rows of it; ordered: whether the estimates come in the slots' order, otherwise the best order is scored; sources:
    the only number of sources it can give, 0 for any; weights: the file of a trained control, which is then `learned`
    and parts one voice from one other sound; module: what is imported before the clock starts.
    """

    run: Estimates
    learns: bool = False
    ordered: bool = True
    sources: int = 0
    weights: Path | None = None
    module: str = ""

    def gives(self, specs: Sequence[SourceSpec]) -> bool:
        """Whether it can part sources of these specifications."""
        kinds = tuple(spec.prior for spec in specs)
        return self.sources in (0, len(kinds)) and (self.weights is None or kinds == SLOTS)


BASELINES = {
    "mixture": Baseline(lambda mixture, references, _: mixture_itself(mixture, references)),
    "oracle-ratio-mask": Baseline(lambda mixture, references, _: oracle_ratio_mask(mixture, references)),
    "oracle-wiener": Baseline(lambda mixture, references, _: oracle_wiener(mixture, references)),
    "nmf": Baseline(lambda mixture, _, dictionaries: nmf_sources(mixture, dictionaries), learns=True),
    "hpss": Baseline(
        lambda mixture, *_: hpss(mixture), ordered=False, sources=HPSS_SOURCES, module="librosa.decompose"
    ),
    "conv-tasnet": Baseline(lambda mixture, _, learned: learned[0].separate(mixture), weights=SHIPPED),
}

SAMPLERS: dict[str, Solver] = {**SOLVERS, **ABLATIONS}


@dataclass
class Work:
    """What was asked of networks: clips evaluated, and how many of these with a graph to differentiate."""

    evaluations: int = 0
    gradients: int = 0


class CountingPrior:
    """A prior that notes its work; everything else is the prior's own."""

    def __init__(self, prior: Prior, work: Work):
        self._prior, self._work = prior, work

    def __getattr__(self, name: str) -> object:
        return getattr(self._prior, name)

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """The prior's answer for `noisy` [batch, time]; each clip of the batch counts."""
        self._work.evaluations += len(noisy)
        if torch.is_grad_enabled() and noisy.requires_grad:
            self._work.gradients += len(noisy)
        return self._prior.denoise(noisy, sigma)


@functools.cache
def cached_prior(file: PriorFile, device: str) -> LoadedPrior:
    """A prior without a label, read once a process.

    Raises:
        ValueError: the file is not the one with this SHA-256.
    """
    check_planned(file.path, file.sha256, "prior")
    return load_prior(file.path, device)


@functools.cache
def cached_control(file: PriorFile) -> Control:
    """The supervised control, read once a process.

    Raises:
        ValueError: the file is not the one with this SHA-256.
    """
    check_planned(file.path, file.sha256, "control")
    return load_control(file.path)


def prepared(row: Row, mixture: torch.Tensor, references: torch.Tensor, work: Work) -> Callable[[], torch.Tensor]:
    """The row's separation as a function of nothing, weights or dictionaries loaded; `work` notes what it asks.

    mixture [time] at 16 kHz; references [slot, time], which oracles look at; the function returns [slot, time].
    """
    if row.solver in BASELINES:
        baseline = BASELINES[row.solver]
        if baseline.module:
            importlib.import_module(baseline.module)
        dictionaries = [dictionary(row.clips, row.clips_sha256, spec) for spec in row.specs if baseline.learns]
        learned = [*dictionaries, *map(cached_control, row.prior_files)]
        return functools.partial(baseline.run, mixture, references, learned)
    loaded = {file.prior: cached_prior(file, row.device) for file in row.prior_files}
    priors = [cast(Prior, CountingPrior(loaded[spec.prior].labelled(spec.label), work)) for spec in row.specs]
    samples, sampler = mixture.to(row.device), SAMPLERS[row.solver]

    def run() -> torch.Tensor:
        separation = separate(samples, SAMPLE_RATE, priors, solver=sampler, steps=row.steps, seed=row.seed)
        return separation.sources[:, 0].cpu()

    return run
