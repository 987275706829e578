import base64
import re
from itertools import chain

import nbformat
import pytest
from course_rules import EXERCISE, prose

from unsep_lib.__main__ import main
from unsep_lib.data.embedded import REPOSITORY
from unsep_lib.reproduce.course import (
    definitions,
    linked,
    pictures,
    student_edition,
    update_pictures,
    write_student_edition,
)

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def code(source, *tags):
    cell = nbformat.v4.new_code_cell(source, execution_count=1, metadata={"tags": list(tags)} if tags else {})
    cell.outputs = [nbformat.v4.new_output("stream", text=source)]
    return cell


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def exercise(number):
    return nbformat.v4.new_markdown_cell(f"**{number}.** Find it.")


def test_a_solution_becomes_a_blank_that_fails_with_the_number_of_its_exercise():
    made = student_edition(notebook(exercise(1), code("found = 3", "solution"), exercise(2), code("found", "solution")))
    for cell, number in ((made.cells[1], 1), (made.cells[3], 2)):
        assert (cell.outputs, cell.execution_count, cell.metadata.tags) == ([], None, ["exercise"])
        with pytest.raises(NotImplementedError, match=f"^Exercise {number}: replace this line$"):
            exec(compile(cell.source, "blank", "exec"), {})


def test_a_blank_of_a_chapter_keeps_its_check_and_is_in_plain_sight():
    numbered = nbformat.v4.new_markdown_cell("**04.1** · build, 30 minutes. Find it.")
    solved = code('answer = 3\nassert check("04.1", answer)', "solution")
    solved.metadata.jupyter = {"source_hidden": True}
    blank = student_edition(notebook(numbered, solved)).cells[1]
    assert blank.source == 'raise NotImplementedError("Exercise 04.1: replace this line")\ncheck("04.1", answer)'
    assert "jupyter" not in blank.metadata and blank.outputs == []
    named = code('def mine(x):\n    return x\n\nassert check("04.1", mine)', "solution")
    assert student_edition(notebook(numbered, named)).cells[1].source.endswith('\ncheck("04.1", mine)')


def test_outputs_that_rest_on_a_solution_go_and_no_others():
    cells = [
        code("first = 1"),
        exercise(1),
        code("def answer(): return 2\nfrom math import pi\nvalue = answer()", "solution"),
        code("print(first)"),
        code("twice = 2 * value"),
        code("print(twice)"),
        code("answer()"),
        code("print(pi)"),
    ]
    made = student_edition(notebook(*cells))
    assert [bool(cell.outputs) for cell in made.cells if cell.cell_type == "code"] == [
        True, False, True, False, False, False, False
    ]  # fmt: skip
    assert [cell.source for cell in made.cells[3:]] == [cell.source for cell in cells[3:]]


def test_a_solution_without_an_exercise_is_refused():
    with pytest.raises(ValueError, match="found a solution without one"):
        student_edition(notebook(exercise(1), code("a = 1", "solution"), code("b = 1", "solution")))


def test_the_course_builds_by_one_command_and_only_its_solutions_change(tmp_path, capsys):
    before = [path.read_bytes() for path in NOTEBOOKS]
    assert main(["course", "--out", str(tmp_path / "student")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(NOTEBOOKS)
    assert [path.read_bytes() for path in NOTEBOOKS] == before
    for path in NOTEBOOKS:
        full = nbformat.read(path, as_version=4)
        student = nbformat.read(tmp_path / "student" / path.name, as_version=4)
        nbformat.validate(student)
        numbers = []
        assert student.metadata == full.metadata and len(student.cells) == len(full.cells)
        for ours, theirs in zip(full.cells, student.cells, strict=True):
            if "solution" not in ours.metadata.get("tags", []):
                assert theirs == ours
                continue
            with pytest.raises(NotImplementedError) as failure:
                exec(compile(theirs.source, path.name, "exec"), {})
            numbers.append(str(failure.value))
            assert theirs.outputs == [] and theirs.id == ours.id
        asked = EXERCISE.findall(prose(full.cells))
        names = [number for number, _ in asked] or [str(n) for n in range(1, 1 + len(numbers))]
        assert numbers == [f"Exercise {name}: replace this line" for name in names]


def test_the_notebooks_own_folder_and_an_empty_one_are_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="no notebooks found"):
        write_student_edition(tmp_path, tmp_path / "out")
    assert main(["course", "--out", str(REPOSITORY / "notebooks")]) == 2
    assert "this input would be overwritten" in capsys.readouterr().err


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    lines = ["import os", "", "LIMIT = 3", "", "", "@cache", "def found():", "    here = 1", "", ""]
    source = "\n".join([*lines, "class Rule:", "    def advance(self): ..."])
    (tmp_path / "unsep_lib").mkdir()
    (tmp_path / "unsep_lib" / "rules.py").write_text(source)
    return folder


def test_links_lead_to_the_line_that_defines_the_name(library):
    lines = (library.parent / "unsep_lib" / "rules.py").read_text().splitlines()
    for name, line in definitions(library.parent / "unsep_lib" / "rules.py").items():
        assert name in lines[line - 1]
    text = "see [`found`](../unsep_lib/rules.py), [`advance`](../unsep_lib/rules.py) and [docs](https://a.b)"
    expected = "see [`found`](../unsep_lib/rules.py#L7), [`advance`](../unsep_lib/rules.py#L12) and [docs](https://a.b)"
    assert linked(text, library) == expected
    for name in ("here", "os", "lost"):
        with pytest.raises(ValueError, match=f"to define {name}, found LIMIT, found, Rule, advance"):
            linked(f"[`{name}`](../unsep_lib/rules.py)", library)
    with pytest.raises(ValueError, match="no such file"):
        linked("[`found`](../unsep_lib/gone.py)", library)


def test_pictures_are_taken_from_the_outputs_of_tagged_cells(library):
    image, other = b"RIFF....WEBP", b"no"
    shown = [
        nbformat.v4.new_output(
            "execute_result", {"text/html": f'<img src="data:image/webp;base64,{base64.b64encode(data).decode()}">'}
        )
        for data in (image, other)
    ]
    tagged, plain = code("figure()"), code("figure()")
    tagged.metadata.tags, tagged.outputs, plain.outputs = ["picture:front"], shown[:1], shown[1:]
    nbformat.write(notebook(plain, tagged), library / "a.ipynb")
    picture = library / "pictures" / "front.webp"
    assert update_pictures(library) == [picture] and picture.read_bytes() == image
    assert update_pictures(library) == []
    tagged.outputs = []
    nbformat.write(notebook(tagged), library / "a.ipynb")
    with pytest.raises(ValueError, match="expected an image in the cell tagged picture:front, found none"):
        update_pictures(library)


def test_the_pages_show_the_notebooks_own_pictures():
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "notebooks" / "docs").glob("*.md")]
    shown = [re.findall(r"\]\([\w./]*pictures/(\w+\.webp)\)", page.read_text(encoding="utf-8")) for page in pages]
    expected = pictures(REPOSITORY / "notebooks")
    assert sorted(chain(*shown)) == sorted(path.name for path in expected)
    assert all(path.read_bytes() == image for path, image in expected.items()), "run `unsep course --update-pictures`"
