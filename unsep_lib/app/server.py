"""Voilà on the loopback, serving the page's notebook with a token and a template of its own."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
import webbrowser
from pathlib import Path

from traitlets.config import Config

from unsep_lib.app import MOST_MEGABYTES, QUEUE_VARIABLE
from unsep_lib.notebook.profiles import PROFILE_VARIABLE, load_profile

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 24
FOLDER = Path(__file__).parent
MESSAGE_BYTES = (MOST_MEGABYTES + 1) * 1_000_000  # the largest upload and what wraps it


def serve(port: int = 0, profile: str = "", open_browser: bool = True) -> None:
    """Serve until interrupted; prints the page's address, which holds the token.

    port: 0 for a free one; profile: a name or TOML file, empty for `$UNSEP_PROFILE` or the default.

    Raises:
        ValueError: an unknown profile, or a port that is taken or not allowed.
    """
    from voila.app import Voila

    load_profile(profile)
    port, token = checked_port(port), secrets.token_hex(TOKEN_BYTES)
    address = f"http://{LOOPBACK}:{port}/?token={token}"

    class Server(Voila):  # type: ignore[misc]
        """Opens the address with its token."""

        def launch_browser(self) -> None:
            webbrowser.open(address)

    with tempfile.TemporaryDirectory(prefix="unsep-app-") as queue:
        if profile:
            os.environ[PROFILE_VARIABLE] = profile
        os.environ[QUEUE_VARIABLE] = queue
        os.environ["JUPYTER_PATH"] = os.pathsep.join(
            [str(FOLDER / "jupyter"), *filter(None, [os.environ.get("JUPYTER_PATH")])]
        )
        server = Server(config=configuration(port, token, open_browser))
        server.initialize([])
        print(f"Separate your own: {address}\nCtrl-C stops it.", flush=True)
        server.start()


def configuration(port: int, token: str, open_browser: bool) -> Config:
    """Voilà's settings: the loopback alone, a token, no template or theme from the address."""
    config = Config()
    config.Voila.notebook_path = str(FOLDER / "app.ipynb")
    config.Voila.ip, config.Voila.port, config.Voila.port_retries = LOOPBACK, port, 0
    config.Voila.token, config.Voila.open_browser = token, open_browser
    config.Voila.config_file_paths = []
    config.Voila.log_level = "ERROR"
    config.Voila.tornado_settings = {"websocket_max_message_size": MESSAGE_BYTES}
    config.VoilaConfiguration.template = "unsep"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    return config


def checked_port(port: int) -> int:
    """`port` if it is free, or a free one for 0.

    Raises:
        ValueError: it is taken, not allowed, or no port number.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"expected a port from 0 to 65535, got {port}")
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ValueError(f"cannot listen on port {port} of {LOOPBACK}: {error.strerror}") from error
        bound: int = probe.getsockname()[1]
    return bound
