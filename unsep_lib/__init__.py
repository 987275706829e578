"""unsep: unsupervised single-channel audio separation with diffusion source priors (arXiv 2512.07226).

from unsep_lib import separate
found = separate("mix.wav", ["speech", "sound:Cello"])
found["speech"], found.residual, found.save("out/"), found.play()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unsep_lib.evaluation.evaluate import Evaluation, evaluate
    from unsep_lib.priors.base import Prior
    from unsep_lib.priors.checkpoints import load_prior
    from unsep_lib.separation import Separation, separate, separate_file
    from unsep_lib.solvers import SOLVERS, Problem, Solver, Step, reverse

__version__ = "0.1.0"

__all__ = [
    "SOLVERS",
    "Evaluation",
    "Prior",
    "Problem",
    "Separation",
    "Solver",
    "Step",
    "evaluate",
    "load_prior",
    "reverse",
    "separate",
    "separate_file",
]

_MODULES = {
    "Evaluation": "unsep_lib.evaluation.evaluate",
    "evaluate": "unsep_lib.evaluation.evaluate",
    "Prior": "unsep_lib.priors.base",
    "load_prior": "unsep_lib.priors.checkpoints",
    "Separation": "unsep_lib.separation",
    "separate": "unsep_lib.separation",
    "separate_file": "unsep_lib.separation",
    "SOLVERS": "unsep_lib.solvers",
    "Problem": "unsep_lib.solvers",
    "Step": "unsep_lib.solvers",
    "Solver": "unsep_lib.solvers",
    "reverse": "unsep_lib.solvers",
}


def __getattr__(name: str) -> object:
    """What `__all__` names, imported when it is first asked for: `import unsep_lib` alone does not load torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found
