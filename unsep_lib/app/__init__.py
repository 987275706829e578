"""The page "separate your own": a Voilà server on the loopback, one notebook, and the plain functions under it.

Here: how much the page takes, and what its server passes to its sessions.
"""

from __future__ import annotations

MOST_MEGABYTES = 32  # of an upload: a minute of stereo at 44.1 kHz in float WAV is 21
MOST_SECONDS = 60  # of a recording: about four minutes of work on two cores
MOST_CHANNELS = 2
PAGE_SOURCES = 4  # menus; `separate` itself takes more, and more steps
PAGE_STEPS = 200  # noise levels; the paper's number
QUEUE_VARIABLE = "UNSEP_APP_QUEUE"  # the folder in which the sessions of one server take turns
