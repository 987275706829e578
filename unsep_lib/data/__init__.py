"""Clips of one source each, mixtures made of them, and corpora from their publishers to a list of clips."""
