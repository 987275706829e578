"""The glossary: some thirty words, a sentence and a place each, and no word is used before it is introduced."""

import re

import nbformat
import pytest
from course_rules import NOTEBOOKS

CHAPTERS = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.stem != "glossary"]  # in reading order
ROW = re.compile(
    r"^\| \*\*(?P<word>[^*]+)\*\*(?: \((?P<other>[^)]+)\))? "
    r"\| (?P<sentence>.+) \| \[\w+\]\((?P<place>\w+)\.ipynb\) \|$",
    flags=re.MULTILINE,
)
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)]*\)", flags=re.DOTALL)


def prose(path):
    """What a reader of a chapter reads: its markdown without code, formulas and addresses."""
    cells = nbformat.read(path, as_version=4).cells
    return NOT_PROSE.sub(" ", "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def spelled(words):
    """A pattern of the words, one or several of each."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:s|es)?\b", flags=re.IGNORECASE)


def used_early(entries, chapters):
    """(word, chapter) of each word that a chapter uses before the one that introduces it; longer words go first."""
    found, texts, names = [], dict(chapters), list(dict(chapters))
    for word, other, place in sorted(entries, key=lambda entry: -len(entry[0])):
        pattern = spelled([word, *([other] if other else [])])
        found += [(word, name) for name in names[: names.index(place)] if pattern.search(texts[name])]
        texts = {name: pattern.sub(" ", text) for name, text in texts.items()}
    return found


@pytest.fixture(scope="module")
def rows():
    cells = nbformat.read(NOTEBOOKS / "glossary.ipynb", as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = [match.groupdict() for match in ROW.finditer(text)]
    assert len(found) == len(re.findall(r"^\| \*\*", text, flags=re.MULTILINE))
    return found


def test_it_has_some_thirty_words_of_one_sentence_each(rows):
    assert 25 <= len(rows) <= 40
    assert len({row["word"] for row in rows}) == len(rows)
    for row in rows:
        assert row["sentence"].endswith(".") and row["sentence"].count(". ") == 0, row["word"]
        assert len(row["sentence"].split()) <= 25, row["word"]


def test_each_word_stands_in_bold_in_its_chapter_and_the_order_is_that_of_the_chapters(rows):
    places = []
    for row in rows:
        (path,) = (path for path in CHAPTERS if path.stem == row["place"])
        bold = re.search(rf"\*\*{re.escape(row['word'])}", prose(path), flags=re.IGNORECASE)
        assert bold, f"{row['place']} does not introduce {row['word']}"
        places.append(path.stem)
    assert places == sorted(places)


def test_no_word_is_used_before_the_chapter_that_introduces_it(rows):
    entries = [(row["word"], row["other"], row["place"]) for row in rows]
    assert used_early(entries, [(path.stem, prose(path)) for path in CHAPTERS]) == []


def test_a_word_used_too_early_is_found():
    chapters = [("00", "Guided by classifier-free guidance and one Posterior."), ("01", "**posterior**, guidance")]
    entries = [("guidance", None, "01"), ("posterior", None, "01"), ("classifier-free guidance", None, "00")]
    assert used_early(entries, chapters) == [("posterior", "00")]
    assert used_early([("guidance", "guided", "01"), entries[2]], chapters) == [("guidance", "00")]


def test_code_formulas_and_addresses_are_no_prose():
    text = "a `mask` of $bias$\n\n```\nspread\n```\n\nat [here](restart.ipynb)"
    assert NOT_PROSE.sub(" ", text).split() == ["a", "of", "at", "[here"]
