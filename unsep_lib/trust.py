"""Trust on first use: a file's hash is pinned when a file of its name is first imported."""

from __future__ import annotations

import json
from pathlib import Path

from unsep_lib.checkpoints import home
from unsep_lib.files import write_json

PINS = "imported_sha256.json"


def pins_file() -> Path:
    """Where the hashes are kept, in the user's folder: JSON {file name: sha256}."""
    return home() / PINS


def check_pin(name: str, digest: str, accept_new: bool = False) -> None:
    """Refuse a file called `name` unless its hash is the pinned one, none is pinned yet, or a new one is accepted.

    Raises:
        ValueError: another hash is pinned, or the pins cannot be read.
    """
    pinned = _pins().get(name, digest)
    if pinned != digest and not accept_new:
        raise ValueError(
            f"{name}: expected sha256 {pinned}, pinned in {pins_file()} at the first import of a file of this name, "
            f"got {digest}: if you trust the new file, import it with --accept-new-hash"
        )


def pin(name: str, digest: str) -> None:
    """Expect this hash of every later file called `name`.

    Raises:
        ValueError: the pins cannot be read or written.
    """
    write_json(pins_file(), _pins() | {name: digest})


def _pins() -> dict[str, str]:
    file = pins_file()
    if not file.is_file():
        return {}
    try:
        pins = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: not readable as JSON ({error}); repair or remove it") from error
    if not isinstance(pins, dict):
        raise ValueError(f"{file}: expected an object of file names and hashes, got {type(pins).__name__}; repair it")
    return pins
