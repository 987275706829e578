"""What a case is, and what must hold after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from unsep_lib.__main__ import main

PASSED, REFUSED = "passed", "refused well"


@dataclass(frozen=True)
class Fault:
    """Something strange that a user may give.

    make(folder): writes it and returns its path, or returns the words of a command line; says: what the refusal's
    sentence must hold, "" where the input is legitimate.
    """

    name: str
    make: Callable
    says: str = ""


@dataclass(frozen=True)
class Place:
    """Where a case runs: everything written must come to lie in `out`."""

    root: Path

    @property
    def out(self):
        return self.root / "out"

    @property
    def home(self):
        return self.root / "home"


@dataclass(frozen=True)
class Entry:
    """A public entry point: use(place, thing) is the exit code, and raises ValueError if it is a function.

    instead: fault → what this entry says about it, where that differs ("" : it is legitimate here); only: the faults
    that concern it, all by default; makes: whether success leaves something in `out`.
    """

    name: str
    use: Callable
    instead: dict = field(default_factory=dict)
    only: tuple = ()
    makes: bool = True


def crossed(entries, faults):
    """(entry, fault) of all that concern each other."""
    return [(entry, fault) for entry in entries for fault in faults if not entry.only or fault.name in entry.only]


def identified(value):
    return value.name.replace(" ", "-") if isinstance(value, Entry | Fault) else None


def command(*words):
    """An entry's answer by the command line."""
    return main([str(word) for word in words])


def hidden(folder):
    """Temporary files and locks that should have gone."""
    return sorted(str(path) for path in folder.rglob("*") if path.name.startswith(".") or "partial" in path.name)


def tree(folder):
    """Path → bytes of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {os.fsencode(path.relative_to(folder)): path.read_bytes() for path in files}


def judge(entry, fault, place, capsys):
    """Use the entry on the fault; returns what came of it or fails."""
    thing = fault.make(place.root / "in")
    says = entry.instead.get(fault.name, fault.says)
    before = tree(place.out) | tree(place.home)
    capsys.readouterr()
    try:
        code, error = entry.use(place, thing), capsys.readouterr().err
    except ValueError as raised:
        code, error = 2, f"unsep: error: {raised}\n"
    assert hidden(place.out) + hidden(place.home) == []
    if says:
        assert code == 2, f"expected a refusal that says {says!r}, got success"
        *others, sentence = error.splitlines()
        assert sentence.startswith("unsep: error: ")
        assert all(not line or "|" in line or line.startswith(("skipped: ", "note: ")) for line in others), error
        assert says in sentence, sentence
        assert tree(place.out) | tree(place.home) == before
        return REFUSED
    assert code in (0, None), error
    if entry.makes:
        assert tree(place.out)
    return PASSED
