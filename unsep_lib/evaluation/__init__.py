"""How well sources are separated: scores, baselines, known posteriors and the supervised control."""
