"""Archives unpacked safely: nothing outside the folder, no links, no archive bombs."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

MOST_MEMBERS = 400_000  # VCTK 0.92, the largest, has some 130 000
MOST_BYTES = 64 << 30  # the largest corpus unpacks to some 12 GB
MOST_EXPANSION = 100  # unpacked bytes per packed byte; audio stays below 3, tables below 20
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    members: int = MOST_MEMBERS
    size: int = MOST_BYTES
    expansion: int = MOST_EXPANSION


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a zip or tar file so that its content lies in `folder`; what is there already stays.

    The archive may hold its files directly or in one folder of `folder`'s name. Everything is unpacked beside
    `folder` and checked before anything is moved into it.

    Raises:
        ValueError: no zip or tar file, a damaged one, a member that is absolute, leads upwards or is neither file nor
            folder, or more members or bytes than `limits` allow.
    """
    limits = limits or Limits()
    staging = folder.parent / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, staging, limits)
        elif tarfile.is_tarfile(archive):
            _untar(archive, staging, limits)
        else:
            raise ValueError(f"{archive}: expected a zip or tar file, got neither")
        inner = staging / folder.name
        _merge(inner if inner.is_dir() and list(staging.iterdir()) == [inner] else staging, folder)
    except BROKEN as error:
        raise ValueError(f"{archive}: the archive is damaged ({error})") from error
    except OSError as error:
        raise ValueError(f"{archive}: cannot be unpacked in {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unzip(archive: Path, staging: Path, limits: Limits) -> None:
    with zipfile.ZipFile(archive) as container:
        infos = container.infolist()
        count = _Count(archive, limits)
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            count.add(info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR), info.file_size)
        for info in infos:
            container.extract(info, staging)


def _untar(archive: Path, staging: Path, limits: Limits) -> None:
    with tarfile.open(archive) as container:
        count = _Count(archive, limits)
        for member in container:
            count.add(member.name, member.isfile() or member.isdir(), member.size)
            container.extract(member, staging, filter="data")


class _Count:
    """Adds members up and refuses the first one that must not be there."""

    def __init__(self, archive: Path, limits: Limits):
        self.archive, self.limits = archive, limits
        self.most_bytes = min(limits.size, limits.expansion * archive.stat().st_size)
        self.members = self.size = 0

    def add(self, name: str, plain: bool, size: int) -> None:
        """Count a member called `name` of `size` bytes; plain: it is a file or a folder."""
        self.members += 1
        self.size += size
        if not plain:
            raise ValueError(f"{self.archive}: expected only files and folders, {name!r} is something else")
        if not _stays_inside(name):
            raise ValueError(f"{self.archive}: {name!r} would be written outside the folder")
        if self.members > self.limits.members:
            raise ValueError(f"{self.archive}: expected at most {self.limits.members} members, found more")
        if self.size > self.most_bytes:
            raise ValueError(f"{self.archive}: expected at most {self.most_bytes} bytes unpacked, found more")


def _stays_inside(name: str) -> bool:
    windows = PureWindowsPath(name)
    return not (windows.drive or windows.root or "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts)


def _merge(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return
    for path in sorted(source.iterdir()):
        if path.is_dir() and (target / path.name).is_dir():
            _merge(path, target / path.name)
        else:
            path.replace(target / path.name)
