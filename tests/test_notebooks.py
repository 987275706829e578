"""What every notebook promises, read from its file; nbval and papermill execute them."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
MAX_BYTES = 1_000_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


def html_of(cells):
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_the_series_is_there():
    names = [path.stem for path in NOTEBOOKS]
    assert names == [
        "00_start",
        "01_data",
        "02_speech_prior",
        "03_sound_prior",
        "04_solver",
        "05_truth",
        "06_separate",
        "07_experiments",
        "08_facts_controls",
        "09_your_solver",
    ]


def test_it_is_light_executed_and_without_errors(path, cells):
    assert path.stat().st_size < MAX_BYTES
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


def test_it_begins_with_aim_prerequisites_and_cost(cells):
    assert all(words in cells[0].source for words in ("You will learn", "Run before", "Measured on two cores"))


def test_it_has_one_typed_parameters_cell(cells):
    (parameters,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    assert 'profile: str = ""' in parameters.source


def test_it_is_prose_as_much_as_code(cells):
    prose = sum(cell.cell_type == "markdown" for cell in cells)
    assert 20 <= len(cells) <= 48
    assert prose >= 0.4 * len(cells)


def test_it_has_two_exercises_with_solutions_that_were_run(cells):
    solutions = [cell for cell in cells if "solution" in cell.metadata.get("tags", [])]
    assert len(solutions) == 2
    assert all(cell.outputs for cell in solutions)
    assert sum(len(re.findall(r"^\*\*\d\.\*\*", cell.source, flags=re.MULTILINE)) for cell in cells) == 2


def test_headings_nest(cells):
    levels = [len(mark) for cell in cells if cell.cell_type == "markdown"
              for mark in re.findall(r"^(#+) ", cell.source, flags=re.MULTILINE)]  # fmt: skip
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_figure_has_alt_text_and_every_player_a_caption(cells):
    html = html_of(cells)
    assert "<img" in html or "<audio" in html
    assert all(re.search(r'alt="[^"]{15,}"', tag) for tag in re.findall(r"<img[^>]{0,400}", html))
    assert all(re.search(r'aria-label="[^"]+"', tag) for tag in re.findall(r"<audio[^>]{0,200}", html))


def test_checked_cells_have_an_output_to_check(cells):
    checked = [cell for cell in cells if cell.cell_type == "code" and "NBVAL_CHECK_OUTPUT" in cell.source]
    assert all(cell.outputs and cell.execution_count for cell in checked)


def test_links_to_other_notebooks_lead_somewhere(path, cells):
    links = [
        link
        for cell in cells
        if cell.cell_type == "markdown"
        for link in re.findall(r"\]\(([\w-]+\.ipynb)\)", cell.source)
    ]
    assert all((path.parent / link).is_file() for link in links)
