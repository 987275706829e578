"""Corpora on disk, each in its original layout, as clips."""

from unsep_lib.corpora.prepare import CORPORA, Prepared, prepare

__all__ = ["CORPORA", "Prepared", "prepare"]
