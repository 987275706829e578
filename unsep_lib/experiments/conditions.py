"""What a condition changes: the mixture itself, or what a solver is told about its sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from unsep_lib.audio import rms_dbfs, scale_to_dbfs
from unsep_lib.data.mixtures import Mixture
from unsep_lib.evaluation.conv_tasnet import find_control
from unsep_lib.experiments.config import Condition, PriorSet
from unsep_lib.experiments.rows import PriorFile, Slot
from unsep_lib.files import sha256
from unsep_lib.priors.checkpoints import card_of, find_prior
from unsep_lib.source_spec import SourceSpec, parse_spec

CROP_HOP = 0.05  # seconds between the starts that are tried


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


FEWEST_TOLD = 2  # of fewer sources nothing is left to separate


@dataclass(frozen=True)
class Weights:
    """A prior's file and the labels that it knows."""

    file: PriorFile
    labels: tuple[str, ...]


class Shelf(dict[str, Weights]):
    """The weights of a set of priors by the prior's name, each file found and hashed when it is first asked for.

    Raises:
        ValueError: on asking for a prior that is unknown or no prior.
    """

    def __init__(self, priors: PriorSet):
        super().__init__()
        self._files = priors.files

    def __missing__(self, prior: str) -> Weights:
        path = find_prior(self._files.get(prior, prior)).resolve()
        labels = tuple(card_of(path)["labels"])
        self[prior] = Weights(PriorFile(prior, str(path), sha256(path)), labels)
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

    def files_of(self, slots: Sequence[Slot]) -> tuple[PriorFile, ...]:
        """The files that the slots' specifications need, in alphabetical order of the priors.

        Raises:
            ValueError: a prior that is unknown or lacks a label.
        """
        specs = [parse_spec(slot.spec) for slot in slots]
        for spec in specs:
            if spec.label is not None and spec.label not in self[spec.prior].labels:
                known = ", ".join(self[spec.prior].labels) or "none"
                raise ValueError(f"{spec}: unknown label, the prior's labels are {known}")
        return tuple(self[prior].file for prior in sorted({spec.prior for spec in specs}))


def slots_of(specs: Sequence[SourceSpec], condition: Condition, shelf: Shelf, seed: int) -> tuple[Slot, ...] | None:
    """The slots of a mixture of sources `specs` under a condition; None if a part of it would change nothing.

    Raises:
        ValueError: a wrong label is asked for and none is left.
    """
    told = _told(specs, condition.labels, shelf, seed)
    if condition.labels != "given" and told == list(specs):
        return None
    slots = [Slot(str(spec), index) for index, spec in enumerate(told)]
    if condition.unknown:
        if len(slots) <= FEWEST_TOLD:
            return None
        slots.pop()
    if condition.absent:
        extra = parse_spec(condition.absent)
        if extra in specs:
            return None
        slots.append(Slot(str(extra), None))
    if condition.swapped:
        before = [slot.spec for slot in slots]
        slots.reverse()
        if [slot.spec for slot in slots] == before:
            return None
    return tuple(slots)


def _told(specs: Sequence[SourceSpec], labels: str, shelf: Shelf, seed: int) -> list[SourceSpec]:
    if labels == "null":
        return [SourceSpec(spec.prior) for spec in specs]
    if labels == "first":
        return [specs[0]] * len(specs)
    told = list(specs)
    if labels == "wrong":
        for index, spec in enumerate(specs):
            if spec.label is not None:
                told[index] = _wrong(spec, [*specs, *told], shelf[spec.prior].labels, seed)
    return told


def _wrong(spec: SourceSpec, taken: Sequence[SourceSpec], labels: Sequence[str], seed: int) -> SourceSpec:
    """Another label: the seed-th of those not taken, counted from the true one in the prior's order."""
    start = labels.index(spec.label) if spec.label in labels else 0
    free = [label for label in (*labels[start:], *labels[:start]) if SourceSpec(spec.prior, label) not in taken]
    if not free:
        raise ValueError(f"expected a prior with a label to mistake {spec} for, got {', '.join(labels) or 'none'}")
    return SourceSpec(spec.prior, free[seed % len(free)])
