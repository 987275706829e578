"""The rendered course in a browser, opened from disk: links, formulas, pictures, players, a phone, a dark theme."""

import pytest
from driving import violations

PLAYABLE = "audio => audio.duration > 0.5"
UNSEEN = "formulas => formulas.filter(one => { const box = one.getBoundingClientRect(); return !box.width; }).length"
FRACTION = "one => one.children[0].getBoundingClientRect().bottom <= one.children[1].getBoundingClientRect().top + 2"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def opened(new_page, book):
    """opened(name): a page of the book, which may ask for nothing but files of the book."""
    asked = []

    def make(name):
        page = new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((book / f"{name}.html").as_uri())
        return page

    yield make
    root = book.as_uri()
    assert [url for url in asked if not url.startswith((root, "data:", "blob:"))] == []


def test_the_index_leads_to_a_chapter_and_on_to_the_library(opened, shoot):
    page = opened("index")
    assert violations(page) == []
    shoot(page, "book_index")
    page.get_by_role("link", name="04 · The loop").click()
    assert page.locator("h1").inner_text().startswith("04 · The loop")
    page.locator("article a", has_text="reverse").first.click()
    line = page.locator(f"[name='{page.url.partition('#')[2]}'], [id='{page.url.partition('#')[2]}']")
    assert "/source/unsep_lib/solvers/loop.py.html#L-" in page.url and line.count() == 1
    assert "def reverse(" in page.locator("pre").inner_text()
    page.go_back()
    page.get_by_role("link", name="next").first.click()
    assert page.locator("h1").inner_text().startswith("05")


@pytest.mark.parametrize("name", ["00_start", "04_loop", "07_default", "11_your_solver"])
def test_formulas_are_typeset_pictures_shown_and_players_loaded(opened, shoot, name):
    page = opened(name)
    formulas = page.locator("math")
    assert formulas.count() > 0 and formulas.evaluate_all(UNSEEN) == 0
    for fraction in page.locator("mfrac").all():
        assert fraction.evaluate(FRACTION)
    pictures = page.locator("article img")
    assert pictures.count() > 0
    assert pictures.evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    players = page.locator("audio")
    assert players.count() > 0
    for player in players.all():
        page.wait_for_function(PLAYABLE, arg=player.element_handle())
    assert page.locator("details").count() > 0 and page.locator("details[open]").count() == 0
    shoot(page, f"book_{name}")


@pytest.mark.parametrize("name", ["index", "00_start", "04_loop", "glossary"])
def test_a_phone_needs_no_sideways_scrolling(opened, shoot, name):
    page = opened(name)
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.emulate_media(color_scheme="dark")
    background = page.evaluate("getComputedStyle(document.body).color")
    shoot(page, f"book_{name}_phone_dark")
    assert background != "rgb(0, 0, 0)"
