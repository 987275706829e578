"""How the embedded audio, the training sounds and the yardsticks are made."""
