"""Sweeps in other processes: on a cluster, and killed."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from distributed import LocalCluster
from experiment_cases import Here, assert_same_table, write_mixtures

from unsep_lib import settings
from unsep_lib.__main__ import main
from unsep_lib.experiments import load_experiment, plan, process_executor, read_table, run_sweep

COMMAND = "import sys; from unsep_lib.__main__ import main; sys.exit(main())"
ROWS_A_KILL, MOST_BETWEEN_KILLS = 40, 15  # rows of the sweep for each kill, so that none comes after the last
PATIENCE = 300  # seconds; only a hang takes that long


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_config(folder, seeds):
    """A TOML file of 2 mixtures × seeds rows of a few steps."""
    path = folder / "own.toml"
    mixtures = write_mixtures(folder / "mixtures")
    path.write_text(
        f'mixtures = "{mixtures}"\nseeds = {list(range(seeds))}\nsolvers = [{{ name = "projection", steps = [4] }}]\n'
    )
    return path


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_cluster_of_two_workers_gives_the_rows_of_one_process(processes, home, tmp_path, one_thread, capsys):
    config = write_config(tmp_path, seeds=3)
    expected = run_sweep(load_experiment(config), tmp_path / "here", Here())
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "protocol": "tcp", "dashboard_address": None}
    with LocalCluster(2, processes=processes, **options) as cluster:
        arguments = ["experiment", str(config), "--out", str(tmp_path / "there"), "--dask", cluster.scheduler_address]
        assert main(arguments) == 0
    assert_same_table(read_table(tmp_path / "there" / "table.csv"), expected)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:-1]] == ["task", "1speech-1sound", "2speakers"]
    assert shown[-1] == str(tmp_path / "there" / "table.csv")


def finished(out):
    """File → what changes when it is written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (out / "rows").glob("[!.]*.json")}


def kill_after(process, out, rows, pause):
    """kill -9 once `rows` are done and `pause` seconds more have passed; returns its children of that moment."""
    deadline = time.monotonic() + PATIENCE
    while len(finished(out)) < rows and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(pause)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return children


@pytest.mark.parametrize("rows", [0, 3])
def test_ctrl_c_ends_a_sweep_and_its_workers_with_one_line(rows, home, tmp_path):
    config, out = write_config(tmp_path, seeds=200), tmp_path / "out"
    command = [sys.executable, "-c", COMMAND, "experiment", str(config), "--out", str(out), "--workers", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not (out / ".lock").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    while len(finished(out)) < rows and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1] == "unsep: interrupted"
    assert "Traceback" not in error and "Error" not in error
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    assert len(finished(out)) >= rows


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.full)])
def test_a_sweep_killed_again_and_again_repeats_no_row_and_ends_in_the_same_table(kills, home, tmp_path, one_thread):
    config, out = write_config(tmp_path, seeds=kills * ROWS_A_KILL // 2), tmp_path / "out"
    experiment, moments = load_experiment(config), random.Random(random.random())
    rows = len(plan(experiment))
    words = ["experiment", str(config), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = {}
    for kill in range(kills):
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *words], env=environment, stderr=subprocess.DEVNULL)
        target = len(before) + moments.randrange(1, MOST_BETWEEN_KILLS)
        children = kill_after(process, out, target, moments.uniform(0, 0.05))
        after = finished(out)
        assert process.returncode == -9, f"kill {kill} came too late"
        assert len(before) < len(after) < rows
        assert before.items() <= after.items()
        before = after
        assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    assert main(words) == 0
    assert before.items() <= finished(out).items()
    assert len(finished(out)) == rows
    assert_same_table(read_table(out / "table.csv"), run_sweep(experiment, tmp_path / "here", Here()))


MODULE = """
from unsep_lib import load_prior
from unsep_lib.solvers import SOLVERS

rule = SOLVERS["projection"].rule
def voice():
    return load_prior("speech")
instruments = load_prior("sound")
"""


def write_own(folder, module, *, sound="sound", solver="projection"):
    """A TOML file beside a module of one's own, both elsewhere than where commands are run: 2 rows."""
    path = folder / "own.toml"
    path.write_text(
        f'mixtures = "mixtures"\nseeds = [0]\nsolvers = [{{ name = "{solver}", steps = [2] }}]\n'
        f'priors = [{{ name = "mine", files = {{ speech = "{module}:voice", sound = "{sound}" }} }}]\n'
    )
    return path


@pytest.fixture
def own(home, tmp_path, monkeypatch):
    """The name of a module that lies in tmp_path/own, beside mixtures."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(settings, "FOLDERS", [])
    write_mixtures(tmp_path / "own" / "mixtures")
    (tmp_path / "own" / "what_a_sweep_needs.py").write_text(MODULE)
    yield "what_a_sweep_needs"
    sys.modules.pop("what_a_sweep_needs", None)


def test_priors_and_solvers_of_ones_own_work_by_name_in_a_file_and_on_worker_processes(own, tmp_path, one_thread):
    shipped = write_own(tmp_path / "own", own).rename(tmp_path / "own" / "shipped.toml")
    shipped.write_text(shipped.read_text().replace(f"{own}:voice", "speech"))
    expected = run_sweep(load_experiment(shipped), tmp_path / "shipped", Here())
    config = write_own(tmp_path / "own", own, sound=f"{own}:instruments", solver=f"{own}:rule")
    with process_executor(2, threads=1) as workers:
        found = run_sweep(load_experiment(config), tmp_path / "out", workers)
    assert set(found.solver) == {f"{own}:rule"}
    assert found.si_sdr.tolist() == pytest.approx(expected.si_sdr.tolist(), abs=1e-3)


def test_a_changed_module_and_another_name_in_it_are_computed_anew(own, tmp_path):
    config, out = write_own(tmp_path / "own", own, solver=f"{own}:rule"), tmp_path / "out"
    run_sweep(load_experiment(config), out, Here())
    again = Here()
    run_sweep(load_experiment(config), out, again)
    assert again.rows == []
    before = {row.key for row in plan(load_experiment(config))}
    config.write_text(config.read_text().replace(f'"{own}:voice"', f'"{own}:instruments"'))
    renamed = {row.key for row in plan(load_experiment(config))}
    (tmp_path / "own" / f"{own}.py").write_text(MODULE + "# changed\n")
    changed = {row.key for row in plan(load_experiment(config))}
    assert len(before | renamed | changed) == 3 * len(before)


@pytest.mark.parametrize(
    ("text", "other", "sentence"),
    [
        ("{own}:voice", "no_such_module:voice", "expected a prior at 'no_such_module:voice', found none (No module"),
        ("{own}:voice", "{own}:nobody", "expected a prior at '{own}:nobody', found none ('nobody')"),
        ("{own}:rule", "no_such_module:rule", "expected a solver or a rule at 'no_such_module:rule', found none (No"),
        ("{own}:rule", "broken:rule", "expected a solver or a rule at 'broken:rule', got SyntaxError on import: "),
    ],
)
def test_a_module_that_cannot_be_had_is_one_sentence_before_any_row(text, other, sentence, own, tmp_path, capsys):
    (tmp_path / "own" / "broken.py").write_text("def rule(problem, state:\n")
    config = write_own(tmp_path / "own", own, solver=f"{own}:rule")
    config.write_text(config.read_text().replace(text.format(own=own), other.format(own=own)))
    assert main(["experiment", str(config), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"unsep: error: {sentence.format(own=own)}")
    assert not (tmp_path / "out").exists()
