"""The report of `unsep reproduce` in a browser."""

import shutil

import pytest
from driving import ROOT, violations

from unsep_lib.reproduce import reproduce


@pytest.fixture(scope="module")
def report(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "00_start.ipynb", folder / "notebooks")
    return reproduce(folder / "notebooks", "smoke", folder / "out")


def test_the_report_has_no_serious_accessibility_violation_and_plays(report, new_page, shoot):
    page = new_page()
    page.goto(report.as_uri())
    assert violations(page) == []
    players = page.locator("audio")
    assert players.count() == 3
    for player in players.all():
        page.wait_for_function("audio => audio.duration > 3", arg=player.element_handle(), polling=200)
    assert page.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    shoot(page, "report")


def test_axe_sees_a_violation(new_page):
    page = new_page()
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="data:,"></main></html>')
    assert [name for name, _, _ in violations(page)] == ["image-alt"]
