"""Training a prior from clips of one kind of source."""

from unsep_lib.training.config import TrainingConfig
from unsep_lib.training.loop import TrainingProgress, train_prior

train = train_prior  # until no notebook says so

__all__ = ["TrainingConfig", "TrainingProgress", "train", "train_prior"]
