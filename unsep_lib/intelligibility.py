"""How a separated voice fares with a listener: STOI and, where its package is installed, PESQ."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from pystoi import stoi as pystoi_stoi

from unsep_lib.audio import SAMPLE_RATE, resample
from unsep_lib.metrics import best_order
from unsep_lib.mixtures import Mixture

VOICE = "speech"  # the prior whose sources are voices


@dataclass(frozen=True)
class Voice:
    """One voice of one mixture: its estimate's and the mixture's own STOI (0 … 1) and PESQ (1 … 4.6; None: no package).

    source: its number in the mixture, from 1.
    """

    mixture: str
    source: int
    stoi: float
    stoi_of_mixture: float
    pesq: float | None
    pesq_of_mixture: float | None


def stoi(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Short-time objective intelligibility of [time] at 16 kHz, 0 … 1 (Taal et al. 2011), by pystoi."""
    return float(pystoi_stoi(reference.double().numpy(), estimate.double().numpy(), SAMPLE_RATE))


def pesq(estimate: torch.Tensor, reference: torch.Tensor) -> float | None:
    """Wideband PESQ of [time] at 16 kHz, 1 … 4.6 (ITU-T P.862.2), by the package pesq.

    None where that is not installed, or finds no utterance, as in silence.
    """
    if importlib.util.find_spec("pesq") is None or not (reference.any() and estimate.any()):
        return None
    from pesq import PesqError
    from pesq import pesq as by_package

    try:
        return float(by_package(SAMPLE_RATE, reference.numpy(), estimate.numpy(), "wb"))
    except PesqError:
        return None


def voices(mixture: Mixture, estimates: torch.Tensor) -> list[Voice]:
    """The scores of a mixture's audible voices from its estimates [source, time]."""
    order = best_order(estimates, mixture.sources, mixture.specs)
    whole, references, found = (
        resample(samples.float().cpu(), mixture.sample_rate, SAMPLE_RATE)
        for samples in (mixture.mixture, mixture.sources, estimates[order])
    )
    numbered = enumerate(zip(mixture.specs, references, found, strict=True), start=1)
    return [
        Voice(
            mixture=mixture.name,
            source=number,
            stoi=stoi(estimate, reference),
            stoi_of_mixture=stoi(whole, reference),
            pesq=pesq(estimate, reference),
            pesq_of_mixture=pesq(whole, reference),
        )
        for number, (spec, reference, estimate) in numbered
        if spec.prior == VOICE and reference.any()
    ]
