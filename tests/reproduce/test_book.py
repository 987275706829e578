import re
import xml.etree.ElementTree as xml

import nbformat
import pytest
from places import REPOSITORY

from unsep_lib.reproduce.book import typeset, write_book

MOST_BYTES = 25 << 20


def test_formulas_become_mathml_and_code_stays():
    text = typeset(
        "Let $x_0^2$ be, and `a $5 note` costs\n\n```\necho $HOME $PATH\n```\n\n$$ \\frac{a}{b}\n\\approx c $$"
    )
    assert "`a $5 note`" in text and "echo $HOME $PATH" in text
    inline, block = re.findall(r"<math.*?</math>", text)
    assert 'display="inline"' in inline and 'display="block"' in block
    names = {node.tag.rpartition("}")[2] for node in xml.fromstring(block).iter()}
    assert "mfrac" in names and "\n" not in block
    assert not set("*_") & set(inline + block)


def test_the_book_is_one_light_folder_whose_links_lead_somewhere(book):
    assert sum(path.stat().st_size for path in book.rglob("*") if path.is_file()) < MOST_BYTES
    chapters = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    assert all((book / f"{path.stem}.html").is_file() for path in chapters)
    for page in book.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r'href="([^"#:]+)(#[^"]*)?"', text):
            assert (book / target).is_file(), f"{page.name}: {target}"
            if anchor.startswith("#L-"):
                assert f'name="{anchor[1:]}"' in (book / target).read_text(encoding="utf-8")


def test_nothing_is_fetched_and_no_formula_is_left_raw(book):
    for page in book.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(src|href)="(https?:)?//[^"]+\.(js|css)"', text) and "<script src" not in text
        prose = re.sub(r"<(pre|code|script|style).*?</\1>", "", text, flags=re.DOTALL)
        assert not re.search(r"\$[^$<]{1,200}\$", prose), page.name
        formulas = re.findall(r"<math.*?</math>", text, flags=re.DOTALL)
        assert [formula for formula in formulas if "\\" in formula] == [], f"{page.name}: commands left as they are"


def test_solutions_and_plumbing_are_folded(tmp_path):
    cell = nbformat.v4.new_code_cell("answer = 42", metadata={"jupyter": {"source_hidden": True}, "tags": ["solution"]})
    plain = nbformat.v4.new_code_cell("shown = 1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title"), cell, plain])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "a.ipynb")
    index, page = write_book(tmp_path / "notebooks", tmp_path / "out")
    folded, after = re.search(r"<details>(.*?)</details>(.*)", page.read_text(), flags=re.DOTALL).groups()
    assert "<summary>solution</summary>" in folded and "42" in folded and "shown" in after
    assert "A title" in index.read_text()


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("[x](gone.md)")]),
        tmp_path / "notebooks" / "a.ipynb",
    )
    with pytest.raises(ValueError, match=r"a: a link leads to gone\.md"):
        write_book(tmp_path / "notebooks", tmp_path / "out")
    with pytest.raises(ValueError, match="no notebooks"):
        write_book(tmp_path, tmp_path / "out")
