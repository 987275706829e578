"""The student edition of the notebooks, their links to names of the library, and the pictures taken from them."""

from __future__ import annotations

import ast
import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat

from unsep_lib.files import refuse_overwriting, write_bytes, write_text

SOLUTION, EXERCISE = "solution", "exercise"  # tags of a solved and of a blank cell
NUMBERED = re.compile(r"^\*\*(\d+\.\d+|A\.\d+|\d+)\.?\*\*", flags=re.MULTILINE)  # **04.1** begins an exercise
PICTURE = "picture:"  # begins the tag of a cell whose image is shown elsewhere under the name that follows
IMAGE = re.compile(r"data:image/webp;base64,([\w+/=]+)")
LINK = re.compile(r"\[`(\w+)`\]\((\.\./unsep_lib/[\w/]+\.py)\)")  # [`name`](../unsep_lib/file.py)


def student_edition(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy whose solution cells are blanks that raise NotImplementedError("Exercise 1: replace this line").

    Cells that use what a solution defines keep their source and lose their outputs. Everything else is as it was.

    Raises:
        ValueError: a solution that no exercise comes before.
    """
    copy: nbformat.NotebookNode = nbformat.from_dict(notebook)
    number: str | None = None
    solved: set[str] = set()
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            number = (NUMBERED.findall(cell.source) or [number])[-1]
        elif SOLUTION in cell.metadata.get("tags", []):
            if number is None:
                raise ValueError("expected an exercise like **1.** before each solution, found a solution without one")
            solved |= _names(cell.source, ast.Store)
            checked = re.search(rf'check\("{re.escape(number)}", \w+\)', cell.source)
            cell.source = f'raise NotImplementedError("Exercise {number}: replace this line")'
            cell.source += f"\n{checked[0]}" if checked else ""
            cell.metadata.tags = [EXERCISE if tag == SOLUTION else tag for tag in cell.metadata.tags]
            cell.metadata.pop("jupyter", None)
            _forget(cell)
            number = None
        elif cell.cell_type == "code" and _names(cell.source, ast.Load) & solved:
            solved |= _names(cell.source, ast.Store)
            _forget(cell)
    return copy


def _forget(cell: nbformat.NotebookNode) -> None:
    cell.outputs, cell.execution_count = [], None


def _names(source: str, use: type[ast.expr_context]) -> set[str]:
    """Names that a cell reads (ast.Load), or that it binds (ast.Store), imports, functions and classes included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, use):
            found.add(node.id)
        elif use is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif use is ast.Store and isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


def write_student_edition(notebooks: Path, out: Path) -> list[Path]:
    """Write the student edition of `notebooks`/*.ipynb into `out`; returns the files.

    Raises:
        ValueError: no notebooks, a solution without an exercise, or `out` is the notebooks' own folder.
    """
    sources = sorted(notebooks.glob("*.ipynb"))
    if not sources:
        raise ValueError(f"{notebooks}: no notebooks found")
    refuse_overwriting([out / source.name for source in sources], sources)
    written = []
    for source in sources:
        try:
            edition = student_edition(nbformat.read(source, as_version=nbformat.NO_CONVERT))
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        write_text(out / source.name, notebook_text(edition))
        written.append(out / source.name)
    return written


def notebook_text(notebook: nbformat.NotebookNode) -> str:
    """The notebook as the text of its file."""
    text: str = nbformat.writes(notebook)
    return text + "\n"


def definitions(path: Path) -> dict[str, int]:
    """Line of each top-level function, class and constant of a Python file, and of its classes' methods, from 1."""
    lines: dict[str, int] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for child in (node, *(node.body if isinstance(node, ast.ClassDef) else ())):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                lines.setdefault(child.name, child.lineno)
            elif isinstance(child, ast.Assign):
                lines |= {name: child.lineno for name in _names(ast.unparse(child), ast.Store) if name not in lines}
    return lines


def linked(text: str, folder: Path) -> str:
    """`text` whose links [`name`](../unsep_lib/file.py) lead to the line where the file defines the name.

    folder: where the text's notebook lies.

    Raises:
        ValueError: the file is not there, or does not define the name.
    """

    def link(match: re.Match[str]) -> str:
        name, target = match[1], match[2]
        path = Path(os.path.normpath(folder / target))
        lines: Mapping[str, int] = definitions(path) if path.is_file() else {}
        if name not in lines:
            raise ValueError(f"expected {target} to define {name}, found {', '.join(lines) or 'no such file'}")
        return f"[`{name}`]({target}#L{lines[name]})"

    return LINK.sub(link, text)


def pictures(notebooks: Path) -> dict[Path, bytes]:
    """The images of cells tagged `picture:NAME` in `notebooks`/*.ipynb, by where they belong: pictures/NAME.webp there.

    Raises:
        ValueError: such a cell without an image.
    """
    found = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=nbformat.NO_CONVERT).cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith(PICTURE):
                    image = IMAGE.search("".join(str(output.get("data", {})) for output in cell.outputs))
                    if image is None:
                        raise ValueError(f"{path}: expected an image in the cell tagged {tag}, found none")
                    file = notebooks / "pictures" / f"{tag.removeprefix(PICTURE)}.webp"
                    found[file] = base64.b64decode(image[1])
    return found


def update_pictures(notebooks: Path) -> list[Path]:
    """Write the `pictures` of the notebooks; returns the files that changed.

    Raises:
        ValueError: a cell that should show one shows none.
    """
    changed = []
    for path, image in pictures(notebooks).items():
        if not path.is_file() or path.read_bytes() != image:
            write_bytes(path, image)
            changed.append(path)
    return changed
