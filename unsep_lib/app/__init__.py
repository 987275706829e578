"""The page "separate your own": a Voilà server on the loopback, one notebook, and the plain functions under it."""
