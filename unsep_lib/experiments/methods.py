"""What a row can be separated by: every solver and ablation, and baselines as if they were solvers."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from unsep_lib.audio import SAMPLE_RATE, SILENCE_DBFS, read_mono, rms_dbfs, scale_to_dbfs
from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.evaluation.baselines import (
    hpss,
    mixture_itself,
    nmf_dictionary,
    nmf_sources,
    oracle_ratio_mask,
    oracle_wiener,
)
from unsep_lib.evaluation.conv_tasnet import SHIPPED, SLOTS, Control, load_control
from unsep_lib.experiments.rows import PriorFile, Row, check_planned
from unsep_lib.priors.base import Prior
from unsep_lib.priors.checkpoints import LoadedPrior, load_prior
from unsep_lib.separation import separate
from unsep_lib.solvers import ABLATIONS, SOLVERS, Solver
from unsep_lib.source_spec import SourceSpec

UNLABELLED_PRIOR = "speech"  # its clips carry no label, those of every other prior do (as in draw_mixtures)
TRAINING_SECONDS = 60.0  # of clips a dictionary, so that a large corpus costs no more than the embedded clips
TRAINING_LEVEL = -20.0  # dBFS of each clip, so that loud ones count no more


def clips_of(clips: Sequence[Clip], spec: SourceSpec) -> list[Clip]:
    """Up to a minute of training clips that a specification describes, in an order that means nothing.

    `speech` is the clips without a label, `PRIOR:LABEL` those of the label, another prior alone all labelled ones.

    Raises:
        ValueError: there are none.
    """
    chosen, seconds = [], 0.0
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == "train" and _described(clip, spec) and seconds < TRAINING_SECONDS:
            chosen.append(clip)
            seconds += clip.seconds
    if not chosen:
        raise ValueError(f"expected training clips of {spec} for a baseline that learns, got none")
    return chosen


def _described(clip: Clip, spec: SourceSpec) -> bool:
    if spec.label is not None:
        return clip.label == spec.label
    return bool(clip.label) != (spec.prior == UNLABELLED_PRIOR)


@functools.cache
def dictionary(manifest: str, digest: str, spec: SourceSpec) -> torch.Tensor:
    """The dictionary [component, bin] of a specification, learned once a process from the manifest's clips.

    Raises:
        ValueError: the manifest is not the one with this SHA-256, or holds no such clips.
    """
    check_planned(manifest, digest, "manifest")
    samples = (read_mono(clip.file) for clip in clips_of(read_manifest(manifest), spec))
    return nmf_dictionary([scale_to_dbfs(x, TRAINING_LEVEL) for x in samples if rms_dbfs(x) > SILENCE_DBFS])


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
        separation = separate(samples, priors, SAMPLE_RATE, solver=sampler, steps=row.steps, seed=row.seed)
        return separation.sources[:, 0].cpu()

    return run
