"""Agreement: how alike several answers to one mixture are, and the mean that those which agree decide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch

from unsep_lib.priors.base import matched

LIMIT = 30.0  # dB either way; answers that are equal have no finite agreement
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
    """What several answers [answer, source, time] to one mixture have in common.

    Sources of equal `groups` are first put in the order of the answer that agrees most with the others. An answer's
    weight is `exp(a/3 dB)`, a its mean agreement with the others over the sources (agreement predicts the error:
    arXiv 2509.19495).
    """
    count = len(answers)
    pairs = {(i, j): _aligned(answers[i], answers[j], groups) for i, j in combinations(range(count), 2)}
    if not pairs:
        return Consensus(answers[0], answers.new_full((answers.shape[1],), LIMIT))
    alike = {pair: agreement(answers[pair[0]], aligned) for pair, aligned in pairs.items()}
    score = torch.stack(
        [torch.stack([a.mean() for pair, a in alike.items() if n in pair]).mean() for n in range(count)]
    )
    best = int(score.argmax())
    ordered = torch.stack([_aligned(answers[best], answer, groups) for answer in answers])
    weight = torch.softmax(score / TEMPERATURE, dim=0).to(answers)
    each = torch.stack([agreement(ordered[i], ordered[j]) for i, j in pairs]).mean(dim=0)
    return Consensus((weight[:, None, None] * ordered).sum(dim=0), each)


def _aligned(answer: torch.Tensor, other: torch.Tensor, groups: Sequence[object]) -> torch.Tensor:
    """`other` in the order of sources in which it is most like `answer`, both [source, time]."""
    if len(set(groups)) == len(groups):
        return other
    return other[matched(agreement(answer[:, None], other[None]), groups)]
