"""The solvers by name, as a table: each row says where it starts, its noise levels, its rule, samples and steps."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch

from unsep_lib.priors.base import GaussianPrior, Prior
from unsep_lib.priors.paper_schedule import PAPER_STEPS, paper_sigma
from unsep_lib.settings import imported, names_python
from unsep_lib.solvers.daps import Daps
from unsep_lib.solvers.dirac import Dirac
from unsep_lib.solvers.guidance import (
    HYBRID_FLOOR,
    SPHERE_SCALE,
    Guided,
    ReconstructionLoss,
    cqt_diff_guidance,
    dps_guidance,
    dsg_guidance,
    hybrid_guidance,
)
from unsep_lib.solvers.initialization import (
    Start,
    VariancePreserving,
    gaussian_noise,
    noise_augmented_mixture,
    plain_mixture,
)
from unsep_lib.solvers.loop import OnStep, Rule
from unsep_lib.solvers.mixture_consistency import (
    Consistency,
    identity,
    share_by_power,
    share_equally,
    wiener_filter,
)
from unsep_lib.solvers.pigdm import PseudoinverseGuided
from unsep_lib.solvers.projection import Projection
from unsep_lib.solvers.restarts import Restart, Restarts
from unsep_lib.solvers.sampler import Answer, Sampler, Solver
from unsep_lib.solvers.schedules import Levels, LogLevels, paper_levels
from unsep_lib.solvers.undiff import undiff

EARLY_END = 0.15  # σ at which all restarts but the last stop, because the next one starts at σ ≥ 0.5
LAST_END = 0.02  # σ before the last, exact step: 0.6 dB above 0.005 (15 mixtures of the selection set, five seeds each)
ENOUGH = 15.0  # dB of agreement after which no more chains are run; our choice
CHECK_LENGTH, SUM_TOLERANCE = 512, 1e-5  # samples of the check; of rounding
TUNED_SPHERE, TUNED_FLOOR = 0.045, 0.002  # best of five pairs, shipped priors, four mixtures of the selection set


def hybrid(
    sphere_scale: float = SPHERE_SCALE, floor: float = HYBRID_FLOOR, loss: ReconstructionLoss | None = None
) -> Guided:
    """The paper's rule (arXiv 2512.07226), its two constants and its loss as given."""
    guidance = partial(hybrid_guidance, sphere_scale=sphere_scale, floor=floor)
    return Guided(guidance, loss or ReconstructionLoss())


def _paper(
    name: str,
    rule: Rule,
    summary: str,
    start: Start = noise_augmented_mixture,
    levels: Levels = paper_levels,
    postprocess: Consistency = identity,
) -> Solver:
    """A variance-preserving rule as the paper runs it: from the noise-augmented mixture through its 200 levels."""
    return Sampler(name, rule, start, levels, postprocess=postprocess, steps=PAPER_STEPS, summary=summary)


def _table(*solvers: Solver) -> dict[str, Solver]:
    return {solver.name: solver for solver in solvers}


EARLY = Restart(Dirac(), EARLY_END, samples=1, per_source=True, postprocess=wiener_filter, label_contrast=True)
LAST = Restart(Dirac(consistency=wiener_filter), LAST_END, samples=1, per_source=True, share=2)

SOLVERS = _table(
    Restarts(
        "dirac-wiener",
        early=EARLY,
        last=LAST,
        sigmas=(1.5, 0.5),
        fewest=6,
        steps=30,
        summary="restarts of Dirac samples, sharpened by the Wiener filter (default)",
        calibrated=True,
    ),
    Restarts(
        "dirac-agreed",
        early=EARLY,
        last=LAST,
        sigmas=(1.5, 0.5),
        fewest=6,
        chains=3,
        enough=ENOUGH,
        steps=30,
        summary="the default, its last restart begun at what three chains agree on",
    ),
    Restarts(
        "dirac-restart",
        early=Restart(Dirac(), samples=1, per_source=True),
        last=Restart(Dirac(), samples=4, per_source=True),
        sigmas=(1.5, 0.5),
        summary="restarts of means of Dirac samples, each source eliminated in turn",
    ),
    Sampler("dirac", Dirac(eliminated=-1), summary="the last source is what the others leave, score differences"),
    Restarts(
        "projection-restart",
        early=Restart(Projection()),
        last=Restart(Projection()),
        summary="4 restarts of projection-mean, each from the last one's mean",
    ),
    Sampler("projection-mean", Projection(), samples=4, steps=20, summary="mean of 4 short projection samples"),
    Sampler("projection", Projection(share_by_power), summary="one projection sample, no gradient"),
    _paper("hybrid", hybrid(), "the paper's guided sampler, with gradients"),
    _paper(
        "hybrid-tuned", hybrid(TUNED_SPHERE, TUNED_FLOOR), "hybrid with its two constants chosen for the shipped priors"
    ),
    _paper("dsg", Guided(dsg_guidance), "guidance of fixed length on the step's noise sphere, with gradients"),
    _paper("dps", Guided(dps_guidance), "guidance along the plain gradient"),
    _paper("cqt-diff", Guided(cqt_diff_guidance), "guidance of length 0.001·√L/√(1−ᾱ), with gradients"),
    _paper("undiff", undiff, "the paper's gradient-free baseline", start=gaussian_noise),
    Sampler("pigdm", PseudoinverseGuided(), summary="guidance by a Gaussian guess of the mixture, with gradients"),
    Daps("daps", steps=20, summary="fresh draws that add up to the mixture, 5 evaluations a step"),
)
DEFAULT_SOLVER = "dirac-wiener"

ABLATIONS = _table(
    _paper("hybrid-from-noise", hybrid(), "start at pure noise", start=gaussian_noise),
    _paper("hybrid-from-mixture", hybrid(), "start at the mixture", start=plain_mixture),
    _paper("hybrid-waveform", hybrid(loss=ReconstructionLoss(chunks=0, spectral=0)), "loss of the waveform alone"),
    _paper("hybrid-no-spectrum", hybrid(loss=ReconstructionLoss(spectral=0)), "loss without spectrum"),
    _paper("hybrid-half", hybrid(SPHERE_SCALE / 2, HYBRID_FLOOR / 2), "steps half as long"),
    _paper("hybrid-double", hybrid(2 * SPHERE_SCALE, 2 * HYBRID_FLOOR), "steps twice as long"),
    _paper(
        "hybrid-log", hybrid(), "levels even in ln σ", levels=LogLevels(paper_sigma(PAPER_STEPS - 1), paper_sigma(0))
    ),
    _paper("hybrid-filtered", hybrid(), "the Wiener filter at the end", postprocess=wiener_filter),
    Restarts(
        "contrast-filtered",
        early=Restart(Dirac(), samples=1, per_source=True, label_contrast=True),
        last=Restart(Dirac(), samples=4, per_source=True),
        sigmas=(1.5, 0.5),
        postprocess=wiener_filter,
        summary="the Wiener filter at the end alone",
    ),
    Sampler("projection-equal", Projection(share_equally), summary="projection with equal weights"),
)


def solver_named(solver: str | Solver) -> Solver:
    """A solver by its name in the table or as `module:name`; one of your own as it is.

    `module:name` is imported: a Solver, or a rule, which then runs as the projection does (or, variance-preserving,
    as the paper's).

    Raises:
        ValueError: unknown name, or one that names neither.
    """
    if isinstance(solver, Solver):
        return solver
    if solver in SOLVERS:
        return SOLVERS[solver]
    if names_python(solver):
        found = imported(solver, "a solver or a rule")
        return found if isinstance(found, Solver) else sampler_of(cast(Rule, found), solver)
    raise ValueError(f"unknown solver {solver!r}: known are {', '.join(SOLVERS)}, or module:name for one of your own")


def sampler_of(rule: Rule, name: str = "own") -> Solver:
    """A rule as a solver: on the projection's start and noise levels or, variance-preserving, on the paper's.

    Raises:
        ValueError: it cannot be called with (problem, state, sigma, sigma_next).
    """
    try:
        inspect.signature(rule).bind(None, None, None, None)
    except TypeError as error:
        raise ValueError(
            f"expected a Solver or a rule, a function of (problem, state, sigma, sigma_next), got {name!r}: {error}"
        ) from error
    return _paper(name, rule, "") if isinstance(rule, VariancePreserving) else Sampler(name, rule)


def solve(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    *,
    seeds: Sequence[int],
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    on_step: OnStep = None,
) -> torch.Tensor:
    """Separate a batch of mixtures [batch, time] into sources [batch, source, time]; words as in `solve_judged`."""
    return solve_judged(mixture, priors, seeds=seeds, solver=solver, steps=steps, on_step=on_step).sources


def solve_judged(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    *,
    seeds: Sequence[int],
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    on_step: OnStep = None,
) -> Answer:
    """Sources [batch, source, time] of mixtures [batch, time], by a solver, and how far each can be trusted.

    priors: one per source; seeds: one per mixture, so that a batch equals its mixtures one at a time; solver: by name
    or your own; steps: None for its own number.

    Raises:
        ValueError: unknown solver, no priors, a batch whose seeds do not match, or a number of steps or noise
            levels that solver or priors do not allow.
    """
    chosen = solver_named(solver)
    if mixture.ndim != 2 or len(seeds) != len(mixture):
        raise ValueError(f"expected a mixture [batch, time] and a seed each, got {tuple(mixture.shape)}, {len(seeds)}")
    if not priors:
        raise ValueError("expected at least one source, got none")
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"expected seeds of 0 or above, got {min(seeds)}")
    return chosen.answer(mixture, priors, chosen.steps if steps is None else steps, seeds, on_step)


@dataclass(frozen=True)
class Promises:
    """What every solver should keep: its sources add up to the mixture, and a seed decides everything.

    rest: what the sources leave of the mixture, relative to it.
    """

    rest: float
    seed_decides: bool

    @property
    def adds_up(self) -> bool:
        """Whether the sources add up to the mixture, to a hundredth of a per mille."""
        return self.rest < SUM_TOLERANCE

    def __str__(self) -> str:
        return f"sources add up to the mixture: {self.adds_up}\na seed decides everything: {self.seed_decides}"


def check_solver(solver: str | Solver | Rule, steps: int = 20) -> Promises:
    """Run a solver or a rule on two Gaussian sources, twice with one seed, and say what it keeps.

    Raises:
        ValueError: its sources have another shape than [batch, source, time], or are not all finite.
    """
    chosen = solver_named(solver) if isinstance(solver, (str, Solver)) else sampler_of(solver)
    bins = torch.linspace(0, 1, CHECK_LENGTH // 2 + 1)
    priors = [GaussianPrior(0.001 + 0.009 * (bins - peak).square()) for peak in (0.0, 1.0)]
    mixture = 0.1 * torch.randn(2, CHECK_LENGTH, generator=torch.Generator().manual_seed(0))
    first, again, other = (chosen.run(mixture, priors, steps, seeds) for seeds in ([0, 1], [0, 1], [2, 3]))
    if first.shape != (2, 2, CHECK_LENGTH) or not first.isfinite().all():
        raise ValueError(f"expected finite sources [batch, source, time] = (2, 2, {CHECK_LENGTH}), got {first.shape}")
    rest = (mixture - first.sum(dim=1)).norm() / mixture.norm()
    return Promises(rest.item(), torch.equal(first, again) and not torch.equal(first, other))
