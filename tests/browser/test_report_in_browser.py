"""The report of `unsep reproduce` in a browser."""

import nbformat
import pytest
from driving import violations

from unsep_lib.reproduce.run import reproduce

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
NOTEBOOK = """\
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.figures import described, spectrograms
from unsep_lib.notebook.start import start

notebook = start("00_small", profile)
mixture = embedded_mixtures("1speech-1sound")[0].mixture
figure = spectrograms({"mixture": mixture})
described(figure, "Spectrogram of a mixture.")
notebook.save_figure("mixture.svg", figure)
notebook.save_audio("mixture.wav", mixture)
row = {"name": "a loss", "value": 1.5, "unit": "dB", "low": 1.0, "high": 2.0, "command": "unsep evaluate"}
notebook.save_results([row])
notebook.save_headline("One went in.", "mixture.svg", {"the recording": "mixture.wav"})
"""


@pytest.fixture(scope="module")
def report(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "notebooks").mkdir()
    parameters = nbformat.v4.new_code_cell('profile: str = ""', metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell("# 00 · Small"), parameters, nbformat.v4.new_code_cell(NOTEBOOK)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
    nbformat.write(notebook, folder / "notebooks" / "00_small.ipynb")
    return reproduce(folder / "notebooks", "smoke", folder / "out")


def test_the_report_has_no_serious_accessibility_violation_and_plays(report, new_page, shoot):
    page = new_page()
    page.goto(report.as_uri())
    assert violations(page) == []
    players = page.locator("audio")
    assert players.count() == 2
    for player in players.all():
        page.wait_for_function("audio => audio.duration > 3", arg=player.element_handle())
    assert page.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    picture = page.locator("img").first.bounding_box()
    assert picture["y"] + picture["height"] < page.viewport_size["height"]  # on the first screen
    assert not page.locator("table", has_text="a loss").is_visible()
    page.get_by_text("All 1 numbers").click()
    assert page.locator("table", has_text="a loss").is_visible()
    shoot(page, "report")


def test_axe_sees_a_violation(new_page):
    page = new_page()
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="data:,"></main></html>')
    assert [name for name, _, _ in violations(page)] == ["image-alt"]
