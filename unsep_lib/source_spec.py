"""Source specifications: which prior, and which of its labels, explains a source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SPEC_PATTERN = re.compile(r"([A-Za-z0-9][\w.-]*)(?::([A-Za-z0-9][\w.-]*))?")


@dataclass(frozen=True)
class SourceSpec:
    """The prior's name and, optionally, a class label of it; written `prior` or `prior:label`."""

    prior: str
    label: str | None = None

    def __str__(self) -> str:
        return self.prior if self.label is None else f"{self.prior}:{self.label}"

    @property
    def slug(self) -> str:
        """The specification as a file name's stem: `sound:Cello` → `sound_Cello`."""
        return str(self).replace(":", "_")


def parse_spec(text: str) -> SourceSpec:
    """Parse `prior` or `prior:label`.

    Raises:
        ValueError: anything else.
    """
    match = SPEC_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a source such as `speech` or `sound:Cello`, got {text!r}")
    return SourceSpec(match[1], match[2])


def file_names(specs: Sequence[SourceSpec]) -> list[str]:
    """A file name's stem for each source; equal specifications are numbered from 1."""
    totals, names = Counter(specs), []
    seen: Counter[SourceSpec] = Counter()
    for spec in specs:
        seen[spec] += 1
        names.append(spec.slug if totals[spec] == 1 else f"{spec.slug}_{seen[spec]}")
    return names
