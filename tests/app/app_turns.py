"""Visitors who wait for their turn, for tests of the app."""

import contextlib
import threading
import time

from unsep_lib.app import jobs as turns

PATIENCE = 60  # seconds that a thread may take on a busy machine


class Visitor(threading.Thread):
    """Wants one turn, keeps it until told to leave, and notes in `log` when it has it."""

    def __init__(self, folder, name, log):
        super().__init__(daemon=True)
        self.folder, self.name, self.log = folder, name, log
        self.cancelled, self.leave, self.waits = threading.Event(), threading.Event(), []
        self.start()

    def run(self):
        with contextlib.suppress(turns.Cancelled), turns.turn(self.folder, self.cancelled, self.waits.append):
            self.log.append(self.name)
            self.leave.wait(PATIENCE)
            self.log.append(f"{self.name} left")


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
