"""How the embedded audio, the training sounds and the benchmark sets are made."""
