"""Widgets that bring a file from the browser and one back to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from unsep_lib.app.limits import MOST_MEGABYTES
from unsep_lib.audio import AUDIO_SUFFIXES

FOLDER = Path(__file__).parent


class Drop(anywidget.AnyWidget):
    """A place to drop or choose a file: on_file(name, size in bytes, content); content is None if it is too large."""

    _esm = FOLDER / "drop.js"
    accept = traitlets.Unicode(",".join(sorted(AUDIO_SUFFIXES))).tag(sync=True)
    most_bytes = traitlets.Int(MOST_MEGABYTES * 1_000_000).tag(sync=True)

    def __init__(self, on_file: Callable[[str, int, bytes | None], None]):
        super().__init__()
        self.on_msg(lambda _, file, sent: on_file(file["name"], file["size"], bytes(sent[0]) if sent else None))


class Download(anywidget.AnyWidget):
    """A button, shown while there is something to offer, that sends it to the browser as a file."""

    _esm = FOLDER / "download.js"
    description = traitlets.Unicode().tag(sync=True)
    offered = traitlets.Bool(False).tag(sync=True)

    def __init__(self, description: str):
        super().__init__(description=description)
        self._name, self._content = "", b""
        self.on_msg(lambda *_: self.send({"name": self._name}, buffers=[self._content]))

    def offer(self, name: str, content: bytes) -> None:
        """Offer a file; an empty one withdraws what was offered."""
        self._name, self._content = name, content
        self.offered = bool(content)
