"""Training a prior from clips of one kind of source."""

from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.loop import TrainingProgress, train_prior

__all__ = ["TrainingConfig", "TrainingProgress", "train_prior"]
