"""What a condition changes: the mixture itself, or the specifications that a solver is given of its sources."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from unsep_lib.audio import SAMPLE_RATE, resample, rms_dbfs, scale_to_dbfs
from unsep_lib.data.mixtures import Mixture, mixture_digest, read_mixture
from unsep_lib.evaluation.conv_tasnet import find_control
from unsep_lib.experiments.config import Condition, PriorSet
from unsep_lib.experiments.rows import PlannedSource, PriorFile, Row
from unsep_lib.files import sha256
from unsep_lib.priors.checkpoints import card_of, digest_of, find_prior, load_prior
from unsep_lib.settings import names_python
from unsep_lib.source_spec import SourceSpec, parse_spec

CROP_HOP = 0.05  # seconds between the starts that are tried
MIXTURES_KEPT = 4  # a process works on few mixtures at a time


@functools.lru_cache(maxsize=MIXTURES_KEPT)
def read_planned(folder: str, digest: str) -> Mixture:
    """The mixture in `folder`, at 16 kHz.

    Raises:
        ValueError: its samples are not those with this digest.
    """
    mixture = read_mixture(folder)
    if mixture_digest(mixture) != digest:
        raise ValueError(f"{folder}: expected the mixture that the sweep was planned with, got another")
    samples, sources = (resample(x, mixture.sample_rate, SAMPLE_RATE) for x in (mixture.mixture, mixture.sources))
    return replace(mixture, mixture=samples, sources=sources, sample_rate=SAMPLE_RATE)


def changed_mixture(row: Row) -> Mixture:
    """The mixture of a row as its condition changes it.

    Raises:
        ValueError: a file is not what was planned with, or the mixture is too short.
    """
    mixture = read_planned(row.folder, row.digest)
    if row.also_folder:
        mixture = joined(mixture, read_planned(row.also_folder, row.also_digest))
    return at_levels(cropped(mixture, row.seconds), row.level_difference)


def joined(mixture: Mixture, other: Mixture) -> Mixture:
    """The sum of two mixtures, the sources of the first one first.

    Raises:
        ValueError: they differ in length or rate.
    """
    if (mixture.sample_rate, mixture.mixture.shape) != (other.sample_rate, other.mixture.shape):
        raise ValueError(
            f"{mixture.name} and {other.name}: expected mixtures of one length and rate, got {len(mixture.mixture)} "
            f"and {len(other.mixture)} samples at {mixture.sample_rate} and {other.sample_rate} Hz"
        )
    sources = torch.cat([mixture.sources, other.sources])
    specs = (*mixture.specs, *other.specs)
    return replace(mixture, mixture=mixture.mixture + other.mixture, sources=sources, specs=specs)


def cropped(mixture: Mixture, seconds: float) -> Mixture:
    """The piece of `seconds` in which the source that keeps least of its energy keeps most; 0: all of it.

    Raises:
        ValueError: the mixture is shorter.
    """
    length = round(seconds * mixture.sample_rate)
    if not length:
        return mixture
    if length > mixture.mixture.shape[-1]:
        have = mixture.mixture.shape[-1] / mixture.sample_rate
        raise ValueError(f"{mixture.name}: expected a mixture of at least {seconds:g} s, got {have:g} s")
    energy = torch.nn.functional.pad(mixture.sources.double().square().cumsum(dim=-1), (1, 0))
    hop = round(CROP_HOP * mixture.sample_rate)
    kept = (energy[:, length:] - energy[:, :-length])[:, ::hop] / energy[:, -1:].clamp_min(torch.finfo().tiny)
    start = hop * int(kept.amin(dim=0).argmax())
    piece = slice(start, start + length)
    return replace(mixture, mixture=mixture.mixture[piece], sources=mixture.sources[:, piece])


def at_levels(mixture: Mixture, difference: float | None) -> Mixture:
    """The first source `difference` dB (RMS) above each other one, added up anew; None: as it is.

    Raises:
        ValueError: a source is silent.
    """
    if difference is None:
        return mixture
    first, *others = mixture.sources
    level = rms_dbfs(first) - difference
    sources = torch.stack([first, *(scale_to_dbfs(other, level) for other in others)])
    return replace(mixture, mixture=sources.sum(dim=0), sources=sources)


FEWEST_SOURCES = 2  # with fewer nothing is left to separate


@dataclass(frozen=True)
class Weights:
    """A prior's file and the labels that it knows."""

    file: PriorFile
    labels: tuple[str, ...]


class WeightsCache(dict[str, Weights]):
    """The weights of a set of priors by the prior's name, each file found and hashed when it is first asked for.

    Raises:
        ValueError: on asking for a prior that is unknown or no prior.
    """

    def __init__(self, priors: PriorSet):
        super().__init__()
        self._files = priors.files

    def __missing__(self, prior: str) -> Weights:
        name = self._files.get(prior, prior)
        if names_python(name):
            labels = load_prior(name).labels
        else:
            path = find_prior(name).resolve()
            name, labels = str(path), tuple(card_of(path)["labels"])
        self[prior] = Weights(PriorFile(prior, name, digest_of(name)), labels)
        return self[prior]

    def control(self, baseline: str, shipped: Path) -> PriorFile:
        """The file of a trained baseline's weights: the set's own, or the shipped one.

        Raises:
            ValueError: no such file.
        """
        if baseline not in self:
            path = find_control(self._files.get(baseline, shipped))
            self[baseline] = Weights(PriorFile(baseline, str(path), sha256(path)), labels=())
        return self[baseline].file

    def files_of(self, sources: Sequence[PlannedSource]) -> tuple[PriorFile, ...]:
        """The files that the sources' specifications need, in alphabetical order of the priors.

        Raises:
            ValueError: a prior that is unknown or lacks a label.
        """
        specs = [parse_spec(source.spec) for source in sources]
        for spec in specs:
            if spec.label is not None and spec.label not in self[spec.prior].labels:
                known = ", ".join(self[spec.prior].labels) or "none"
                raise ValueError(f"{spec}: unknown label, the prior's labels are {known}")
        return tuple(self[prior].file for prior in sorted({spec.prior for spec in specs}))


def planned_sources(
    specs: Sequence[SourceSpec], condition: Condition, cache: WeightsCache, seed: int
) -> tuple[PlannedSource, ...] | None:
    """The planned sources of a mixture of `specs` under a condition; None if a part of it would change nothing.

    Raises:
        ValueError: a wrong label is asked for and none is left.
    """
    given = _given(specs, condition.labels, cache, seed)
    if condition.labels != "given" and given == list(specs):
        return None
    sources = [PlannedSource(str(spec), index) for index, spec in enumerate(given)]
    if condition.unknown:
        if len(sources) <= FEWEST_SOURCES:
            return None
        sources.pop()
    if condition.absent:
        extra = parse_spec(condition.absent)
        if extra in specs:
            return None
        sources.append(PlannedSource(str(extra), None))
    if condition.swapped:
        before = [source.spec for source in sources]
        sources.reverse()
        if [source.spec for source in sources] == before:
            return None
    return tuple(sources)


def _given(specs: Sequence[SourceSpec], labels: str, cache: WeightsCache, seed: int) -> list[SourceSpec]:
    if labels == "null":
        return [SourceSpec(spec.prior) for spec in specs]
    if labels == "first":
        return [specs[0]] * len(specs)
    given = list(specs)
    if labels == "wrong":
        for index, spec in enumerate(specs):
            if spec.label is not None:
                given[index] = _wrong(spec, [*specs, *given], cache[spec.prior].labels, seed)
    return given


def _wrong(spec: SourceSpec, taken: Sequence[SourceSpec], labels: Sequence[str], seed: int) -> SourceSpec:
    """Another label: the seed-th of those not taken, counted from the true one in the prior's order."""
    start = labels.index(spec.label) if spec.label in labels else 0
    free = [label for label in (*labels[start:], *labels[:start]) if SourceSpec(spec.prior, label) not in taken]
    if not free:
        raise ValueError(f"expected a prior with a label to mistake {spec} for, got {', '.join(labels) or 'none'}")
    return SourceSpec(spec.prior, free[seed % len(free)])
