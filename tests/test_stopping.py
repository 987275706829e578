"""SIGTERM, which schedulers and `kill` send, and SIGHUP of a closed terminal: what is done is kept and said."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
import soundfile
import torch
from command_line import FAST, names, noise, write
from places import REPOSITORY
from safetensors.torch import load_file

from unsep_lib.__main__ import main
from unsep_lib.data.clips import Clip, read_manifest, write_manifest
from unsep_lib.data.prepare import prepare, unfinished_list
from unsep_lib.parallel import Stopped, stoppable, undisturbed
from unsep_lib.priors.checkpoints import card_of
from unsep_lib.training import TrainingConfig, train_prior

UNSEP = [sys.executable, "-m", "unsep_lib"]
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
PATIENCE = 300  # seconds; only a hang takes that long
BY_TERM = 128 + signal.SIGTERM
TRAINING = """
import sys
from pathlib import Path
from unsep_lib.training import loop
progress = loop._progress
def told(state, skipped):
    Path("step").write_text(str(state.step))
    return progress(state, skipped)
loop._progress = told
from unsep_lib.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
REPRODUCING = """
import sys
from pathlib import Path
from unsep_lib.parallel import exit_code
from unsep_lib.reproduce.run import reproduce
sys.exit(exit_code(lambda: reproduce(Path("notebooks"), "smoke", Path("out"), jobs=1) and 0))
"""
IN_THE_BACKGROUND = 'trap "" INT; exec "$@"'  # as a shell without job control begins `… &`
STOPS = [(signal.SIGTERM, True), (signal.SIGTERM, False), (signal.SIGHUP, True)]  # to the whole group, or it alone


def stopped(command, begun, number=signal.SIGTERM, group=True, folder=None):
    """The exit code and the lines of a command that gets a signal after `begun()`; all its children have ended."""
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    children = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if group else os.kill)(process.pid, number)
    said = process.communicate(timeout=PATIENCE)[1]
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    return process.returncode, said


def assert_stopped(code, said, number=signal.SIGTERM):
    assert code == 128 + number, said
    assert said.splitlines()[-1] == f"unsep: stopped by {number.name}"
    assert "Traceback" not in said and "Error" not in said


@pytest.fixture
def clips(tmp_path):
    """A manifest of two voices."""
    found = []
    for number in range(2):
        file = write(tmp_path / f"{number}.wav", noise(10 * 16_000, seed=number).numpy(), 16_000)
        found.append(Clip(f"corpus {number}", str(file), str(number), "", "train", 16_000, 10 * 16_000, ()))
    write_manifest(tmp_path / "m.jsonl", found)
    return tmp_path / "m.jsonl"


@pytest.mark.parametrize(("number", "group"), STOPS)
def test_a_training_in_the_background_is_stopped_with_its_last_step_kept(number, group, home, clips, tmp_path):
    words = ["train", "mine", "--data", str(clips), "--widths", "8", "8", "--blocks", "1", "1", "--batch=1",
             "--out", str(tmp_path / "run")]  # fmt: skip
    command = ["/bin/sh", "-c", IN_THE_BACKGROUND, "sh", sys.executable, "-c", TRAINING, *words, "--steps=1000000"]
    step = tmp_path / "step"
    assert_stopped(*stopped(command, step.exists, number, group, tmp_path), number)
    last = card_of(tmp_path / "run" / "mine.safetensors")["steps"]
    assert last >= int(step.read_text()) >= 1
    assert names(tmp_path / "run") == {"state.pt", "mine.safetensors"}
    assert main([*words, f"--steps={last + 1}"]) == 0
    assert card_of(tmp_path / "run" / "mine.safetensors")["steps"] == last + 1


@pytest.mark.parametrize("group", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_sweep_and_its_workers_are_stopped_with_their_rows_kept(group, home, clips, tmp_path):
    mixture = tmp_path / "mixtures" / "a_0"
    sources = noise(2, 1600).numpy()
    for name, samples in (("source_1", sources[0]), ("source_2", sources[1]), ("mix", sources.sum(axis=0))):
        write(mixture / f"{name}.wav", samples, 16_000)
    (mixture / "labels.txt").write_text("speech\nspeech\n")
    solvers, out = 'solvers = [{ name = "projection", steps = [1] }]\n', tmp_path / "out"
    text = f'mixtures = "{tmp_path / "mixtures"}"\n{solvers}'
    (tmp_path / "long.toml").write_text(f"seeds = {list(range(200))}\n{text}")
    command = [*UNSEP, "experiment", str(tmp_path / "long.toml"), "--out", str(out), "--workers=2"]

    def rows():
        return sorted((out / "rows").glob("[!.]*.json"))

    assert_stopped(*stopped(command, lambda: len(rows()) >= 2, group=group))
    kept = {path: path.stat().st_mtime_ns for path in rows()}
    assert 2 <= len(kept) < 200 and not list(out.rglob(".*"))
    (tmp_path / "short.toml").write_text(f"seeds = [0, 1]\n{text}")
    assert main(["experiment", str(tmp_path / "short.toml"), "--out", str(out)]) == 0
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in rows()}.items()


def test_a_separation_of_a_long_file_is_stopped_with_its_windows_kept(home, tmp_path):
    file, out = write(tmp_path / "long.wav", noise(120 * 16_000).numpy(), 16_000), tmp_path / "out"
    words = ["separate", str(file), "--source=speech", *FAST, "--out", str(out)]

    def windows():
        return sorted(out.glob(".windows-*/[!.]*.npz"))

    assert_stopped(*stopped([*UNSEP, *words], lambda: len(windows()) >= 3))
    kept = len(windows())
    assert kept >= 3 and names(out) == {windows()[0].parent.name}
    assert main(words) == 0
    assert names(out) == {"speech.wav", "residual.wav", "report.json"}
    assert soundfile.info(out / "speech.wav").frames == 120 * 16_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_notebook_that_runs_is_stopped_with_one_line_and_its_process_ended(number, home, tmp_path):
    parameters = nbformat.v4.new_code_cell('profile: str = ""', metadata={"tags": ["parameters"]})
    busy = nbformat.v4.new_code_cell("import time; open('begun', 'w').close(); time.sleep(600)")
    kernel = {"language_info": {"name": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=[parameters, busy], metadata=kernel), tmp_path / "notebooks" / "00_first.ipynb"
    )
    code, said = stopped([sys.executable, "-c", REPRODUCING], (tmp_path / "notebooks" / "begun").exists, number,
                         folder=tmp_path)  # fmt: skip
    ending = "unsep: interrupted" if number == signal.SIGINT else "unsep: stopped by SIGTERM"
    assert (code, said.splitlines()) == (128 + number, ["00_first …", ending])


def test_an_evaluation_is_stopped_with_the_scores_of_its_mixtures_kept(home, tmp_path):
    for number in range(60):
        folder = tmp_path / "mixtures" / f"a_{number:02d}"
        sources = noise(2, 16_000, seed=number).numpy()
        for name, samples in (("source_1", sources[0]), ("source_2", sources[1]), ("mix", sources.sum(axis=0))):
            write(folder / f"{name}.wav", samples, 16_000)
        (folder / "labels.txt").write_text("speech\nsound\n")
    file = tmp_path / "scores.json"
    words = ["evaluate", "--mixtures", str(tmp_path / "mixtures"), "--json", str(file), *FAST]

    def scores():
        return sorted(tmp_path.glob(".scored-*/[!.]*.json"))

    assert_stopped(*stopped([*UNSEP, *words], lambda: len(scores()) >= 3))
    kept = len(scores())
    assert 3 <= kept < 60 and names(tmp_path) == {"home", "mixtures", scores()[0].parent.name}
    assert main(words) == 0
    assert len(json.loads(file.read_text())["rows"]) == 120
    assert names(tmp_path) == {"home", "mixtures", "scores.json"}


def test_a_corpus_that_is_being_prepared_is_stopped_with_all_its_workers(home, tmp_path):
    for number in range(64):
        write(tmp_path / "voices" / f"{number}.wav", noise(60 * 16_000, seed=number).numpy(), 16_000)
    out = tmp_path / "out" / "m.jsonl"
    command = [*UNSEP, "data", "prepare", str(tmp_path / "voices"), "--out", str(out), "--workers=2"]
    assert_stopped(*stopped(command, out.with_name(".m.jsonl.lock").exists))
    assert not out.parent.exists() or names(out.parent) == set()


def test_what_a_stopped_run_has_read_of_a_corpus_is_not_read_again(home, tmp_path):
    for number in range(5):
        write(tmp_path / "voices" / f"{number}.wav", noise(1600, seed=number).numpy(), 16_000)
    write(tmp_path / "voices" / "2.wav", torch.zeros(100).numpy())
    whole = prepare(tmp_path / "voices", tmp_path / "whole.jsonl", workers=1)

    def stop(done, total):
        if done == 4:
            signal.raise_signal(signal.SIGTERM)

    out = tmp_path / "out" / "m.jsonl"
    with pytest.raises(Stopped), stoppable():
        prepare(tmp_path / "voices", out, workers=1, on_file=stop)
    assert not out.parent.exists() and unfinished_list(out).is_file()
    write(tmp_path / "voices" / "1.wav", noise(3200).numpy(), 16_000)  # changed since
    prepared = prepare(tmp_path / "voices", out, workers=1)
    assert prepared.read == 2 and len(prepared.skipped) == 1  # the last one and the changed one
    assert [clip.frames for clip in prepared.clips] == [1600, 3200, 1600, 1600]
    assert prepared.clips[2:] == whole.clips[2:]
    assert names(home / "unfinished") == set()


def test_a_run_that_is_killed_has_kept_what_it_had_read(home, tmp_path, monkeypatch):
    for number in range(5):
        write(tmp_path / "voices" / f"{number}.wav", noise(1600, seed=number).numpy(), 16_000)
    monkeypatch.setattr("unsep_lib.data.prepare.KEEP_SECONDS", 0.0)
    out, kept = tmp_path / "m.jsonl", []
    prepare(
        tmp_path / "voices", out, workers=1, on_file=lambda *_: kept.append(len(read_manifest(unfinished_list(out))))
    )
    assert kept == [1, 2, 3, 4, 5]


def test_a_signal_waits_for_the_end_of_a_step(home, clips, tmp_path, monkeypatch, tiny_prior):
    config = TrainingConfig(steps=3, batch=1, crop_seconds=0.1, widths=(8, 8), blocks=(1, 1))
    arguments = ("mine", read_manifest(clips))
    train_prior(*arguments, tmp_path / "whole", config)
    step, steps = torch.optim.Muon.step, []

    def interrupted(self, closure=None):
        steps.append(None)
        step(self, closure)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(torch.optim.Muon, "step", interrupted)
    with pytest.raises(Stopped, match="SIGTERM"), stoppable():
        train_prior(*arguments, tmp_path / "stopped", config)
    assert card_of(tmp_path / "stopped" / "mine.safetensors")["steps"] == 2
    train_prior(*arguments, tmp_path / "stopped", config)
    expected, found = (load_file(tmp_path / name / "mine.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_second_signal_does_not_end_what_the_first_one_leaves_to_be_done():
    done = []
    with pytest.raises(Stopped) as raised, stoppable():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            done.append(True)
    assert done and raised.value.exit_code == BY_TERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture
def handlers():
    """Signals as at a terminal; a suite in the background was begun without SIGINT."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_that_are_ignored_stay_so(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_ctrl_c_waits_for_what_must_be_done_whole(handlers):
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(signal.SIGINT)
        done.append(True)
    assert done and signal.getsignal(signal.SIGINT) == signal.default_int_handler
