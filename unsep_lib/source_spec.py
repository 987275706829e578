"""Source specifications: which prior, and which of its labels, explains a source."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

SPEC_PATTERN = re.compile(r"(\w[\w.-]*)(?::([^:/\\]+))?")
RESIDUAL = "residual"  # the name of the track of what no source explains
LONGEST_SLUG = 200  # bytes; a file's name has at most 255 on most systems
UNSAFE = re.compile(r'[<>:"/\\|?*]')  # signs that a file name cannot have on one system or another


def class_label(name: str) -> str:
    """A class's label from any name of it, as a folder has it: `Hi-hat (open)` → `Hi-hat_(open)`.

    Letters and marks of one kind are one sign (Unicode's NFC, which macOS's file names are not in); spaces, `:`, `/`,
    backslashes and signs that cannot be shown become `_`.
    """
    composed = unicodedata.normalize("NFC", name.strip())
    return "".join(sign if sign.isprintable() and sign not in " :/\\" else "_" for sign in composed)


@dataclass(frozen=True)
class SourceSpec:
    """The prior's name and, optionally, a class label of it; written `prior` or `prior:label`."""

    prior: str
    label: str | None = None

    def __str__(self) -> str:
        return self.prior if self.label is None else f"{self.prior}:{self.label}"

    @property
    def slug(self) -> str:
        """The specification as a file name's stem: `sound:Cello` → `sound_Cello`; what is too long for one is cut."""
        return UNSAFE.sub("_", str(self)).encode()[:LONGEST_SLUG].decode(errors="ignore")


def parse_spec(text: str) -> SourceSpec:
    """Parse `prior` or `prior:label`; a label may be any that `unsep data prepare` makes of a folder's name.

    Raises:
        ValueError: anything else.
    """
    match = SPEC_PATTERN.fullmatch(unicodedata.normalize("NFC", text.strip()))
    if match is None or not text.strip().isprintable():
        raise ValueError(f"expected a source such as `speech` or `sound:Cello`, got {text!r}")
    return SourceSpec(match[1], match[2] and class_label(match[2]))


def file_names(specs: Sequence[SourceSpec]) -> list[str]:
    """A file name's stem for each source, all different on any system, none `residual`; equal ones are numbered."""
    slugs = [spec.slug for spec in specs]
    totals = Counter([RESIDUAL, *(slug.casefold() for slug in slugs)])
    taken = {slug.casefold() for slug in slugs if totals[slug.casefold()] == 1}
    names = []
    for slug in slugs:
        name = slug
        if totals[slug.casefold()] > 1:
            name = next(name for name in (f"{slug}_{n}" for n in count(1)) if name.casefold() not in taken)
            taken.add(name.casefold())
        names.append(name)
    return names
