"""The page's pieces of HTML, each from plain values."""

from __future__ import annotations

import html
from collections.abc import Mapping

import torch

from unsep_lib.app.recordings import LIMITS, Recording
from unsep_lib.figures import described, spectrograms
from unsep_lib.players import players

MOST_COLUMNS = 4  # spectrograms side by side
TITLE = f"""\
<h1>Separate your own</h1>
<p>Everything stays on this computer. {LIMITS}</p>"""


def sentence(text: str, wrong: bool = False) -> str:
    """A line of text that assistive technology announces; `wrong` marks it as an error."""
    return f'<p role="{"alert" if wrong else "status"}">{html.escape(text)}</p>'


def progress(text: str, share: float) -> str:
    """A line of text and a bar filled to `share`, 0 … 1."""
    percent = round(100 * share)
    bar = f'<progress max="100" value="{percent}" aria-label="progress of the separation">{percent} %</progress>'
    return sentence(text) + bar


def picture(tracks: Mapping[str, torch.Tensor], what: str) -> str:
    """Spectrograms of tracks [time] at 16 kHz; what: the subject of their text alternative."""
    image: str = described(spectrograms(tracks, columns=MOST_COLUMNS), f"Spectrograms of {what}.").data
    return image


def overview(recording: Recording) -> str:
    """A player of the recording, with its name, length, rate and channels."""
    audio = recording.audio
    channels = {1: "mono", 2: "stereo"}[len(audio.samples)]
    caption = f"{recording.name}: {audio.seconds:.1f} s, {audio.sample_rate} Hz, {channels}"
    player: str = players({caption: audio.samples}, audio.sample_rate).data
    return player


def listing(tracks: Mapping[str, torch.Tensor], sample_rate: int) -> str:
    """A player a track, all at one gain."""
    return f"<p>All players share one gain.</p>{players(tracks, sample_rate).data}"


def program(code: str) -> str:
    """Code that does the same."""
    return f'<h3>The same in a cell</h3><pre tabindex="0"><code>{html.escape(code)}</code></pre>'
