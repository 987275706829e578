"""The rules for a chapter, counted in a notebook. `python tests/course_rules.py` prints the counts of all of them."""

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import nbformat

SECOND_EDITION = {  # the notebooks that meet the rules
    "00_start", "01_mixtures", "02_denoiser", "03_conditions", "04_loop", "05_paper_solver", "06_truth", "07_default",
    "08_experiments", "09_controls", "10_your_recording", "11_your_solver", "A_network", "glossary",
}  # fmt: skip
OF_CHAPTERS = {2, 8, 11}  # an index of words has neither pictures nor exercises nor predictions of its own
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
MEDIAN_LINES, MOST_LINES, MOST_COLUMNS, MOST_IMPORTS = 6, 15, 88, 8
WORDS_PER_PICTURE = 350
EXERCISE = re.compile(r"^\*\*([\dA]+\.\d+)\*\* · (recall|change|build)", flags=re.MULTILINE)
QUESTION, BACK = "**The question.**", "**The answer.**"
PREDICT, ANSWER = re.compile(r"\*\*(?:Predict|Before you look)"), re.compile(r"\*\*Answer\.\*\*")
TIMES = re.compile(r"\*\*Your time:\*\* \d+ minutes\. \*\*Measured on two cores:\*\* \d+(\.\d+)? (minutes|seconds), \d")


def tags(cell):
    return cell.metadata.get("tags", [])


def folded(cell):
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def prose(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def imported(source):
    """Names that a cell takes from the library."""
    return [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "unsep_lib"
        for alias in node.names
    ]


@dataclass
class Counts:
    """What is counted in one notebook; `broken` says which rules it breaks."""

    lines: list[int]
    widest: int
    pictures: int
    words: int
    imports: int
    asserts: int
    exercises: list[tuple[str, str]]
    unchecked: list[str]
    unfolded: int
    predictions: list[int]
    answers: list[int]
    boxed: bool
    answered: bool
    unnamed_approximations: int
    loose_players: int
    chapter: bool

    def broken(self):
        """One sentence per rule that is not met, led by its number in the list of rules."""
        enough = self.pictures * WORDS_PER_PICTURE >= self.words
        found = {
            1: None if self.boxed and self.answered else "no question and times at first, or no answer at last",
            2: None if enough else f"{self.pictures} pictures for {self.words} words",
            4: self._cells(),
            5: None if self.imports <= MOST_IMPORTS else f"{self.imports} names imported outside the folded cell",
            6: None if self.asserts >= 2 else f"{self.asserts} assertions",
            7: f"exercises without a check: {self.unchecked}" if self.unchecked else None,
            8: None if {grade for _, grade in self.exercises} == {"recall", "change", "build"} else f"{self.exercises}",
            9: f"{self.unfolded} solutions or plumbing cells in plain sight" if self.unfolded else None,
            10: None if self.exercises == sorted(self.exercises) else f"{self.exercises} out of order",
            11: self._predictions(),
            13: f"{self.unnamed_approximations} unnamed ≈" if self.unnamed_approximations else None,
            14: f"{self.loose_players} cells with three or more players, but no table" if self.loose_players else None,
        }  # fmt: skip
        return {rule: why for rule, why in found.items() if why and (self.chapter or rule not in OF_CHAPTERS)}

    def _cells(self):
        if median(self.lines) > MEDIAN_LINES or max(self.lines) > MOST_LINES or self.widest > MOST_COLUMNS:
            return f"cells: median {median(self.lines)}, longest {max(self.lines)} lines, {self.widest} columns"
        return None

    def _predictions(self):
        """Each prediction is answered at least one code cell later, before the next one is asked."""
        pairs = list(zip(self.predictions, self.answers, strict=False))
        if len(self.predictions) != len(self.answers) or not pairs:
            return f"{len(self.predictions)} predictions, {len(self.answers)} answers"
        return None if all(asked + 2 <= told for asked, told in pairs) else f"asked and told at {pairs}"


def counted(notebook):
    """The counts of a notebook."""
    cells = notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    shown = [cell for cell in code if not {"plumbing", "solution", "parameters"} & set(tags(cell))]
    outputs = "".join(str(output.get("data", {})) for cell in code for output in cell.outputs)
    exercises = EXERCISE.findall(prose(cells))
    solutions = "\n".join(cell.source for cell in code if "solution" in tags(cell))
    approximations = [cell for cell in cells if cell.cell_type == "markdown" and r"\approx" in cell.source]
    words = len(re.findall(r"\w+", re.sub(r"\$[^$]+\$|`[^`]*`|\]\([^)]*\)", " ", prose(cells))))
    players = [
        cell for cell in shown
        if "noise_slider(" not in cell.source
        and sum(str(output.get("data", {})).count("<audio") for output in cell.outputs) >= 3
    ]  # fmt: skip
    return Counts(
        lines=[len([line for line in cell.source.splitlines() if line.strip()]) for cell in shown],
        widest=max(len(line) for cell in code if "plumbing" not in tags(cell) for line in cell.source.splitlines()),
        pictures=outputs.count("<img "),
        words=words,
        imports=sum(len(imported(cell.source)) for cell in shown),
        asserts=sum(len(re.findall(r"\bassert|\.holds\(", cell.source)) for cell in code),
        exercises=exercises,
        unchecked=[number for number, _ in exercises if f'assert check("{number}", ' not in solutions],
        unfolded=sum(not folded(cell) for cell in code if {"plumbing", "solution"} & set(tags(cell))),
        predictions=[place for place, cell in enumerate(cells) for _ in PREDICT.findall(_words(cell))],
        answers=[place for place, cell in enumerate(cells) for _ in ANSWER.findall(_words(cell))],
        boxed=QUESTION in cells[0].source and bool(TIMES.search(cells[0].source)),
        answered=BACK in cells[-1].source,
        unnamed_approximations=sum("approximat" not in cell.source for cell in approximations),
        chapter=not cells[0].source.startswith("# Glossary"),
        loose_players=sum('class="unsep-players"' not in str(cell.outputs) for cell in players),
    )


def _words(cell):
    return cell.source if cell.cell_type == "markdown" else ""


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        counts = counted(nbformat.read(path, as_version=4))
        print(
            f"{path.stem}: {len(counts.lines)} cells of median {median(counts.lines):g}, at most {max(counts.lines)}; "
            f"{counts.widest} columns; {counts.words} words, {counts.pictures} pictures, {counts.imports} imports, "
            f"{counts.asserts} assertions, {len(counts.exercises)} exercises"
        )
        for rule, why in counts.broken().items():
            print(f"  rule {rule}: {why}")
