"""Corpora on disk, each in its original layout, as clips."""

from unsep_lib.corpora.measure import Skipped
from unsep_lib.corpora.prepare import CORPORA, Prepared, prepare, read_prepared, skipped_list, write_prepared
from unsep_lib.corpora.summary import departures, summarise

__all__ = [
    "CORPORA", "Prepared", "Skipped", "departures", "prepare", "read_prepared", "skipped_list", "summarise",
    "write_prepared",
]  # fmt: skip
