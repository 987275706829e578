"""unsep: unsupervised single-channel audio separation with diffusion source priors (arXiv 2512.07226)."""

__version__ = "0.1.0"
