"""Folders that cannot be written, and disks that are full."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from hardening.cases import REFUSED, hidden
from hardening.commands import ALL, make_input, words

ROOM = 64 << 10  # bytes of the small disk
LIMIT = 1500  # bytes a file may have, above any message and below what every command writes


@pytest.fixture
def open_place(home):
    """A folder that everyone may enter, with the input of all commands and the priors of `home`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "in").mkdir()
    make_input(folder / "in")
    shutil.copytree(home, folder / "home")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(open_place):
    """A full file system."""
    disk = open_place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    (disk / "filler").write_bytes(bytes(ROOM))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def refused(driven, name, folder, out, says, **limits):
    job = {"arguments": words(name, folder / "in", out), "environment": {"UNSEP_HOME": str(folder / "home")}}
    answer = driven(**job, **limits)
    sentence = answer["printed"].splitlines()[-1]
    assert answer["code"] == 2, answer["printed"]
    assert sentence.startswith("unsep: error: ") and says in sentence, sentence
    assert "Traceback" not in answer["printed"]
    assert not out.is_dir() or [path for path in out.rglob("*") if path.is_file()] == []
    assert hidden(folder / "in") == []
    return REFUSED


@pytest.mark.skipif(os.geteuid() != 0, reason="privileges can be dropped by root only")
@pytest.mark.parametrize("name", ALL)
def test_a_folder_that_may_not_be_written(name, open_place, driven, count):
    out = open_place / "locked"
    out.mkdir(mode=0o555)
    count("disk", name, "read-only folder", lambda: refused(
        driven, name, open_place, out, "Permission denied", nobody=True))  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_full_disk(name, open_place, small_disk, driven, count):
    count("disk", name, "full disk", lambda: refused(driven, name, open_place, small_disk / "out", "No space left"))


@pytest.mark.parametrize("name", sorted(set(ALL) - {"evaluate", "reproduce"}))
def test_a_file_that_may_not_grow(name, open_place, driven, count):
    count("disk", name, "file size limit", lambda: refused(
        driven, name, open_place, open_place / "out", "File too large", size_limit=LIMIT))  # fmt: skip
