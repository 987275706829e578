"""JupyterLab as a learner sees it: every cell runs, every slider moves a picture, every player has sound."""

import re

import nbformat
import pytest
from places import REPOSITORY

SLIDERS = {"04_loop": 1}  # at least so many
MORE = ("07_default", "11_your_solver")
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
HANDLES = ".noUi-handle"
PROMPTS = ".jp-Notebook .jp-CodeCell .jp-InputPrompt"
ERRORS = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'  # tracebacks, and warnings
FINISHED = f"""() => {{
    const prompts = [...document.querySelectorAll('{PROMPTS}')].map(prompt => prompt.textContent);
    return prompts[0] !== '[ ]:' && !prompts.includes('[*]:');
}}"""
LOUDEST = """async (audio) => {
    const bytes = await (await fetch(audio.src)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
    let loudest = 0;
    for (const sample of sound.getChannelData(0)) loudest = Math.max(loudest, Math.abs(sample));
    return loudest;
}"""
SHOWN = "cell => [...cell.querySelectorAll('img, audio')].map(shown => shown.src).join()"
QUIET = 1e-3  # of full scale: −60 dB


def cleared_copy(source, folder):
    """A copy without outputs; returns its number of code cells."""
    notebook = nbformat.read(source, as_version=4)
    return write_cleared(notebook, folder / source.name)


def write_cleared(notebook, path):
    """Write a notebook without outputs; returns its number of code cells."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)
    return len(cells)


def execute(page, address, cells):
    """Open a notebook, run all its cells from the menu, wait for the last."""
    page.goto(address)
    page.locator(PROMPTS).nth(cells - 1).wait_for(state="attached")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(FINISHED)


def move_sliders(page, cell):
    """Move each slider of a cell by its keys; a picture or a sound of the cell must change."""
    before = cell.evaluate(SHOWN)
    for handle in cell.locator(HANDLES).all():
        value, lowest = handle.get_attribute("aria-valuenow"), handle.get_attribute("aria-valuemin")
        handle.press("ArrowRight" if value == lowest else "ArrowLeft")
        assert handle.get_attribute("aria-valuenow") != value
    changed = f"([cell, before]) => ({SHOWN})(cell) !== before"
    page.wait_for_function(changed, arg=[cell.element_handle(), before])


def test_an_error_is_seen(lab, new_page):
    folder, address = lab
    cells = [nbformat.v4.new_code_cell(source) for source in ("1", "1 / 0", "2")]
    write_cleared(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / "wrong.ipynb")
    page = new_page()
    execute(page, address("wrong.ipynb"), len(cells))
    assert "ZeroDivisionError" in page.locator(ERRORS).inner_text()
    assert page.locator(PROMPTS).all_inner_texts() == ["[1]:", "[2]:", "[ ]:"]


@pytest.mark.parametrize(
    "name", ["00_start", "04_loop", *(pytest.param(name, marks=pytest.mark.full) for name in MORE)]
)
def test_a_notebook_runs_and_answers(name, lab, new_page, shoot):
    folder, address = lab
    cells = cleared_copy(REPOSITORY / "notebooks" / f"{name}.ipynb", folder)
    page = new_page()
    execute(page, address(f"{name}.ipynb"), cells)
    assert page.locator(ERRORS).all_inner_texts() == []
    prompts = page.locator(PROMPTS).all_inner_texts()  # empty where a cell's source is folded
    assert len(prompts) == cells and any(prompts)
    assert all(shown in ("", f"[{number}]:") for number, shown in enumerate(prompts, start=1))

    assert page.locator(HANDLES).count() >= SLIDERS.get(name, 0)
    for cell in page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(HANDLES)).all():
        move_sliders(page, cell)

    players = page.locator(".jp-Notebook audio")
    assert players.count() > 0
    for player in players.all():
        assert player.evaluate(LOUDEST) > QUIET
        assert player.evaluate("audio => audio.duration") > 0.5, player.get_attribute("aria-label")
    assert page.locator(ERRORS).count() == 0
    assert not re.search("Error displaying widget|Loading widget", page.locator(".jp-Notebook").inner_text())
    players.last.scroll_into_view_if_needed()
    shoot(page, name)
