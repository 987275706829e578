"""unsep: unsupervised single-channel audio separation with diffusion source priors (arXiv 2512.07226).

from unsep_lib import separate
found = separate("mix.wav", ["speech", "sound:Cello"])
found["speech"], found.residual, found.save("out/"), found.play()

Each command of `unsep` is one call with the same words: separate_file, enrol, train, prepare, mix, evaluate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unsep_lib.versions import __version__ as __version__

if TYPE_CHECKING:
    from unsep_lib.data.mixture_sets import mix
    from unsep_lib.data.prepare import prepare
    from unsep_lib.evaluation.evaluate import Evaluation, evaluate
    from unsep_lib.priors.base import Prior
    from unsep_lib.priors.checkpoints import load_prior
    from unsep_lib.separation import Separation, separate, separate_file
    from unsep_lib.solvers import SOLVERS, Problem, Solver, Step, reverse
    from unsep_lib.training.by_name import enrol, train

__all__ = [
    "SOLVERS",
    "Evaluation",
    "Prior",
    "Problem",
    "Separation",
    "Solver",
    "Step",
    "enrol",
    "evaluate",
    "load_prior",
    "mix",
    "prepare",
    "reverse",
    "separate",
    "separate_file",
    "train",
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
    "enrol": "unsep_lib.training.by_name",
    "train": "unsep_lib.training.by_name",
    "prepare": "unsep_lib.data.prepare",
    "mix": "unsep_lib.data.mixture_sets",
}


def __getattr__(name: str) -> object:
    """What `__all__` names, imported when it is first asked for: `import unsep_lib` alone does not load torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found
