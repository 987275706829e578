import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy
import pytest
import soundfile
from places import SHARED

from unsep_lib.__main__ import main
from unsep_lib.data.clips import Clip
from unsep_lib.reproduce.corpus_report import PLAYERS, departures, summarise

CORPORA = SHARED / "data"
RATE = 16_000
VOID = {"meta", "img", "br"}


def clip(corpus, name, label="", split="train", seconds=1.0, spans=None, **measured):
    active = ((0.0, seconds / 2),) if spans is None else spans
    return Clip(corpus, f"/x/{name}", "", label, split, RATE, round(seconds * RATE), active, **measured)


def test_a_summary_counts_each_split():
    train, test = summarise(
        [
            clip("F", "a", "Cello", seconds=2.0, verified=True, level=-20.0, clipped=2),
            clip("F", "b", "Gong", seconds=4.0, verified=False, level=-30.0, clipped=3),
            clip("F", "c", "Gong", seconds=6.0, verified=True, level=-50.0, clipped=0, spans=()),
            clip("VCTK", "p1/d", split="test"),
            clip("VCTK", "p2/e", split="test"),
            clip("VCTK", "p2/f", split="test"),
        ]
    )
    assert (train.split, train.clips, train.classes, train.speakers, train.verified) == ("train", 3, 2, 0, 2)
    assert (train.hours, train.active_hours) == (pytest.approx(12 / 3600), pytest.approx(3 / 3600))
    assert (train.clipped, train.spanless) == (1, 1)
    assert (train.seconds, train.level) == ((2.0, 4.0, 6.0), (-50.0, -30.0, -20.0))
    assert (test.split, test.clips, test.classes, test.speakers) == ("test", 3, 0, 2)
    assert (test.verified, test.level) == (None, None)


def fsdkaggle2018(train, test, classes=41):
    return [clip("FSDKaggle2018", "a", f"c{n % classes}", split) for split, count in (("train", train), ("test", test))
            for n in range(count)]  # fmt: skip


def vctk(train, test):
    return [clip("VCTK", f"p{split}{n}/a", "", split) for split, count in (("train", train), ("test", test))
            for n in range(count)]  # fmt: skip


def test_only_what_the_publisher_states_otherwise_is_a_departure():
    assert departures(fsdkaggle2018(9473, 1600)) == departures(vctk(100, 10)) == departures([clip("own", "a")]) == []
    assert departures(fsdkaggle2018(9473, 1600, 40)) == [
        "FSDKaggle2018 train: expected 41 classes, found 40",
        "FSDKaggle2018 test: expected 41 classes, found 40",
    ]
    assert departures(vctk(100, 0)) == ["VCTK test: expected 10 speakers, found 0"]


class Page(HTMLParser):
    """Images, players and text of a page; fails on tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.sounds, self.text = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        if tag == "audio":
            self.sounds.append(attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def decoded(uri):
    return base64.b64decode(uri.partition("base64,")[2])


def made(root, name, samples):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)


def test_the_page_shows_what_was_prepared(tmp_path, capsys):
    root, sine = tmp_path / "my <corpus>", numpy.sin(numpy.arange(12 * RATE) * 0.2)
    for number in range(10):
        made(root, f"dog/{number}.wav", 0.1 * sine[: RATE * (number + 3)])
    made(root, "test/cat/loud.wav", 3 * sine[:RATE])
    made(root, "test/cat/hum.wav", 1e-4 * sine[:RATE])
    made(root, "test/cat/silent.wav", 0 * sine[:RATE])
    (root / "broken.wav").write_text("text")
    command = ["data", "prepare", str(root), "--out", str(tmp_path / "m.jsonl"), "--workers", "1"]
    assert main([*command, "--page", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "page" / "index.html")
    text = (tmp_path / "page" / "index.html").read_text()
    page = Page(text)
    said = " ".join(page.text)
    assert "my <corpus>" in said
    for name in (
        "test/cat/loud.wav",
        "test/cat/hum.wav",
        "silent.wav: the file is silent",
        "broken.wav: not a readable",
    ):
        assert name in said
    places = [said.index("Clipped"), said.rindex("loud.wav"), said.index("Without an"), said.rindex("hum.wav"),
              said.index("Skipped"), said.rindex("broken.wav")]  # fmt: skip
    assert places == sorted(places)
    assert [image["alt"].partition(":")[0] for image in page.images] == [
        "Duration of the clips", "Level of the clips", "Clips of each class",
    ]  # fmt: skip
    assert "from 1 to 12 seconds, 12 clips" in page.images[0]["alt"]
    for image in page.images:
        assert ElementTree.fromstring(decoded(image["src"])).tag.endswith("svg")
    assert len(page.sounds) == PLAYERS
    for sound in page.sounds:
        name = re.search(r"(?:dog|test/cat)/\w+\.wav", sound["aria-label"])[0]
        samples, rate = soundfile.read(io.BytesIO(decoded(sound["src"])))
        expected = min(soundfile.info(root / name).duration, 10.0)
        assert len(samples) / rate == pytest.approx(expected, abs=0.15)
    assert main([*command, "--page", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "index.html").read_text() == text


def test_many_speakers_become_a_histogram(tmp_path):
    for number in range(70):
        made(
            tmp_path / "wav48_silence_trimmed",
            f"p{number}/p{number}_001_mic1.flac",
            0.1 * numpy.sin(numpy.arange(400.0)),
        )
    command = ["data", "prepare", str(tmp_path), "--out", str(tmp_path / "m.jsonl"), "--workers", "1"]
    assert main([*command, "--page", str(tmp_path / "page")]) == 0
    page = Page((tmp_path / "page" / "index.html").read_text())
    assert page.images[2]["alt"] == "Clips of each speaker: from 1 to 1 clips, 70 speakers"
    assert "expected 100 speakers, found 70" in " ".join(page.text)


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the real pieces of the corpora are not beside this checkout")
def test_the_page_of_real_pieces(tmp_path):
    root = CORPORA / "FSDKaggle2018"
    assert main(["data", "prepare", str(root), "--out", str(tmp_path / "m.jsonl"), "--page", str(tmp_path)]) == 0
    said = " ".join(Page((tmp_path / "index.html").read_text()).text)
    assert "expected 9473 clips, found 250" in said
    clipped = said[said.index("Clipped") : said.index("Without an")]
    for file in root.glob("*/*.flac"):
        full = "".join("x" if abs(int(n)) >= 32_767 else " " for n in soundfile.read(file, dtype="int16")[0].flatten())
        assert ("xxx" in full) == (file.name in clipped), file
