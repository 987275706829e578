"""Every chapter of the second edition meets the rules; a notebook joins `SECOND_EDITION` once it does."""

import nbformat
import pytest
from course_rules import NOTEBOOKS, SECOND_EDITION, counted

from unsep_lib.notebook.exercises import exercises

CODE = {"plumbing": {"tags": ["plumbing"], "jupyter": {"source_hidden": True}},
        "solution": {"tags": ["solution"], "jupyter": {"source_hidden": True}}}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SECOND_EDITION))
def test_the_chapter_meets_the_rules(name):
    assert counted(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)).broken() == {}


@pytest.mark.parametrize("name", sorted(SECOND_EDITION))
def test_its_exercises_are_those_of_the_table_and_their_solutions_were_right(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    numbered = {
        number: entry.grade for number, entry in exercises().items() if number.split(".")[0] == name.split("_")[0]
    }
    assert dict(counted(notebook).exercises) == numbered
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.get("text", "") for output in outputs)
    assert [number for number in numbered if f"{number}: right." not in said] == []


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def code(source, html="", kind=""):
    cell = nbformat.v4.new_code_cell(source, metadata=CODE.get(kind, {}), execution_count=1)
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})] if html else []
    return cell


def chapter():
    box = "# 99\n\n**The question.** Why?\n\n**Your time:** 5 minutes. **Measured on two cores:** 5 seconds, 0.7 GB"
    grades = enumerate(("recall", "change", "build"), start=1)
    asked = "".join(f"**99.{n}** · {grade}, 2 minutes. Do it.\n\n" for n, grade in grades)
    solutions = [code(f'assert check("99.{n}", 1)', kind="solution") for n in (1, 2, 3)]
    return nbformat.v4.new_notebook(cells=[
        markdown(box), code("from unsep_lib.notebook.start import start", kind="plumbing"),
        markdown("**Predict, then run.** What?"), code("assert 1", "<img >"), markdown("**Answer.** This."),
        markdown(asked), *solutions, markdown("**The answer.** So."),
    ])  # fmt: skip


def test_a_chapter_that_meets_the_rules_breaks_none():
    assert counted(chapter()).broken() == {}


@pytest.mark.parametrize(
    ("rule", "place", "source"),
    [
        (1, 0, "# 99\n\nNo question."),
        (1, -1, "Not told."),
        (2, 2, "**Predict** " + "word " * 400),
        (4, 3, "assert 1\n" * 16),
        (4, 3, "assert 1  # " + "wide " * 20),
        (5, 3, "from unsep_lib.audio import a, b, c, d, e, f, g, h, i"),
        (7, 7, 'check("98.2", 1)'),
        (8, 5, "**99.1** · recall. Only one."),
        (10, 5, "**99.2** · recall.\n\n**99.1** · change.\n\n**99.3** · build."),
        (11, 2, "Nothing asked."),
        (11, 2, "**Predict** it. **Answer.** It is told at once."),
        (13, 2, r"**Predict** $a \approx b$."),
    ],
)
def test_a_broken_rule_is_named(rule, place, source):
    notebook = chapter()
    notebook.cells[place].source = source
    assert rule in counted(notebook).broken()


def test_solutions_in_plain_sight_and_loose_players_are_named():
    notebook = chapter()
    notebook.cells[6].metadata.pop("jupyter")
    notebook.cells[3].outputs[0].data["text/html"] = "<img ><audio><audio><audio>"
    assert {9, 14} <= set(counted(notebook).broken())
