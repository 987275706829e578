"""What lies already in the place of a command's output: refused before any work, and left as it is."""

import os
from functools import partial
from pathlib import Path

import pytest
import soundfile

from hardening.audio_faults import CONTAINERS, RATE, tone
from hardening.cases import REFUSED, Entry, Fault, command, crossed, hidden, identified, tree
from hardening.commands import make_input, words
from hardening.file_faults import written

FAST = ("--solver=projection", "--steps=1")
NO_TEXT, NO_FILE, NO_FOLDER = "no text and would be overwritten", "found a folder or a device", "expected a folder"
INPUT = "this input would be overwritten"


def recording(folder, suffix):
    file = folder / f"song.{suffix}"
    soundfile.write(file, tone(4000), RATE, format=CONTAINERS.get(suffix, suffix.upper()))
    return file


def weights(folder):
    return Path(os.environ["UNSEP_HOME"]) / "priors" / "speech.safetensors"


def folder_there(folder):
    (folder / "there").mkdir()
    return folder / "there"


def linked(folder, make):
    (folder / "link").symlink_to(make(folder))
    return folder / "link"


def pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def below(folder):
    return recording(folder, "wav") / "below"


TEXTS = (
    *(Fault(suffix, partial(recording, suffix=suffix), NO_TEXT)
      for suffix in ("wav", "flac", "mp3", "ogg", "opus", "aiff", "au", "caf", "w64", "rf64", "voc")),
    Fault("m4a", partial(written, content=b"\0\0\0\x20ftypM4A ", name="song.m4a"), NO_TEXT),
    Fault("UTF-16", partial(written, content="a".encode("utf-16"), name="a.txt"), NO_TEXT),
    Fault("weights", weights, NO_TEXT),
    Fault("link to a recording", partial(linked, make=partial(recording, suffix="wav")), NO_TEXT),
    Fault("a folder", folder_there, NO_FILE),
    Fault("link to a folder", partial(linked, make=folder_there), NO_FILE),
    Fault("a pipe", pipe, NO_FILE),
    Fault("below a file", below, "is a file, expected a folder"),
    Fault("labels", lambda folder: folder / "mixtures" / "a_0" / "labels.txt", INPUT),
)  # fmt: skip
FOLDERS = (
    *(Fault(suffix, partial(recording, suffix=suffix), NO_FOLDER) for suffix in ("wav", "mp3")),
    Fault("link to a recording", partial(linked, make=partial(recording, suffix="wav")), NO_FOLDER),
    Fault("manifest", lambda folder: folder / "m.jsonl", NO_FOLDER),
    Fault("a pipe", pipe, NO_FOLDER),
    Fault("below a file", below, "song.wav"),
)  # fmt: skip


def to(name, place, out):
    """A command of `commands.py` that writes to `out` itself."""
    given = words(name, place.root / "in", place.root / "unused")
    changed = [word.replace(str(place.root / "unused"), str(out)) for word in given]
    return command(*changed)


def evaluate(place, out):
    return command("evaluate", "--mixtures", place.root / "in" / "mixtures", f"--json={out}", *FAST)


def prepare(place, out, page=None):
    pages = [] if page is None else [f"--page={page}"]
    return command("data", "prepare", place.root / "in" / "voices", f"--out={out}", "--workers=1", *pages)


WRITE_TEXTS = (
    Entry("evaluate --json", evaluate),
    Entry("data prepare --out", prepare, only=tuple(fault.name for fault in TEXTS if fault.name != "labels")),
)
WRITE_FOLDERS = (
    *(
        Entry(f"{name} --out", partial(to, name))
        for name in ("separate", "train", "experiment", "data mix", "reproduce")
    ),
    Entry("data prepare --page", lambda place, page: prepare(place, place.root / "new.jsonl", page)),
)


def cases():
    yield from (("output file", *case) for case in crossed(WRITE_TEXTS, TEXTS))
    yield from (("output folder", *case) for case in crossed(WRITE_FOLDERS, FOLDERS))


@pytest.mark.parametrize(("table", "entry", "fault"), cases(), ids=identified)
def test_what_is_there_already_stays(table, entry, fault, place, capsys, count):
    make_input(place.root / "in")
    thing = fault.make(place.root / "in")

    def refused():
        before = tree(place.root)
        capsys.readouterr()
        assert entry.use(place, thing) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert sentence.startswith("unsep: error: ") and fault.says in sentence, sentence
        assert tree(place.root) == before and hidden(place.root) == []
        return REFUSED

    count(table, entry.name, fault.name, refused)


@pytest.mark.parametrize("name", ["separate", "train", "experiment", "data mix"])
def test_what_is_there_already_and_is_none_of_the_commands_stays(name, place, capsys, count):
    """A folder of recordings is written into without a change of them, or refused."""
    make_input(place.root / "in")
    folder = place.root / "in" / "voices"

    def kept():
        before = tree(folder)
        code = to(name, place, folder)
        assert code == (2 if name == "data mix" else 0), capsys.readouterr().err
        assert before.items() <= tree(folder).items()
        return REFUSED if code else "passed"

    count("output folder", name, "a folder of recordings", kept)
