"""Audio players for notebooks and the report: MP3, one gain for all, a line of text each, alone or as a table."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import soundfile
import torch
from IPython.display import HTML

from unsep_lib.audio import SAMPLE_RATE, resample

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, what MPEG audio can hold


def mp3(samples: torch.Tensor, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Samples [time] or [channel, time] as an MP3 file; nothing is normalised, what exceeds full scale is clipped."""
    if not torch.isfinite(samples).all():  # the encoder ends the process at NaN
        raise ValueError("expected finite samples to play, got NaN or infinity")
    if sample_rate not in MP3_RATES:
        samples, sample_rate = resample(samples, sample_rate, MP3_RATES[-1]), MP3_RATES[-1]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.detach().cpu().clamp(-1, 1).t().numpy(), sample_rate, format="MP3")
    return buffer.getvalue()


def player_html(samples: torch.Tensor, sample_rate: int, caption: str) -> str:
    """An HTML figure with an audio element and its caption."""
    data = base64.b64encode(mp3(samples, sample_rate)).decode()
    text = html.escape(caption)
    return (
        f'<figure style="margin:0.3em 0"><figcaption>{text}</figcaption>'
        f'<audio controls preload="metadata" aria-label="{text}" src="data:audio/mpeg;base64,{data}"></audio></figure>'
    )


def player(samples: torch.Tensor, sample_rate: int = SAMPLE_RATE, *, caption: str) -> HTML:
    """One player."""
    return HTML(player_html(samples, sample_rate, caption))


def players(tracks: Mapping[str, torch.Tensor], sample_rate: int = SAMPLE_RATE) -> HTML:
    """One player per track, captions as given, all at one gain."""
    return HTML("".join(player_html(samples, sample_rate, caption) for caption, samples in tracks.items()))


def player_table(
    tracks: Mapping[str, Mapping[str, torch.Tensor]], sample_rate: int = SAMPLE_RATE, known: Collection[str] = ()
) -> HTML:
    """A table of players: tracks[row][column] = samples [time] or [channel, time]; rows are methods, columns sources.

    One player sounds at a time and goes on where the last one stopped, so that methods are compared at one moment.
    "Hide the names" shuffles the rows, but for those in `known`, and calls them A, B, C. Without scripts the players
    remain. A row may lack columns.

    Raises:
        ValueError: nothing to play, or a `known` row that is not there.
    """
    columns = list(dict.fromkeys(column for row in tracks.values() for column in row))
    if not columns:
        raise ValueError("expected at least 1 track, got 0")
    if unknown := set(known) - set(tracks):
        raise ValueError(f"expected known rows among {', '.join(tracks)}, got {', '.join(sorted(unknown))}")
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = []
    for name, row in tracks.items():
        cells = "".join(
            f"<td>{player_html(row[column], sample_rate, f'{name}: {column}') if column in row else ''}</td>"
            for column in columns
        )
        body.append(f'<tr data-known="{int(name in known)}"><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    template = (Path(__file__).parent / "player_table.html").read_text(encoding="utf-8")
    return HTML(template.replace("$head", head).replace("$body", "".join(body)))
