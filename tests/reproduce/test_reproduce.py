import json
import os
import shutil

import nbformat
import papermill
import pytest

from unsep_lib.notebook.profiles import PROFILES
from unsep_lib.reproduce.run import reproduce

NAMES = ["00_first", "01_second", "02_third"]
REPORTING = """
import json, os, pathlib

folder = pathlib.Path(os.environ["UNSEP_OUT"]) / "artefacts" / "00_first"
folder.mkdir(parents=True)
row = {"name": "gain", "value": 41.5, "unit": "dB", "low": 41.0, "high": 42.0, "command": "unsep <x>"}
(folder / "results.json").write_text(json.dumps([row]))
print("injected", profile, "inherited", os.environ["UNSEP_PROFILE"])
"""
FAILING = """
print("so far")
raise RuntimeError("out of luck")
"""


def write_notebook(path, *sources):
    parameters = nbformat.v4.new_code_cell('profile: str = ""', metadata={"tags": ["parameters"]})
    path.parent.mkdir(exist_ok=True)
    cells = [parameters, *map(nbformat.v4.new_code_cell, sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path)


class PretendedPapermill:
    """Copies notebooks instead of running them; remembers which, and fails on those in `failing`."""

    def __init__(self):
        self.ran, self.failing, self.profiles = [], set(), []

    def __call__(self, source, target, **options):
        self.ran.append(source.stem)
        self.profiles.append(options["parameters"]["profile"])
        shutil.copyfile(source, target)
        if source.stem in self.failing:
            raise papermill.PapermillExecutionError(2, 3, "", "RuntimeError", "out of luck", [])

    def names(self):
        """The notebooks run since the last call."""
        ran, self.ran = self.ran, []
        return ran


@pytest.fixture
def executor(monkeypatch):
    pretended = PretendedPapermill()
    monkeypatch.setattr(papermill, "execute_notebook", pretended)
    monkeypatch.setattr("unsep_lib.reproduce.report._convert", lambda path: path.stem)
    return pretended


@pytest.fixture
def notebooks(tmp_path):
    for name in NAMES:
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", "pass")
    return tmp_path / "notebooks"


def test_notebooks_run_report_and_fail_for_real(tmp_path, capsys):
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write_notebook(folder / "00_first.ipynb", REPORTING)
    report = reproduce(folder, "smoke", out)
    assert report == out / "index.html"
    page = report.read_text()
    assert all(text in page for text in ("41.50 dB", "41.00 … 42.00", "unsep &lt;x&gt;", "<strong>smoke</strong>"))
    assert 'href="notebooks/00_first.html"' in page
    assert "injected smoke inherited smoke" in (out / "notebooks" / "00_first.html").read_text()
    stamp = json.loads((out / "stamps" / "00_first.json").read_text())
    assert stamp["seconds"] > 0 and stamp["memory_mb"] > 10
    write_notebook(folder / "01_second.ipynb", FAILING)
    with pytest.raises(ValueError, match="01_second: cell 3 failed with RuntimeError: out of luck"):
        reproduce(folder, "smoke", out)
    assert "so far" in (out / "notebooks" / "01_second.ipynb").read_text()
    assert "00_first: up to date" in capsys.readouterr().err


MEETING = """
import os, pathlib, time

folder, me, other = pathlib.Path(os.environ["UNSEP_OUT"]), "{me}", "{other}"
folder.joinpath(me).touch()
deadline = time.monotonic() + 300
while not folder.joinpath(other).exists():
    assert time.monotonic() < deadline, other + " does not run beside " + me
    time.sleep(0.1)
print("threads", os.environ["OMP_NUM_THREADS"])
"""


def test_two_notebooks_run_at_a_time_with_one_thread_each_and_without_warnings(tmp_path, capfd):
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write_notebook(folder / "00_first.ipynb", MEETING.format(me="00", other="01"))
    write_notebook(folder / "01_second.ipynb", MEETING.format(me="01", other="00"))
    reproduce(folder, "smoke", out, jobs=2)
    for name in ("00_first", "01_second"):
        assert "threads 1" in (out / "notebooks" / f"{name}.ipynb").read_text()
        assert json.loads((out / "stamps" / f"{name}.json").read_text())["memory_mb"] > 10
    said = capfd.readouterr().err
    assert "2 of 2 notebooks are done" in said and "WARNING" not in said
    reproduce(folder, "smoke", out, jobs=2)
    assert capfd.readouterr().err.count("up to date") == 2


def test_fewer_than_one_job_is_refused(notebooks, tmp_path):
    with pytest.raises(ValueError, match="at least 1 worker, got 0"):
        reproduce(notebooks, "smoke", tmp_path / "out", jobs=0)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "import time; print('so far', flush=True); time.sleep(600)",
            "00_first: a cell ran for more than 7 s and was stopped",
        ),
        ("import os; print('so far', flush=True); os.kill(os.getpid(), 9)", "00_first: the kernel died"),
    ],
)
def test_a_cell_that_never_ends_and_a_killed_kernel_are_one_sentence_and_keep_what_was_done(
    cell, message, tmp_path, monkeypatch
):
    monkeypatch.setattr("unsep_lib.reproduce.run.CELL_SECONDS", 3)
    monkeypatch.setattr("unsep_lib.reproduce.run.TRAIN_STEP_SECONDS", 1)
    write_notebook(tmp_path / "notebooks" / "00_first.ipynb", "print('before')", cell)
    with pytest.raises(ValueError, match=message):
        reproduce(tmp_path / "notebooks", "smoke", tmp_path / "out")
    outputs = [cell.get("outputs") for cell in nbformat.read(tmp_path / "out/notebooks/00_first.ipynb", 4).cells]
    assert "before" in str(outputs)
    assert not (tmp_path / "out" / "stamps" / "00_first.json").exists()


def test_a_changed_profile_of_ones_own_runs_the_notebooks_again_wherever_it_lies(
    notebooks, tmp_path, executor, monkeypatch
):
    shipped = (PROFILES / "smoke.toml").read_text()
    (tmp_path / "clips.jsonl").write_text("a")
    (tmp_path / "mine.toml").write_text(shipped.replace('speech_data = ""', 'speech_data = "clips.jsonl"'))
    monkeypatch.chdir(tmp_path)
    reproduce(notebooks, "mine.toml", tmp_path / "out")
    assert executor.names() == NAMES
    assert set(executor.profiles) == {str(tmp_path / "mine.toml")}
    monkeypatch.chdir(notebooks)
    reproduce(notebooks, "../mine.toml", tmp_path / "out")
    assert executor.names() == []
    (tmp_path / "clips.jsonl").write_text("b")
    reproduce(notebooks, str(tmp_path / "mine.toml"), tmp_path / "out")
    assert executor.names() == NAMES
    with (tmp_path / "mine.toml").open("a") as stream:
        stream.write("# more of the same\n")
    reproduce(notebooks, str(tmp_path / "mine.toml"), tmp_path / "out")
    assert executor.names() == NAMES


def test_notebooks_run_in_order_and_what_is_up_to_date_is_skipped(notebooks, tmp_path, executor):
    report = reproduce(notebooks, "smoke", tmp_path / "out")
    assert executor.names() == NAMES
    report.unlink()
    assert reproduce(notebooks, "smoke", tmp_path / "out") == report
    assert executor.names() == []
    assert report.is_file()


def test_force_runs_everything_again(notebooks, tmp_path, executor):
    for _ in range(2):
        reproduce(notebooks, "smoke", tmp_path / "out", force=True)
        assert executor.names() == NAMES


def test_a_changed_notebook_and_the_later_ones_run_again(notebooks, tmp_path, executor):
    reproduce(notebooks, "smoke", tmp_path / "out")
    write_notebook(notebooks / "01_second.ipynb", "changed = True")
    executor.names()
    reproduce(notebooks, "smoke", tmp_path / "out")
    assert executor.names() == ["01_second", "02_third"]


def test_outputs_in_a_notebook_are_no_change_of_it(notebooks, tmp_path, executor):
    reproduce(notebooks, "smoke", tmp_path / "out")
    notebook = nbformat.read(notebooks / "00_first.ipynb", as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="printed")]
    nbformat.write(notebook, notebooks / "00_first.ipynb")
    executor.names()
    reproduce(notebooks, "smoke", tmp_path / "out")
    assert executor.names() == []


def test_another_profile_is_another_run(notebooks, tmp_path, executor):
    reproduce(notebooks, "smoke", tmp_path / "out")
    executor.names()
    reproduce(notebooks, "tutorial", tmp_path / "out")
    assert executor.names() == NAMES


def test_a_notebook_that_failed_runs_again_though_its_source_is_as_at_its_last_good_run(notebooks, tmp_path, executor):
    reproduce(notebooks, "smoke", tmp_path / "out")
    write_notebook(notebooks / "00_first.ipynb", "changed = True")
    executor.failing = {"01_second"}
    with pytest.raises(ValueError, match="01_second: cell 3 failed"):
        reproduce(notebooks, "smoke", tmp_path / "out")
    executor.failing = set()
    executor.names()
    reproduce(notebooks, "smoke", tmp_path / "out")
    assert executor.names() == ["01_second", "02_third"]


def test_the_environment_is_as_before_even_after_a_failure(notebooks, tmp_path, executor, monkeypatch):
    monkeypatch.setenv("UNSEP_PROFILE", "paper")
    monkeypatch.delenv("UNSEP_OUT", raising=False)
    executor.failing = {"00_first"}
    with pytest.raises(ValueError, match="00_first: cell 3 failed"):
        reproduce(notebooks, "smoke", tmp_path / "out")
    assert os.environ["UNSEP_PROFILE"] == "paper"
    assert "UNSEP_OUT" not in os.environ


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no notebooks found"):
        reproduce(tmp_path, "smoke", tmp_path / "out")
