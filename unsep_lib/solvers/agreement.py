"""Agreement: how alike several answers to one mixture are, and the mean that those which agree decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from unsep_lib.priors.base import matched

LIMIT = 30.0  # dB either way; answers that are equal have no finite agreement
OFFSET, SLOPE, SPREAD = 2.5, 0.75, 8.0  # dB, 1, dB: improvement of 52 sources of 23 embedded mixtures, the default
OFFSET_OF_ONE_PRIOR = -0.7  # dB: sources that share a prior, 16 answers to ten mixtures of two voices
DOUBTFUL, DOUBTFUL_OF_ONE_PRIOR = 6.0, 12.0  # dB of agreement; a voice and a sound have 19 on average
TEMPERATURE = 3.0  # dB; an answer that agrees so much more with the others has e times the weight


def agreement(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The SI-SDR of either signal against the other, in dB (arXiv 1811.02508): [..., time] and [..., time] → [...].

    `10 log₁₀ c²/(1 − c²)` with c their correlation coefficient over time, −30 … 30 dB; 0 dB where either is constant.
    """
    first, second = (signal.double() - signal.double().mean(dim=-1, keepdim=True) for signal in (first, second))
    energy = first.square().sum(dim=-1) * second.square().sum(dim=-1)
    alike = (first * second).sum(dim=-1).square()
    ratio = torch.where(energy > 0, alike / energy, 0.5).clamp(0, 1)
    return (10 * torch.log10(ratio / (1 - ratio))).clamp(-LIMIT, LIMIT).to(torch.float32)


class Consensus(NamedTuple):
    """What several answers have in common.

    mean [source, time]: of the answers, those that agree with the others weighing more; agreement [source]: of the
    answers with each other, in dB, the mean over their pairs.
    """

    mean: torch.Tensor
    agreement: torch.Tensor


def consensus(answers: torch.Tensor, groups: Sequence[object]) -> Consensus:
    """What several answers [answer, source, time] to one mixture have in common, in one order (`in_one_order`).

    An answer's weight is `exp(a/3 dB)`, a its mean agreement with the others over the sources (agreement predicts the
    error: arXiv 2509.19495).
    """
    if len(answers) == 1:
        return Consensus(answers[0], answers.new_full((answers.shape[1],), LIMIT))
    ordered = in_one_order(answers, groups)
    others = ~torch.eye(len(answers), dtype=torch.bool)
    alike = (
        agreement(ordered[:, None], ordered[None])[others].unflatten(0, (len(answers), len(answers) - 1)).mean(dim=1)
    )
    weight = torch.softmax(alike.mean(dim=-1) / TEMPERATURE, dim=0).to(answers)
    return Consensus((weight[:, None, None] * ordered).sum(dim=0), alike.mean(dim=0))


def in_one_order(answers: torch.Tensor, groups: Sequence[object]) -> torch.Tensor:
    """Answers [answer, source, time], sources of equal groups in the order of the answer most like all the others."""
    if len(set(groups)) == len(groups):
        return answers
    likeness = agreement(answers[:, None, :, None], answers[None, :, None])  # [answer, answer, source, source]
    orders = [[matched(pair, groups) for pair in row] for row in likeness]
    fits = [
        sum(pair[range(len(order)), order].sum() for pair, order in zip(*both, strict=True))
        for both in zip(likeness, orders, strict=True)
    ]
    best = orders[max(range(len(fits)), key=lambda index: float(fits[index]))]
    return torch.stack([answer[order] for answer, order in zip(answers, best, strict=True)])


@dataclass(frozen=True)
class Confidence:
    """How far a source can be trusted, all in dB.

    agreement: of the answers with each other; improvement: the SI-SDR improvement that such sources have had on
    average; low, high: the range in which four of five of them were (the calibration is on the results page);
    doubtful: whether the answers differ so much that sources may be mixed up.
    """

    agreement: float
    improvement: float
    low: float
    high: float
    doubtful: bool

    @classmethod
    def of(cls, agreement: float, one_prior: bool = False) -> Confidence:
        """The confidence that an agreement gives; one_prior: another source has the same prior, which says less."""
        improvement = (OFFSET_OF_ONE_PRIOR if one_prior else OFFSET) + SLOPE * agreement
        low, high = improvement - SPREAD, improvement + SPREAD
        doubtful = agreement < (DOUBTFUL_OF_ONE_PRIOR if one_prior else DOUBTFUL)
        return cls(round(agreement, 1), round(improvement, 1), round(low, 1), round(high, 1), doubtful)

    def __str__(self) -> str:
        text = f"about {round(self.improvement)} dB better than the mixture ({round(self.low)} … {round(self.high)})"
        return text + (", but the answers differ: sources may be mixed up" if self.doubtful else "")
