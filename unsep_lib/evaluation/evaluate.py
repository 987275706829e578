"""Scores of a separation method on mixtures with references."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.mixtures import Mixture
from unsep_lib.evaluation.baselines import oracle_ratio_mask
from unsep_lib.evaluation.metrics import Statistic, best_order, si_sdr, slot_switches, statistic
from unsep_lib.versions import peak_memory_mb
from unsep_lib.windows import HOP

COLLAPSE_DB = -10.0  # a source whose SI-SDR falls by more than this has collapsed


@dataclass(frozen=True)
class Row:
    """The score of one source of one mixture, in dB."""

    mixture: str
    source: int
    label: str
    si_sdr: float
    si_sdr_improvement: float


@dataclass(frozen=True)
class Evaluation:
    """Scores over mixtures; silent references are left out.

    switches: how often sources changed places in `passages` from one window's 6 s to the next window's.
    """

    rows: tuple[Row, ...]
    seconds_per_mixture: float
    switches: int = 0
    passages: int = 0

    def statistic(self, field: str) -> Statistic:
        """Mean, median and 95 % interval over mixtures of "si_sdr" or "si_sdr_improvement"."""
        return statistic([getattr(row, field) for row in self.rows], [row.mixture for row in self.rows])

    @property
    def collapsed(self) -> float:
        """Share of sources that lost more than 10 dB."""
        return sum(row.si_sdr_improvement < COLLAPSE_DB for row in self.rows) / len(self.rows)

    def as_json(self) -> dict[str, object]:
        """The evaluation in the documented JSON layout."""
        return {
            "si_sdr": asdict(self.statistic("si_sdr")),
            "si_sdr_improvement": asdict(self.statistic("si_sdr_improvement")),
            "collapsed": self.collapsed,
            "seconds_per_mixture": self.seconds_per_mixture,
            "slot_switches": self.switches,
            "window_passages": self.passages,
            "peak_memory_mb": peak_memory_mb(),
            "rows": [asdict(row) for row in self.rows],
        }


def score(mixture: Mixture, estimates: torch.Tensor) -> list[Row]:
    """Rows of one mixture from its estimates [source, time], in the references' order."""
    order = best_order(estimates, mixture.sources, mixture.specs)
    after = si_sdr(estimates[order], mixture.sources)
    before = si_sdr(mixture.mixture.expand_as(mixture.sources), mixture.sources)
    return [
        Row(mixture.name, number, str(spec), value.item(), (value - base).item())
        for number, (spec, value, base) in enumerate(zip(mixture.specs, after, before, strict=True), start=1)
        if not value.isnan()
    ]


def evaluate(
    mixtures: Sequence[Mixture],
    method: Callable[[Mixture], torch.Tensor],
    on_mixture: Callable[[str, list[Row]], None] | None = None,
) -> Evaluation:
    """Score method(mixture) → estimates [source, time] on every mixture.

    Raises:
        ValueError: no mixtures, or only silent references.
    """
    rows: list[Row] = []
    seconds, switches, passages = 0.0, 0, 0
    for mixture in mixtures:
        began = time.monotonic()
        estimates = method(mixture)
        seconds += time.monotonic() - began
        scored = score(mixture, estimates)
        rows += scored
        switched, passed = slot_switches(estimates, mixture.sources, round(HOP * mixture.sample_rate / SAMPLE_RATE))
        switches, passages = switches + switched, passages + passed
        if on_mixture is not None:
            on_mixture(mixture.name, scored)
    if not rows:
        raise ValueError("expected at least one mixture with an audible reference, got none")
    return Evaluation(tuple(rows), seconds / len(mixtures), switches, passages)


def oracle(mixture: Mixture) -> torch.Tensor:
    """The oracle ratio mask as a method."""
    return oracle_ratio_mask(mixture.mixture, mixture.sources)
