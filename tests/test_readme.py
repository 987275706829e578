"""The first page: its commands and Python run as printed, its numbers are the stored ones, and it stays one page."""

import csv
import re
import shlex
from collections import defaultdict
from importlib.resources import files
from statistics import mean

import pytest
from command_line import names, noise, write
from places import REPOSITORY

from unsep_lib.__main__ import main

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", REPOSITORY / "binder" / "README.md"]
PAGES += [REPOSITORY / "data_prep" / "README.md", *sorted((REPOSITORY / "notebooks" / "docs").glob("*.md"))]
WORDS, LINES, WIDTH = 1200, 110, 160
COMMAND = ".venv/bin/unsep "


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands():
    """All that the page tells to type after `.venv/bin/unsep`, in blocks and in sentences."""
    return [line.removeprefix(COMMAND) for line in re.findall(r"\.venv/bin/unsep [^`\n]+", TEXT)]


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    """The working folder of a reader whose recording is mix.wav."""
    write(tmp_path / "mix.wav", noise(1, 4000).numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_one_page():
    assert len(TEXT.split()) <= WORDS
    assert len(TEXT.splitlines()) <= LINES
    assert max(map(len, TEXT.splitlines())) <= WIDTH


def test_its_commands_run(folder):
    typed = {line.split()[0] if "--list" not in line else "list": line for line in commands()}
    assert typed.keys() == {"separate", "list", "experiment"}
    assert main(shlex.split(typed["separate"])) == 0
    assert names(folder / "out") >= {"speech.wav", "sound_Cello.wav", "residual.wav", "report.json"}
    assert main(shlex.split(typed["list"])) == 0
    assert files("unsep_lib.experiments").joinpath("configs", f"{typed['experiment'].split()[1]}.toml").is_file()


def test_its_python_runs(folder):
    (code,) = blocks("python")
    scope = {}
    exec(code, scope)
    assert scope["found"]["speech"].shape[-1] == 4000
    assert names(folder / "out") >= {"speech.wav", "sound_Cello.wav", "residual.wav", "report.json"}


def test_every_command_in_its_table_exists(capsys):
    named = re.findall(r"^\| (`unsep .*?) \|", TEXT, flags=re.MULTILINE)
    for command in re.findall(r"`(?:unsep )?(\w+)`", " ".join(named)):
        with pytest.raises(SystemExit) as leaving:
            main([command, "--help"])
        assert leaving.value.code == 0


def test_every_make_target_exists():
    targets = re.findall(r"^(\w[\w-]*):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", TEXT, flags=re.MULTILINE)) <= set(targets)


def test_every_notebook_is_in_it():
    notebooks = {path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert notebooks <= set(re.findall(r"\(notebooks/(\w+\.ipynb)\)", TEXT))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("words", "solver", "steps"),
    [("default", "dirac-wiener", "30"), ("`hybrid`", "hybrid", "200"), ("NMF", "nmf", "0"),
     ("Conv-TasNet", "conv-tasnet", "0"), ("oracle ratio mask", "oracle-ratio-mask", "0")],
)  # fmt: skip
def test_its_results_are_the_stored_ones(words, solver, steps):
    with (files("unsep_lib.experiments") / "results" / "claim.csv").open(encoding="utf-8", newline="") as stored:
        rows = [row for row in csv.DictReader(stored) if row["solver"] == solver and row["steps"] == steps]
    by_mixture = defaultdict(list)
    for row in rows:
        by_mixture[row["mixture"]].append(float(row["si_sdr_improvement"]))
    (line,) = (
        line for line in TEXT.splitlines() if line.startswith("|") and words in line and "(" in line.split("|")[3]
    )
    printed = float(re.search(r"-?\d+\.\d", line.split("|")[3])[0])
    assert len(by_mixture) == 30 and f"{len(by_mixture)} mixtures" in TEXT
    assert mean(map(mean, by_mixture.values())) == pytest.approx(float(printed), abs=0.051)
