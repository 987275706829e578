"""How much memory a process needed."""

from __future__ import annotations

import resource
import sys


def peak_memory_mb() -> float:
    """The process's largest resident memory so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
