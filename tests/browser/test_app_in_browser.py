"""The page of `unsep app`, used as a person would."""

import io
import urllib.error
import urllib.request
import zipfile
from urllib.parse import urlsplit

import numpy
import pytest
import soundfile
from driving import violations

from unsep_lib.audio import read_audio
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.notebook.profiles import load_profile
from unsep_lib.separation import load_priors, separate
from unsep_lib.source_spec import parse_spec

SECONDS, RATE = 1.5, 44_100
SOURCES = ("speech", "sound:Clarinet")
TOLERANCE = 1 / 32768  # 16-bit rounding
DROP = """(zone, [name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name));
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""

TOO_WIDE = """() => {
    const edge = document.querySelector(".unsep-page").getBoundingClientRect().right + 1;
    return [...document.querySelectorAll(".unsep-page *")]
        .filter((element) => element.getBoundingClientRect().width && element.getBoundingClientRect().right > edge)
        .map((element) => element.outerHTML.slice(0, 80));
}"""
FOCUSED = """() => {
    const style = getComputedStyle(document.activeElement);
    return [document.activeElement.tagName, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""
BRIGHTNESS = """(element) =>
    Math.max(...getComputedStyle(element).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"""


@pytest.fixture
def recording(tmp_path):
    samples = embedded_mixtures("1speech-1sound")[0].mixture.numpy()
    stereo = numpy.stack([samples, 0.5 * samples], axis=1)[: round(SECONDS * RATE)]
    soundfile.write(tmp_path / "duet.wav", stereo, RATE, subtype="PCM_16")
    return tmp_path / "duet.wav"


@pytest.fixture
def opened(app, new_page):
    """opened(): the app in a browser session of its own, which may ask for nothing but the app."""
    asked = []

    def make():
        page = new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(app, wait_until="commit")
        page.get_by_role("heading", name="Separate your own").wait_for()
        return page

    yield make
    own = urlsplit(app).netloc
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {own}


def choose(page, recording):
    page.get_by_label("Drop a recording here").set_input_files(recording)
    page.get_by_text(f"{recording.name}: 1.5 s, 44100 Hz, stereo").wait_for()
    for number, source in enumerate(SOURCES, start=1):
        page.get_by_label(f"Source {number}").select_option(source)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def give_wrong_files(page, folder, shoot):
    page.locator(".unsep-drop").evaluate(DROP, ["notes.txt", "not audio"])
    page.get_by_role("alert").filter(has_text="notes.txt: not a readable audio file").wait_for()
    assert page.get_by_role("button", name="Separate", exact=True).is_disabled()
    assert violations(page) == []
    shoot(page, "app_3_wrong_file")
    film = folder / "film.wav"
    with film.open("wb") as stream:
        stream.truncate(33_000_000)
    page.get_by_label("Drop a recording here").set_input_files(film)
    page.get_by_role("alert").filter(has_text="film.wav: expected at most 32 MB, got 33 MB").wait_for()


def test_a_wrong_file_gets_a_sentence_and_what_is_downloaded_is_what_the_library_separates(
    opened, recording, tmp_path, shoot
):
    page = opened()
    assert violations(page) == []
    assert not page.get_by_text("Download all").is_visible()
    shoot(page, "app_1_opened")
    give_wrong_files(page, tmp_path, shoot)
    choose(page, recording)
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Seed").press("Tab")
    press(page, "Separate")
    page.get_by_text("Done: duet.wav").wait_for()
    assert page.locator("main audio").count() == 4
    assert page.get_by_role("img", name="speech").count() == 1
    assert "separate('duet.wav'," in page.locator("main code").last.inner_text()
    assert violations(page) == []
    shoot(page, "app_2_separated")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "duet_sources.zip"
    archive = zipfile.ZipFile(download.value.path())
    audio, profile = read_audio(recording), load_profile("smoke")
    expected = separate(
        audio.samples, load_priors([parse_spec(source) for source in SOURCES]), RATE,
        solver=profile.solver, steps=profile.steps_of(profile.solver), seed=5,
    )  # fmt: skip
    tracks = {"speech": expected.sources[0], "sound_Clarinet": expected.sources[1], "residual": expected.residual}
    assert sorted(archive.namelist()) == sorted(f"{name}.wav" for name in tracks)
    for name, track in tracks.items():
        samples, rate = soundfile.read(io.BytesIO(archive.read(f"{name}.wav")), always_2d=True)
        assert rate == RATE
        numpy.testing.assert_allclose(samples.T, track.numpy(), atol=TOLERANCE)


def test_on_a_phone_in_the_dark_nothing_is_cut_off_and_the_focus_is_seen(opened, recording, shoot):
    page = opened()
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    choose(page, recording)
    assert page.evaluate(TOO_WIDE) == []
    page.get_by_label("Drop a recording here").focus()
    for _ in range(2):  # the example, then the recording's player or the first source
        page.keyboard.press("Tab")
        tag, style, width = page.evaluate(FOCUSED)
        assert tag == "AUDIO" or (style, width) == ("solid", 3)
    assert page.locator("body").evaluate(BRIGHTNESS) < 60
    assert page.get_by_label("Source 1").evaluate(BRIGHTNESS) < 60
    assert violations(page) == []
    shoot(page, "app_6_phone_in_the_dark")


def test_the_next_one_waits_its_turn_and_cancel_gives_it_away(opened, recording, shoot):
    first, second = opened(), opened()
    for page in (first, second):
        choose(page, recording)
    first.get_by_label("Noise levels").fill("200")
    first.get_by_label("Noise levels").press("Tab")
    press(first, "Separate")
    first.get_by_text("Separating:").wait_for()
    press(second, "Separate")
    second.get_by_text("Waiting for a turn: one other separation is before yours.").wait_for()
    shoot(second, "app_4_waiting")
    shoot(first, "app_5_separating")
    press(first, "Cancel")
    first.get_by_text("Cancelled.").wait_for()
    second.get_by_text("Done: duet.wav").wait_for()


def test_nothing_is_served_without_the_token(app):
    address = urlsplit(app)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address.netloc}/voila/api/shutdown/0", data=b"")
    assert refused.value.code == 403
    with urllib.request.urlopen(f"http://{address.netloc}/") as answer:
        assert "login" in answer.url
