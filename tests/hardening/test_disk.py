"""Folders that cannot be written, and disks that are full."""

import os
import subprocess

import pytest

from hardening.cases import REFUSED, hidden
from hardening.commands import ALL, make_input, words

ROOM = 64 << 10  # bytes of the small disk
LIMIT = 1500  # bytes a file may have, above any message and below what every command writes


@pytest.fixture
def apart(tmp_path, home):
    """A folder with the input of all commands, and the priors of `home`."""
    (tmp_path / "in").mkdir()
    make_input(tmp_path / "in")
    return tmp_path


@pytest.fixture
def small_disk(apart):
    """A full file system."""
    disk = apart / "disk"
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
@pytest.mark.parametrize("name", ALL)
def test_a_folder_that_may_not_be_written(name, apart, driven, count):
    out = apart / "locked"
    out.mkdir(mode=0o555)
    count("disk", name, "read-only folder", lambda: refused(
        driven, name, apart, out, "Permission denied", unprivileged=True))  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_full_disk(name, apart, small_disk, driven, count):
    count("disk", name, "full disk", lambda: refused(driven, name, apart, small_disk / "out", "No space left"))


@pytest.mark.parametrize("name", sorted(set(ALL) - {"evaluate", "reproduce"}))
def test_a_file_that_may_not_grow(name, apart, driven, count):
    count("disk", name, "file size limit", lambda: refused(
        driven, name, apart, apart / "out", "File too large", size_limit=LIMIT))  # fmt: skip
