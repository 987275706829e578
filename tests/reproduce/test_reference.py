import json
import re
import shutil
from itertools import pairwise

import pytest
import torch
from matplotlib.figure import Figure

from unsep_lib.__main__ import main
from unsep_lib.commands import notebooks as command
from unsep_lib.figures import described
from unsep_lib.notebook.profiles import load_profile
from unsep_lib.notebook.start import Notebook
from unsep_lib.reproduce import reference
from unsep_lib.reproduce.reference import compare, reference_path, tolerance, write_reference
from unsep_lib.reproduce.report import write_report
from unsep_lib.reproduce.run import notebooks_dir, reproduce

NAMES = ["00_first", "01_second"]
SMALLEST = "00_start"  # of those that save numbers


def row(name, value, unit="dB", **other):
    return {"name": name, "value": value, "unit": unit, "low": None, "high": None, "command": "unsep x"} | other


def save(out, name, *rows):
    notebook = Notebook(name, load_profile("smoke"), out)
    notebook.save_results(list(rows))
    return notebook


@pytest.fixture
def out(tmp_path):
    save(tmp_path / "out", "00_first", row("a", 10.0), row("b", 2.0, ""))
    save(tmp_path / "out", "01_second", row("a", -1.0), row("timed", 0.7, "", tolerance=0.3))
    return tmp_path / "out"


@pytest.fixture
def kept(out, tmp_path):
    return write_reference(out, NAMES, tmp_path / "kept.json")


def outside(out, kept):
    return [(c.notebook, c.name) for c in compare(out, NAMES, kept) if not c.within]


def test_a_run_lies_within_its_own_reference(out, kept):
    assert [(c.notebook, c.name) for c in compare(out, NAMES, kept)] == [
        ("00_first", "a"), ("00_first", "b"), ("01_second", "a"), ("01_second", "timed")
    ]  # fmt: skip
    assert outside(out, kept) == []


def test_tolerances_are_of_the_unit_or_the_numbers_own():
    assert tolerance(row("a", -40.0)) == tolerance(row("a", 0.0)) == reference.TOLERANCE_DB
    assert tolerance(row("a", -2.0, "")) == pytest.approx(2 * reference.TOLERANCE_RELATIVE)
    assert tolerance(row("a", 5.0, tolerance=0.25)) == 0.25


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_number_that_moved_too_far_is_named(out, kept, sign):
    limit = reference.TOLERANCE_DB
    too_far = 2.0 * (1 + sign * 1.1 * reference.TOLERANCE_RELATIVE)
    save(out, "00_first", row("a", 10.0 + sign * 0.9 * limit), row("b", too_far, ""))
    save(out, "01_second", row("a", -1.0 + sign * 1.1 * limit), row("timed", 0.7 + sign * 0.29, ""))
    assert outside(out, kept) == [("00_first", "b"), ("01_second", "a")]


def test_numbers_that_only_one_run_has_are_outside(out, kept):
    save(out, "00_first", row("a", 10.0), row("c", 3.0))
    found = {c.name: str(c) for c in compare(out, NAMES, kept) if not c.within}
    assert found == {
        "b": "00_first: b: missing, the reference has 2.000", "c": "00_first: c: 3.000 dB is not in the reference"
    }  # fmt: skip


def test_the_tolerance_is_the_references_not_the_runs(out, kept):
    save(out, "01_second", row("a", -1.0), row("timed", 1.7, "", tolerance=9.0))
    assert outside(out, kept) == [("01_second", "timed")]


@pytest.fixture
def pretended(monkeypatch, out, tmp_path):
    """`unsep reproduce` whose notebooks have run, in a clone of their own."""
    for name in NAMES:
        (tmp_path / "clone").mkdir(exist_ok=True)
        (tmp_path / "clone" / f"{name}.ipynb").touch()

    def reproduce(notebooks, profile, folder, *, force, update_reference, jobs):
        if update_reference:
            write_reference(folder, NAMES, reference.reference_path(profile))
        return folder / "index.html"

    monkeypatch.setattr("unsep_lib.reproduce.run.notebooks_dir", lambda: tmp_path / "clone")
    monkeypatch.setattr("unsep_lib.reproduce.run.reproduce", reproduce)
    monkeypatch.setattr(reference, "reference_path", lambda profile: tmp_path / f"kept-{profile}.json")
    return ["reproduce", "--profile", "smoke", "--out", str(out)]


def test_the_check_passes_after_an_update_and_fails_naming_what_moved(pretended, out, capsys):
    assert main([*pretended, "--check"]) == 2
    assert "the profile smoke has no reference run" in capsys.readouterr().err
    assert main([*pretended, "--update-reference"]) == 0
    assert main([*pretended, "--check"]) == 0
    assert capsys.readouterr().err == ""
    save(out, "01_second", row("a", 7.0), row("timed", 0.7, ""))
    assert main([*pretended, "--check"]) == command.OUTSIDE == 1
    number, then_what = capsys.readouterr().err.splitlines()
    assert number == "01_second: a: 7.000 dB, expected -1.000 ± 0.100"
    assert then_what.startswith("1 of 4 numbers left their tolerance. If you changed nothing, run again with --force")
    assert "--update-reference" in then_what and "unsep info" in then_what
    assert main(pretended) == 0


def test_numbers_that_notebooks_left_are_checked_and_nothing_is_run(pretended, out, tmp_path, capsys, monkeypatch):
    assert main([*pretended, "--update-reference"]) == 0
    monkeypatch.setattr("unsep_lib.reproduce.run.reproduce", lambda *_, **__: pytest.fail("it ran"))
    capsys.readouterr()
    assert main([*pretended, "--check-only"]) == 0
    assert capsys.readouterr().out == "all 4 numbers lie within their tolerance of the reference run\n"
    save(out, "01_second", row("a", 7.0))
    assert main([*pretended, "--check-only"]) == command.OUTSIDE
    moved, missing, advised = capsys.readouterr().err.splitlines()
    assert moved.startswith("01_second: a: 7.000 dB") and missing.startswith("01_second: timed: missing")
    assert advised.startswith("2 of 4 numbers left their tolerance")
    assert main([*pretended[:-1], str(tmp_path / "empty"), "--check-only"]) == 2
    assert "empty: no notebook has left a number there" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()


def stamped(out, name):
    (out / "notebooks").mkdir(exist_ok=True)
    (out / "stamps").mkdir(exist_ok=True)
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": f"# Title of {name}\n\ntext"}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    (out / "notebooks" / f"{name}.ipynb").write_text(text)
    (out / "stamps" / f"{name}.json").write_text(json.dumps({"seconds": 1.0, "memory_mb": 2.0}))


def test_the_report_begins_with_results_beside_the_reference(out, kept):
    for name in NAMES:
        stamped(out, name)
    figure = Figure(figsize=(2, 1))
    described(figure, 'a "quoted" line & more')
    notebook = save(out, "00_first", row("a", 11.5), row("b", 2.0, "", low=1.5, high=2.5))
    notebook.save_figure("some_curve.svg", figure)
    notebook.save_audio("left_over.wav", torch.full((800,), 0.25))
    page = write_report(out, NAMES, "smoke", kept).read_text()
    assert "1 of 4 numbers left their tolerance" in page
    assert "<li>a (00_first) is 11.50 dB, 1.50 more than the reference&#x27;s</li>" in page
    assert page.index("<h2>Results</h2>") < page.index("<audio") < page.index("<img") < page.index("Versions")
    assert re.search(r"<td>11.50 dB</td><td></td><td>10.00 ± 0.10</td><td><strong>\+1.50, outside", page)
    assert re.search(r"<td>2.00 </td><td>1.50 … 2.50</td><td>2.00 ± 0.04</td><td>\+0.00</td><td><code>unsep x", page)
    assert 'alt="a &quot;quoted&quot; line &amp; more"' in page
    assert "<h3>Title of 01_second</h3>" in page and "Title of 00_first: left over" in page
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))


def test_the_first_screen_is_a_sentence_a_picture_and_two_players_and_the_table_is_folded(out, kept):
    for name in NAMES:
        stamped(out, name)
    notebook, figure = Notebook("01_second", load_profile("smoke"), out), Figure(figsize=(2, 1))
    described(figure, "what happened")
    notebook.save_figure("a.svg", figure)
    for name in ("before.wav", "after.wav"):
        notebook.save_audio(name, torch.full((800,), 0.25))
    notebook.save_headline("It < worked.", "a.svg", {"in": "before.wav", "out": "after.wav"})
    page = write_report(out, NAMES, "smoke", kept).read_text()
    first, folded = page.split("<h2>", maxsplit=1)[0], re.search(r"<details>(.*?)</details>", page, re.DOTALL)[1]
    assert "<strong>It &lt; worked.</strong>" in first and first.count("<img") == 1
    assert re.findall(r"<figcaption>(.*?)</figcaption>", first) == ["what happened", "in", "out"]
    assert "All 4 numbers" in folded and "<table" in folded and "<table" not in first


def test_the_largest_changes_are_told_and_the_rest_is_counted(out, kept):
    for name in NAMES:
        stamped(out, name)
    save(out, "00_first", row("a", 10.3), *(row(f"n{i}", 1.0) for i in range(11)))
    page = write_report(out, NAMES, "smoke", kept).read_text()
    told = re.findall(r"<li>(.*?)</li>", page.split("<details>")[0])
    assert len(told) == 13 and told[-1] == "and 1 more, marked in the table"
    assert told[0].startswith("n0 (00_first) is new: 1.00 dB") and "b (00_first) is missing" in " ".join(told)


def test_a_report_without_a_reference_says_so(out, tmp_path):
    for name in NAMES:
        stamped(out, name)
    page = write_report(out, NAMES, "mine", tmp_path / "none.json").read_text()
    assert "no reference run of this profile" in page and "outside" not in page


def test_a_figure_without_alternative_text_is_not_saved(out):
    with pytest.raises(ValueError, match=r"bare.svg: expected a figure that `described` was called on"):
        Notebook("00_first", load_profile("smoke"), out).save_figure("bare.svg", Figure())


@pytest.mark.parametrize("profile", ["smoke", "tutorial"])
def test_committed_references_are_of_todays_notebooks(profile):
    rows = json.loads(reference_path(profile).read_text())
    assert len({(row["notebook"], row["name"]) for row in rows}) == len(rows)
    assert all(row["tolerance"] > 0 for row in rows)
    saving = {path.stem for path in notebooks_dir().glob("*.ipynb") if "save_results(" in path.read_text()}
    assert {row["notebook"] for row in rows} == saving


@pytest.mark.full
def test_the_smallest_notebooks_numbers_are_the_same_on_processors_without_bfloat16(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(notebooks_dir() / f"{SMALLEST}.ipynb", tmp_path / "notebooks")
    for capability in ("default", "avx2"):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)  # of the kernel that papermill starts
        reproduce(tmp_path / "notebooks", "smoke", tmp_path / capability)
    first = write_reference(tmp_path / "default", [SMALLEST], tmp_path / "first.json")
    found = compare(tmp_path / "avx2", [SMALLEST], first)
    assert found and max(abs(c.value - c.reference) for c in found) < 1e-3
