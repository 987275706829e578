"""The table of players in a page of its own: one cursor, one sound at a time, hidden names, the keyboard alone."""

import pytest
import torch
from driving import violations

from unsep_lib.figures.players import player_table

RATE = 16_000
PAGE = """<!DOCTYPE html><html lang="en"><head><title>players</title><style>{style}</style></head>
<body><main><h1>x</h1>{table}</main></body></html>"""
DARK = ":root { color-scheme: dark } body { background: #111; color: #eee }"
PLAYING = "() => [...document.querySelectorAll('audio')].map((audio) => !audio.paused)"


@pytest.fixture
def page(new_page, tmp_path):
    tones = [0.1 * torch.sin(2 * torch.pi * f * torch.arange(4 * RATE) / RATE) for f in (220, 330, 440)]
    tracks = {"mixture": {"mixture": tones[0]}} | {
        name: {"voice": tones[1], "drum": tones[2]} for name in ("default", "hybrid", "reference")
    }
    page = new_page()
    (tmp_path / "page.html").write_text(PAGE.format(style=DARK, table=player_table(tracks, known=["mixture"]).data))
    page.goto((tmp_path / "page.html").as_uri())
    return page


def test_one_sounds_at_a_time_and_goes_on_at_the_same_moment(page):
    first, second = (page.get_by_label(name) for name in ("default: voice", "hybrid: voice"))
    first.evaluate("audio => { audio.muted = true; audio.currentTime = 1.5; return audio.play() }")
    page.wait_for_function("audio => audio.currentTime > 1.6", arg=first.element_handle())
    second.evaluate("audio => { audio.muted = true; return audio.play() }")
    page.wait_for_function("audio => audio.currentTime > 1.6", arg=second.element_handle())
    assert page.evaluate(PLAYING).count(True) == 1
    assert first.evaluate("audio => audio.paused") and second.evaluate("audio => audio.currentTime") < 3.5


def test_names_are_hidden_and_shown_by_the_keyboard_alone(page, shoot):
    names = "() => [...document.querySelectorAll('tbody th')].map((cell) => cell.textContent)"
    assert page.evaluate(names) == ["mixture", "default", "hybrid", "reference"]
    button = page.get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(names) == ["mixture", "A", "B", "C"]
    labels = page.locator("audio").evaluate_all("all => all.map((audio) => audio.getAttribute('aria-label'))")
    assert not [label for label in labels if "hybrid" in label] and "B: drum" in labels
    assert violations(page) == []
    shoot(page, "player-table-hidden")
    page.keyboard.press("Enter")
    assert page.evaluate(names) == ["mixture", "default", "hybrid", "reference"]
    told = page.locator("[aria-live]").inner_text()
    assert all(f"{letter} was " in told for letter in "ABC")
    shoot(page, "player-table")
