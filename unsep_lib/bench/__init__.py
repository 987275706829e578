"""What the paper's network and the solvers cost in time, memory and arithmetic.

Here: how long arithmetic would take on a GPU, an estimate from its peak and an assumed utilisation.
"""

from __future__ import annotations

from dataclasses import dataclass

H100_FLOAT32 = 67.0  # TFLOP/s, peak of an H100 SXM in float32, the network's precision (NVIDIA's H100 data sheet)
UTILISATION = 0.3  # share of the peak that is reached: an assumption, not a measurement
TERA, PETA, SECONDS_PER_HOUR = 1e12, 1e15, 3600


@dataclass(frozen=True)
class Gpu:
    """A GPU of `peak` TFLOP/s that is assumed to reach the share `utilisation` of it.

    Raises:
        ValueError: a peak or utilisation that is not above 0, or a utilisation above 1.
    """

    peak: float = H100_FLOAT32
    utilisation: float = UTILISATION

    def __post_init__(self) -> None:
        if not (0 < self.peak < float("inf") and 0 < self.utilisation <= 1):
            raise ValueError(
                f"expected a peak above 0 and a utilisation above 0 and up to 1, got {self.peak}, {self.utilisation}"
            )

    def hours(self, flop: int, count: int = 1) -> float:
        """Estimate: hours for `flop` on `count` such GPUs that share the mixtures evenly."""
        return flop / (self.peak * TERA * self.utilisation * count * SECONDS_PER_HOUR)

    def __str__(self) -> str:
        return f"{self.peak:g} TFLOP/s × {self.utilisation:.0%}"
