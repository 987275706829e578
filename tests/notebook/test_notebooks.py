"""What every notebook promises, read from its file; nbval and papermill execute them."""

import ast
import base64
import io
import re
from itertools import pairwise

import matplotlib
import nbformat
import pytest
from course_rules import EXERCISE
from PIL import Image
from places import REPOSITORY

from unsep_lib.reproduce.course import LINK, linked

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
GLOSSARY = "glossary"
MAX_BYTES = 1_000_000
# Perceptually uniform: equal steps of the number look equal (matplotlib's own list, and grey).
UNIFORM = {"viridis", "plasma", "inferno", "magma", "cividis", "gray", "grey", "Greys"}
MEASURED = re.compile(r"\*\*Measured on two cores:\*\* \d+(\.\d+)? (minutes|seconds), \d+(\.\d+)? GB")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


@pytest.fixture(params=[path for path in NOTEBOOKS if path.stem != GLOSSARY], ids=lambda path: path.stem)
def lesson(request):
    """The cells of a notebook of the series."""
    return nbformat.read(request.param, as_version=4).cells


def prose(cells):
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def html_of(cells):
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_the_series_is_there():
    names = [path.stem for path in NOTEBOOKS]
    assert names == [
        "00_start",
        "01_mixtures",
        "02_denoiser",
        "03_conditions",
        "04_loop",
        "05_paper_solver",
        "06_truth",
        "07_default",
        "08_experiments",
        "09_controls",
        "10_your_recording",
        "11_your_solver",
        "A_network",
        GLOSSARY,
    ]


def test_it_is_light_executed_and_without_errors(path, cells):
    assert path.stat().st_size < MAX_BYTES
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


def test_it_begins_with_aim_prerequisites_and_cost(cells):
    assert all(f"**{words}" in cells[0].source for words in ("You will learn", "Run before:", "In the library:"))
    assert MEASURED.search(cells[0].source)


def test_it_asks_before_it_shows(lesson):
    assert re.search(r"\*\*(Predict|Before you look)", prose(lesson))


def test_it_ends_with_five_lines_and_where_to_go_next(lesson):
    heading, _, after = lesson[-1].source.partition("\n\n")
    assert heading == "## In five lines"
    assert len(re.findall(r"^- ", after, flags=re.MULTILINE)) == 5
    assert re.search(r"^\*\*(Next:|Back to)\*\*.*\]\(\w+\.ipynb\)", after, flags=re.MULTILINE)


def test_what_the_last_lines_say_of_this_run_was_printed_by_it(lesson):
    outputs = [output for cell in lesson if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.get("text", "") for output in outputs)
    for said in re.findall(r"In this run: (.+)\.$", lesson[-1].source, flags=re.MULTILINE):
        assert [part for part in said.replace("`", "").split("; ") if part not in printed] == []


def test_its_links_to_the_library_lead_to_files_that_define_the_names(path, cells):
    assert LINK.search(prose(cells))
    assert len(re.findall(r"\.py#L\d", linked(prose(cells), path.parent))) == len(LINK.findall(prose(cells)))
    assert ".py#L" not in prose(cells), "a line's number is stale with the next change; the rendered course adds it"
    if path.stem != GLOSSARY:
        assert "](glossary.ipynb)" in cells[0].source


def test_it_has_one_typed_parameters_cell(cells):
    (parameters,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    assert 'profile: str = ""' in parameters.source


def test_it_is_prose_as_much_as_code(path, cells):
    assert path.stem == GLOSSARY or 20 <= len(cells) <= 90
    assert sum(cell.cell_type == "markdown" for cell in cells) >= 0.4 * len(cells)


def test_it_has_exercises_with_solutions_that_were_run(lesson):
    solutions = [cell for cell in lesson if "solution" in cell.metadata.get("tags", [])]
    assert all(cell.outputs for cell in solutions)
    assert len(solutions) == len(EXERCISE.findall(prose(lesson))) >= 3


def test_headings_nest(cells):
    levels = [len(mark) for cell in cells if cell.cell_type == "markdown"
              for mark in re.findall(r"^(#+) ", cell.source, flags=re.MULTILINE)]  # fmt: skip
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_figure_has_alt_text_and_every_player_a_line_of_text(path, cells):
    html = html_of(cells)
    assert path.stem == GLOSSARY or "<img" in html or "<audio" in html
    assert all(re.search(r'alt="[^"]{15,}"', tag) for tag in re.findall(r"<img[^>]{0,400}", html))
    players = re.findall(r"<figure[^>]*><figcaption>([^<]*)</figcaption><audio ([^>]{0,200})", html)
    assert len(players) == html.count("<audio")
    assert all(caption and f'aria-label="{caption}"' in tag for caption, tag in players)


def test_no_figure_is_shown_without_alt_text(cells):
    data = [output.get("data", {}) for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [kind for kinds in data for kind in kinds if kind.startswith("image/")]


def test_a_widget_has_a_picture_or_player_where_no_kernel_answers(cells):
    widget = re.compile(r"^(display\()?(scrubber|noise_slider|MixingDesk|GuidanceDial)\(", flags=re.MULTILINE)
    moving = [cell for cell in cells if cell.cell_type == "code" and widget.search(cell.source)]
    assert all("<img" in html_of([cell]) for cell in moving)
    assert not [output for cell in moving for output in cell.outputs if "widget-view" in str(output.data.keys())]


def named_maps(source):
    """The colour maps of matplotlib that a program's text names."""
    strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    return {name for name in strings if isinstance(name, str) and name in matplotlib.colormaps}


def test_colour_maps_are_perceptually_uniform():
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "unsep_lib").rglob("*.py")]
    for path in NOTEBOOKS:
        code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        sources.append("\n".join(code))
    named = set().union(*map(named_maps, sources))
    assert named and named <= UNIFORM
    assert matplotlib.rcParamsDefault["image.cmap"] in UNIFORM
    assert named_maps('axes.imshow(x, cmap="jet")') - UNIFORM == {"jet"}


def test_a_cell_that_describes_a_picture_shows_it(cells):
    code = [cell for cell in cells if cell.cell_type == "code" and "plumbing" not in cell.metadata.get("tags", [])]
    drawn = [cell for cell in code if re.search(r"^described\(", cell.source, flags=re.MULTILINE)]
    assert [cell.source for cell in drawn if "<img" not in html_of([cell])] == []


def test_every_picture_can_be_read(cells):
    for data in re.findall(r'src="data:image/webp;base64,([^"]+)"', html_of(cells)):
        assert min(Image.open(io.BytesIO(base64.b64decode(data))).size) > 50


def test_no_state_of_widgets_or_of_the_run_is_kept(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert not [cell for cell in notebook.cells if "execution" in cell.metadata]


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
