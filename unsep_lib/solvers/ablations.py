"""The paper's guided sampler and the default with one part changed, for `unsep experiment ablation`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import PAPER_STEPS, paper_sigma
from unsep_lib.solvers.guided import hybrid, on_paper_grid
from unsep_lib.solvers.initialization import gaussian_noise, plain_mixture
from unsep_lib.solvers.likelihood import ReconstructionLoss
from unsep_lib.solvers.mixture_consistency import filter_by_power
from unsep_lib.solvers.registry import Solver
from unsep_lib.solvers.restarts import dirac_contrast
from unsep_lib.solvers.schedules import grid_for
from unsep_lib.solvers.several import Run, settled
from unsep_lib.solvers.step_rules import HYBRID_FLOOR, SPHERE_SCALE, Hybrid, hybrid_guidance

WAVEFORM = ReconstructionLoss(chunks=0.0, spectral=0.0)
NO_SPECTRUM = ReconstructionLoss(spectral=0.0)


def log_levels(priors: Sequence[Prior], steps: int) -> list[float]:
    """The paper's range of noise levels, evenly spaced in ln σ, then 0."""
    return grid_for(priors, paper_sigma(PAPER_STEPS - 1), paper_sigma(0), steps)


def scaled_guidance(factor: float) -> Hybrid:
    """The hybrid rule with both of its constants, so every step, `factor` times as long."""
    return Hybrid(partial(hybrid_guidance, sphere_scale=factor * SPHERE_SCALE, floor=factor * HYBRID_FLOOR))


def _hybrid(name: str, summary: str, run: Run) -> Solver:
    return Solver(name, summary, PAPER_STEPS, run)


ABLATIONS = {
    solver.name: solver
    for solver in (
        _hybrid(
            "hybrid-from-noise", "start at pure noise", partial(on_paper_grid, rule=Hybrid(), start=gaussian_noise)
        ),
        _hybrid(
            "hybrid-from-mixture", "start at the mixture", partial(on_paper_grid, rule=Hybrid(), start=plain_mixture)
        ),
        _hybrid("hybrid-waveform", "loss of the waveform alone", partial(on_paper_grid, rule=Hybrid(loss=WAVEFORM))),
        _hybrid("hybrid-no-spectrum", "loss without spectrum", partial(on_paper_grid, rule=Hybrid(loss=NO_SPECTRUM))),
        _hybrid("hybrid-half", "steps half as long", partial(on_paper_grid, rule=scaled_guidance(0.5))),
        _hybrid("hybrid-double", "steps twice as long", partial(on_paper_grid, rule=scaled_guidance(2.0))),
        _hybrid("hybrid-log", "levels even in ln σ", partial(on_paper_grid, rule=Hybrid(), levels=log_levels)),
        _hybrid("hybrid-filtered", "Wiener's filter at the end", partial(settled, hybrid, filter_by_power)),
        Solver(
            "contrast-filtered",
            "Wiener's filter at the end alone",
            40,
            partial(settled, dirac_contrast, filter_by_power),
        ),
    )
}
