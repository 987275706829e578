"""Corpora from their publishers: downloaded, checked and unpacked."""

from unsep_lib.fetch.archives import CORPORA, Archive, Corpus
from unsep_lib.fetch.fetching import fetch

__all__ = ["CORPORA", "Archive", "Corpus", "fetch"]
