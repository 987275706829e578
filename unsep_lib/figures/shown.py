"""A figure as an image that a notebook shows and keeps."""

from __future__ import annotations

import base64
import html
import io

from IPython.display import HTML
from matplotlib.figure import Figure

WEBP_QUALITY = 80  # of 100; text stays crisp


def described(figure: Figure, alt: str, dpi: int = 72) -> HTML:
    """The figure as an image with alternative text, which becomes the figure's label too.

    WebP, for a spectrogram as PNG takes five times the room.
    """
    figure.set_label(alt)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=dpi, bbox_inches="tight", pil_kwargs={"quality": WEBP_QUALITY})
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img style="max-width: 100%" alt="{html.escape(alt)}" src="data:image/webp;base64,{data}">')
