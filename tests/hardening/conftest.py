"""Counts what came of the cases and prints it at the end."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from hardening.cases import PASSED, REFUSED, Place
from unsep_lib.networks.unet import CompactConfig

COUNTED, KILLED = "hardening", "kills"
FAILED = "failed"
MARKS = {PASSED: "ok", REFUSED: "no", FAILED: "FAILED"}
counted: dict[tuple[str, str, str], str] = {}
killed: dict[tuple[str, int], tuple[int, bool]] = {}  # command, kills meant → kills survived, whether it failed then


@pytest.fixture
def place(tmp_path, home, monkeypatch):
    """A folder with room for input and output, tiny priors `speech` and `sound`, and training of as small ones."""
    monkeypatch.setattr("unsep_lib.training.state.SPECTRUM_CROPS", 8)
    monkeypatch.setattr(CompactConfig, "widths", (8, 8))
    monkeypatch.setattr(CompactConfig, "blocks", (1, 1))
    (tmp_path / "in").mkdir()
    return Place(tmp_path)


@pytest.fixture
def count(record_property):
    """count(table, entry, fault, judge): judge() says what came of a case that is counted either way."""

    def counts(table, entry, fault, judged):
        record_property(COUNTED, (table, entry, fault, FAILED))
        record_property(COUNTED, (table, entry, fault, judged()))

    return counts


@pytest.fixture
def count_kills(record_property):
    """count_kills(command, kills, survived): iterates over `survived`, one item a kill, and counts how far it comes."""

    def counts(command, kills, survived):
        record_property(KILLED, (command, kills, 0))
        for lived, _ in enumerate(survived, start=1):
            record_property(KILLED, (command, kills, lived))

    return counts


def pytest_runtest_logreport(report):
    if report.when != "call" and not report.failed:
        return
    for name, value in report.user_properties:
        if name == COUNTED:
            table, entry, fault, outcome = value
            counted[table, entry, fault] = FAILED if report.failed else outcome
        elif name == KILLED:
            command, kills, lived = value
            killed[command, kills] = lived, report.failed


def pytest_terminal_summary(terminalreporter):
    if not counted and not killed:
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
    for (command, kills), (lived, failed) in killed.items():
        grouped["kills"][command, f"{kills} kills"] = f"{MARKS[FAILED]} after {lived}" if failed else str(lived)
    for table, cells in grouped.items():
        entries, faults = (list(dict.fromkeys(key[index] for key in cells)) for index in (0, 1))
        rows = [
            (table, *entries),
            *((fault, *(cells.get((entry, fault), "") for entry in entries)) for fault in faults),
        ]
        widths = [max(6, *map(len, column)) for column in zip(*rows, strict=True)]
        yield ""
        yield from ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    yield f"\nok: {PASSED}; no: {REFUSED}; empty: does not apply"


def summary():
    """The counts in one line; the first failure of a command ends its kills."""
    outcomes = Counter(counted.values())
    meant, lived = sum(kills for _, kills in killed), sum(lived for lived, _ in killed.values())
    failed = sum(failed for _, failed in killed.values())
    return (f"hardening: {outcomes.total()} cases, {outcomes[PASSED]} {PASSED}, {outcomes[REFUSED]} {REFUSED}, "
            f"{outcomes[FAILED]} {FAILED}; kills: {lived} of {meant} survived, {failed} {FAILED}")  # fmt: skip


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
