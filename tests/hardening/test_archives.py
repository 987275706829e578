"""Archives that are broken or hostile."""

import io
import stat
import tarfile
import zipfile
from functools import partial

import pytest

from hardening.audio_faults import recorded
from hardening.cases import Entry, Fault, identified, judge
from unsep_lib.data.fetch import unpack


def zipped(folder, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(folder / "a", "w", method) as container:
        for name, content in members:
            container.writestr(name, content)
    return folder / "a"


def tarred(folder, *members):
    with tarfile.open(folder / "a", "w:gz") as container:
        for info, content in members:
            named = info if isinstance(info, tarfile.TarInfo) else tarfile.TarInfo(info)
            named.size = len(content)
            container.addfile(named, io.BytesIO(content))
    return folder / "a"


def link_in_zip():
    info = zipfile.ZipInfo("corpus/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, "/etc/passwd"


def special(kind):
    info = tarfile.TarInfo("corpus/special")
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


def claimed(folder, size):
    """A tar file whose only member claims to be larger than the archive."""
    info = tarfile.TarInfo("corpus/a")
    info.size = size
    (folder / "a").write_bytes(info.tobuf() + bytes(1024))
    return folder / "a"


def many(folder):
    return zipped(folder, *((f"corpus/{number}", b"") for number in range(2000)))


def overlapping(folder):
    """A zip whose directory names one packed member a thousand times."""
    content = zipped(folder, ("corpus/a", bytes(10_000))).read_bytes()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], content[content.index(b"PK\x05\x06") :]
    count = (1000).to_bytes(2, "little")
    directory = (len(entry) * 1000).to_bytes(4, "little")
    (folder / "a").write_bytes(content[:start] + entry * 1000 + end[:8] + count * 2 + directory + end[16:])
    return folder / "a"


OUTSIDE, DAMAGED = "would be written outside the folder", "the archive is damaged"
ARCHIVES = (
    Fault("no archive", lambda folder: recorded(folder), "expected a zip or tar file"),
    Fault(
        "empty", lambda folder: ((folder / "a").write_bytes(b"") and None) or folder / "a", "expected a zip or tar file"
    ),
    Fault("zip upwards", lambda folder: zipped(folder, ("../evil", "x")), OUTSIDE),
    Fault("zip absolute", lambda folder: zipped(folder, ("/tmp/evil", "x")), OUTSIDE),
    Fault("zip drive", lambda folder: zipped(folder, ("C:evil", "x")), OUTSIDE),
    Fault("zip backslash", lambda folder: zipped(folder, ("a\\..\\..\\evil", "x")), OUTSIDE),
    Fault("zip link", lambda folder: zipped(folder, link_in_zip()), "expected only files and folders"),
    Fault("zip bomb", lambda folder: zipped(folder, ("corpus/a", bytes(10_000_000))), "bytes unpacked, found more"),
    Fault("zip overlapping", overlapping, "a:"),
    Fault(
        "zip truncated",
        lambda folder: zipped(folder, ("corpus/a", b"x" * 999)).write_bytes(b"PK\x03\x04") and folder / "a",
        "expected a zip",
    ),
    Fault("zip of 2000 files", many),
    Fault(
        "zip names",
        lambda folder: zipped(folder, *((f"corpus/{number}", "x") for number in ("a b", "🎸", "two\nlines"))),
    ),
    Fault("tar upwards", lambda folder: tarred(folder, ("../evil", b"x")), OUTSIDE),
    Fault("tar absolute", lambda folder: tarred(folder, ("/tmp/evil", b"x")), OUTSIDE),
    *(
        Fault(f"tar {name}", lambda folder, kind=kind: tarred(folder, special(kind)), "expected only files and folders")
        for name, kind in {
            "link": tarfile.SYMTYPE,
            "hard link": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE,
            "pipe": tarfile.FIFOTYPE,
        }.items()
    ),
    Fault("tar claims 2⁶⁰ bytes", partial(claimed, size=2**60), "bytes unpacked, found more"),
    Fault("tar claims more than it has", partial(claimed, size=50_000), DAMAGED),
    Fault("tar name of 300 letters", lambda folder: tarred(folder, ("corpus/" + "x" * 300, b"x")), "too long"),
    Fault("tar as made", lambda folder: tarred(folder, ("corpus/a", b"x"))),
)


@pytest.mark.parametrize("fault", ARCHIVES, ids=identified)
def test_an_archive(fault, place, capsys, count):
    entry = Entry("unpack", lambda place, archive: unpack(archive, place.out / "corpus"))
    count("archive", entry.name, fault.name, lambda: judge(entry, fault, place, capsys))
    assert {path.name for path in place.root.iterdir()} <= {"in", "out", "home", "nothing is shipped"}
