"""kill -9 at the writes of every command: the next run completes, and its result is that of an undisturbed one."""

import signal
from functools import partial

import numpy
import pytest
from nbformat import v4, write

from hardening.cases import PASSED
from hardening.commands import COMMANDS, contents, make_input, words
from unsep_lib.__main__ import main
from unsep_lib.files import alone

KILLS = 5
FIRST_WRITE = 2  # a process that dies before its second write has made one
NOTEBOOK = """
import torch
from unsep_lib.notebook.start import start
notebook = start({name!r}, profile)
notebook.save_audio("noise.wav", torch.randn(500, generator=torch.Generator().manual_seed(0)))
notebook.save_results([{{"name": "x", "value": 1.0, "unit": "dB", "low": None, "high": None, "command": "unsep"}}])
"""


def moments(writes, count):
    """`count` of the writes after the first, spread evenly."""
    return [round(moment) for moment in numpy.linspace(FIRST_WRITE, writes, count + 2)[1:-1]]


def survives(driven, folder, name, count, job):
    """Kill `count` fresh runs, each followed by an undisturbed one whose result is compared with the first's.

    Yields after each.
    """
    undisturbed = driven(**job(folder / "undisturbed"))
    assert undisturbed["code"] == 0, undisturbed["printed"]
    assert undisturbed["writes"] > FIRST_WRITE
    expected = contents(folder / "undisturbed")
    for moment in moments(undisturbed["writes"], count):
        out = folder / f"killed at {moment}"
        assert driven(**job(out), kill_at=moment)["code"] == -9
        after = driven(**job(out))
        assert after["code"] == 0, after["printed"]
        assert contents(out) == expected, f"{name} killed at write {moment} of {undisturbed['writes']}"
        yield


@pytest.mark.parametrize("kills", [1, pytest.param(KILLS, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_completes_when_it_is_run_again(name, kills, place, driven, count_kills):
    make_input(place.root / "in")

    def job(out):
        environment = {"UNSEP_HOME": str(place.home)}
        return {"arguments": words(name, place.root / "in", out), "watched": str(out), "environment": environment}

    count_kills(name, kills, survives(driven, place.root, name, kills, job))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("moments_of", [1, pytest.param(KILLS, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_command_says_so_and_completes_when_it_is_run_again(name, moments_of, number, place, driven, count):
    make_input(place.root / "in")
    job = {"environment": {"UNSEP_HOME": str(place.home)}}

    def stopped():
        words_of, whole = partial(words, name, place.root / "in"), place.root / "whole"
        undisturbed = driven(arguments=words_of(whole), watched=str(whole), **job)
        assert undisturbed["code"] == 0, undisturbed["printed"]
        for moment in moments(undisturbed["writes"], moments_of):
            out = place.root / f"stopped at {moment}"
            again = {"arguments": words_of(out), "watched": str(out), **job}
            ended = driven(**again, kill_at=moment, signal=number)
            assert ended["code"] == 128 + number, ended["printed"]
            assert "Traceback" not in ended["printed"]
            assert ended["printed"].splitlines()[-1] in ("unsep: interrupted", f"unsep: stopped by {number.name}")
            assert not list(out.rglob("*.partial*"))
            after = driven(**again)
            assert after["code"] == 0, after["printed"]
            assert contents(out) == contents(whole), f"{name} stopped at write {moment} of {undisturbed['writes']}"
        return PASSED

    count("signals", name, f"{moments_of} × {number.name}", stopped)


@pytest.mark.full
def test_killed_notebooks_complete_when_they_are_run_again(place, driven, count_kills):
    notebooks = place.root / "in"
    for name in ("00_first", "01_second"):
        parameters = v4.new_code_cell('profile: str = ""', metadata={"tags": ["parameters"]})
        cells = [parameters, v4.new_code_cell(NOTEBOOK.format(name=name))]
        write(v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), notebooks / f"{name}.ipynb")

    def job(out):
        environment = {"UNSEP_HOME": str(place.home)}
        return {"notebooks": str(notebooks), "watched": str(out), "environment": environment}

    count_kills("reproduce", KILLS, survives(driven, place.root, "reproduce", KILLS, job))


@pytest.mark.parametrize("name", [*COMMANDS, "evaluate", "reproduce"])
def test_a_second_run_in_one_folder_says_so_and_stops(name, place, capsys, count):
    make_input(place.root / "in")
    file = {"data prepare": "m.jsonl", "evaluate": "scores.json"}.get(name)

    def stopped():
        with alone(place.out / file if file else place.out, file=bool(file)):
            before = contents(place.out)
            assert main(words(name, place.root / "in", place.out)) == 2
            assert contents(place.out) == before
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("unsep: error: ") and "another run is writing to this" in error
        return "refused well"

    count("disk", name, "another run", stopped)
    assert not place.out.exists()
