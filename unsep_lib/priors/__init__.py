"""Priors: what one kind of source sounds like, as a denoiser E[x_0 | x_0 + σ n]."""
