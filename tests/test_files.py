import errno
import hashlib
import os
import stat

import numpy
import pytest

from unsep_lib.files import HASH_BLOCK, atomic_path, sha256, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_atomic_write_appears_at_its_end_with_ordinary_permissions(tmp_path):
    target = tmp_path / "new" / "a.txt"
    before = os.umask(0o027)
    try:
        with atomic_path(target) as temporary:
            temporary.write_text("whole")
            assert not target.exists()
    finally:
        os.umask(before)
    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.txt"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(error, tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    message = r"cannot write .*a\.txt: No space left on device"
    with pytest.raises(ValueError, match=message), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_parent_that_is_a_file_is_refused_and_kept(tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deeper" / "a.txt"):
        with pytest.raises(ValueError, match=r"cannot write .*a\.txt: (File exists|Not a directory)"):
            write_text(target, "text")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_target_that_is_a_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"cannot write .*a: Is a directory"):
        write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is read-only for root")
def test_a_read_only_folder_is_refused(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(ValueError, match=r"cannot write .*a\.txt: Permission denied"):
        write_text(locked / "a.txt", "text")
    assert names(locked) == []


def test_json_refuses_not_a_number_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [0, 10, HASH_BLOCK, HASH_BLOCK + 1])
def test_sha256_equals_hashlibs(size, tmp_path):
    content = numpy.random.default_rng(0).bytes(size)
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
