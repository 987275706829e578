"""Counts what came of the cases and prints it at the end."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from hardening.cases import PASSED, REFUSED, Place

COUNTED = "hardening"
KILL = "kills"
MARKS = {PASSED: "ok", REFUSED: "no", "failed": "FAILED"}
counted: dict[tuple[str, str, str], str] = {}


@pytest.fixture
def place(tmp_path, home):
    """A folder with room for input and output, and tiny priors `speech` and `sound` in the user's folder."""
    (tmp_path / "in").mkdir()
    return Place(tmp_path)


@pytest.fixture
def count(record_property):
    """count(table, entry, fault, judge): judge() says what came of a case that is counted either way."""

    def counts(table, entry, fault, judged):
        record_property(COUNTED, (table, entry, fault, "failed"))
        record_property(COUNTED, (table, entry, fault, judged()))

    return counts


def pytest_runtest_logreport(report):
    for name, value in report.user_properties:
        if name == COUNTED and (report.when == "call" or report.failed):
            table, entry, fault, outcome = value
            counted[table, entry, fault] = "failed" if report.failed else outcome


def pytest_terminal_summary(terminalreporter):
    if not counted:
        return
    if os.environ.get("UNSEP_HARDENING_TABLE"):
        for line in tables():
            terminalreporter.write_line(line)
    terminalreporter.write_line(summary())


def tables():
    """Lines: for each kind of input, faults down, entry points across."""
    grouped = defaultdict(dict)
    for (table, entry, fault), outcome in counted.items():
        grouped[table][entry, fault] = MARKS.get(outcome, outcome)
    for table, cells in grouped.items():
        entries, faults = (list(dict.fromkeys(key[index] for key in cells)) for index in (0, 1))
        widths = [max(len(fault) for fault in (table, *faults)), *(max(len(entry), 6) for entry in entries)]
        rows = [
            (table, *entries),
            *((fault, *(cells.get((entry, fault), "") for entry in entries)) for fault in faults),
        ]
        yield ""
        yield from ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    yield f"\nok: {PASSED}; no: {REFUSED}; empty: does not apply"


def summary():
    """The counts in one line."""
    kills = [(int(fault.split()[0]), outcome) for (table, _, fault), outcome in counted.items() if table == KILL]
    others = Counter(outcome for (table, *_), outcome in counted.items() if table != KILL)
    tried, lived = sum(number for number, _ in kills), sum(number for number, outcome in kills if outcome != "failed")
    return (f"hardening: {others.total()} cases, {others[PASSED]} {PASSED}, {others[REFUSED]} {REFUSED}, "
            f"{others['failed']} failed; kills: {lived} of {tried}")  # fmt: skip


@pytest.fixture(scope="session")
def driven():
    """driven(job): the answer of `driver.py` to a job."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(__file__).parent / "driver.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | threads, **pipes) as process:

        def ask(**job):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()
