import io
import stat
import struct
import tarfile
import zipfile

import numpy
import pytest

from unsep_lib.data.fetch import Limits, unpack


def zip_of(path, members, compression=zipfile.ZIP_STORED):
    """members: name → content, or a ZipInfo → content."""
    with zipfile.ZipFile(path, "w", compression) as container:
        for name, content in members:
            container.writestr(name, content)
    return path


def tar_of(path, members, mode="w:gz"):
    """members: TarInfo or name, and content."""
    with tarfile.open(path, mode) as container:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            container.addfile(info, io.BytesIO(content))
    return path


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make(kind, path, members):
    return zip_of(path, members) if kind == "zip" else tar_of(path, members)


@pytest.mark.parametrize(
    ("kind", "top"), [("zip", ""), ("zip", "corpus/"), ("tar", ""), ("tar", "corpus/"), ("tar", "./corpus/")]
)
def test_content_lands_in_the_folder_with_or_without_its_name_inside(kind, top, tmp_path):
    archive = make(kind, tmp_path / "a", [(f"{top}deep/one.txt", b"1"), (f"{top}two.txt", b"2")])
    unpack(archive, tmp_path / "corpus")
    assert tree(tmp_path / "corpus") == {"deep/one.txt": b"1", "two.txt": b"2"}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "corpus"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_two_archives_of_one_corpus_join(kind, tmp_path):
    unpack(make(kind, tmp_path / "a", [("corpus/train/1", b"1"), ("corpus/README", b"old")]), tmp_path / "corpus")
    unpack(make(kind, tmp_path / "b", [("corpus/test/2", b"2"), ("corpus/README", b"new")]), tmp_path / "corpus")
    assert tree(tmp_path / "corpus") == {"train/1": b"1", "test/2": b"2", "README": b"new"}


def linked(name, target, kind):
    if kind == "zip":
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        return info, target.encode()
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def special(type_):
    info = tarfile.TarInfo("corpus/special")
    info.type, info.linkname = type_, "corpus/good"
    return info, b""


HOSTILE = {
    "absolute": ("/tmp/evil", b"x"),
    "upwards": ("corpus/../../evil", b"x"),
    "drive": ("C:evil", b"x"),
    "backslash": ("corpus\\..\\..\\evil", b"x"),
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_outside_are_refused_and_nothing_is_written(kind, name, tmp_path):
    folder = tmp_path / "inner" / "corpus"
    archive = make(kind, tmp_path / "a", [("corpus/good", b"1"), HOSTILE[name]])
    with pytest.raises(ValueError, match="would be written outside the folder"):
        unpack(archive, folder)
    assert tree(tmp_path) == {"a": archive.read_bytes()}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_are_refused(kind, tmp_path):
    archive = make(kind, tmp_path / "a", [("corpus/good", b"1"), linked("corpus/link", "/etc/passwd", kind)])
    with pytest.raises(ValueError, match="expected only files and folders, 'corpus/link' is something else"):
        unpack(archive, tmp_path / "corpus")
    assert tree(tmp_path) == {"a": archive.read_bytes()}


@pytest.mark.parametrize("type_", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_hard_links_devices_and_pipes_are_refused(type_, tmp_path):
    archive = tar_of(tmp_path / "a", [("corpus/good", b"1"), special(type_)])
    with pytest.raises(ValueError, match="'corpus/special' is something else"):
        unpack(archive, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members_or_bytes_are_refused(kind, tmp_path):
    archive = make(kind, tmp_path / "a", [(f"corpus/{number}", b"x" * 100) for number in range(10)])
    with pytest.raises(ValueError, match="expected at most 9 members, found more"):
        unpack(archive, tmp_path / "corpus", Limits(members=9))
    with pytest.raises(ValueError, match="expected at most 999 bytes unpacked, found more"):
        unpack(archive, tmp_path / "corpus", Limits(size=999))
    assert not (tmp_path / "corpus").exists()
    unpack(archive, tmp_path / "corpus", Limits(members=10, size=1000))
    assert len(tree(tmp_path / "corpus")) == 10


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_refused_by_how_much_it_would_grow(kind, tmp_path):
    zeros = bytes(10_000_000)
    members = [("corpus/zeros", zeros)]
    bomb = zip_of(tmp_path / "a", members, zipfile.ZIP_DEFLATED) if kind == "zip" else tar_of(tmp_path / "a", members)
    assert bomb.stat().st_size < len(zeros) / 100
    with pytest.raises(ValueError, match=f"expected at most {100 * bomb.stat().st_size} bytes unpacked, found more"):
        unpack(bomb, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_member_larger_than_it_claims_is_refused(tmp_path):
    archive = zip_of(tmp_path / "a", [("corpus/liar", b"x" * 100_000)], zipfile.ZIP_DEFLATED)
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<L", 100_000), struct.pack("<L", 10)))
    with pytest.raises(ValueError, match="the archive is damaged"):
        unpack(archive, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("cut", [0.3, 0.7])
def test_a_damaged_archive_leaves_the_old_content(kind, cut, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "old").write_bytes(b"kept")
    noise = numpy.random.default_rng(0).bytes(100_000)
    archive = make(kind, tmp_path / "a", [("corpus/one", noise), ("corpus/two", b"2" * 1000)])
    archive.write_bytes(archive.read_bytes()[: int(cut * archive.stat().st_size)])
    with pytest.raises(ValueError, match=r"the archive is damaged|expected a zip or tar file, got neither"):
        unpack(archive, tmp_path / "corpus")
    assert tree(tmp_path / "corpus") == {"old": b"kept"}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "corpus"}


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".a.unpacking").mkdir()
    (tmp_path / ".a.unpacking" / "stale").write_bytes(b"x")
    unpack(zip_of(tmp_path / "a", [("corpus/one", b"1")]), tmp_path / "corpus")
    assert tree(tmp_path / "corpus") == {"one": b"1"}
