"""What the browser tests share: how long to wait, what to keep, servers, and axe-core."""

import contextlib
import os
import socket
import subprocess
import sys
import time

PATIENCE = 600  # seconds, on a busy machine; an idle one needs seconds
UNSEP = [sys.executable, "-c", "import sys; from unsep_lib.__main__ import main; sys.exit(main())"]
SERIOUS = {"serious", "critical"}


@contextlib.contextmanager
def running(command, log, **environment):
    """A server, stopped at the end; what it says goes to the file `log`."""
    settings = {**os.environ, "UNSEP_PROFILE": "smoke", **environment}
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=settings)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def wait_for(process, log, ready):
    """What `ready` returns, once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ready()):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return answer


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def violations(page):
    """axe-core's serious and critical violations of the page, each with the elements concerned."""
    from axe_playwright_python.sync_playwright import Axe

    response = Axe().run(page).response
    assert response["testEngine"]["name"] == "axe-core"
    return [
        (found["id"], found["help"], [node["html"] for node in found["nodes"]])
        for found in response["violations"]
        if found["impact"] in SERIOUS
    ]
