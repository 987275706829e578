"""Files written whole or not at all, folders held by one run at a time, and checksums."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

LOCK = ".lock"
STAGING = ".staging.partial"
LONGEST_PREFIX = 100  # bytes of a target's name in that of its temporary file; most systems allow 255 in all
KEY_LENGTH = 20  # hexadecimal digits
HASH_BLOCK = 1 << 20  # bytes read at a time when hashing: keeps memory flat for any file
HEAD = 1 << 16  # bytes by which a text is told from a recording


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the block ends well.

    If the block raises, or the process dies, `target` is as it was before.

    Raises:
        ValueError: the folder cannot be written to, or the disk is full.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _held_temporary(target)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from error
    try:
        yield temporary
        with contextlib.suppress(PermissionError):  # a disk without modes, such as FAT
            temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def _held_temporary(target: Path) -> tuple[int, Path]:
    """A new file beside `target` and its locked descriptor, which shows `clear_partials` that someone writes it."""
    prefix = os.fsdecode(os.fsencode(f".{target.stem}")[:LONGEST_PREFIX]) + "-"
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=f".partial{target.suffix[:8]}")
        if lock_descriptor(handle, blocking=False) and os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def refuse_overwriting(targets: Iterable[Path | str], inputs: Iterable[Path | str] = (), *, text: bool = False) -> None:
    """Raise ValueError if one of `targets`, the files to be written, is one of `inputs`, the files that are read.

    A folder or a device in a target's place is refused too. text: the targets are texts; one that is there already and
    is none, such as a recording or a prior, is refused.
    """
    existing = [target for target in map(Path, targets) if target.exists()]
    read = {_place_of(path) for path in map(Path, inputs) if path.is_file()} if existing else set()
    for target in existing:
        if not target.is_file():
            raise ValueError(f"{target}: expected a file to write, found a folder or a device")
        if _place_of(target) in read:
            raise ValueError(f"{target}: this input would be overwritten; choose another place for the output")
        if text and not _is_text(target):
            raise ValueError(f"{target}: this file is no text and would be overwritten; choose another name")


def _place_of(path: Path) -> tuple[int, int]:
    """What a file is known by on this machine, under any of its names."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_text(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def clear_partials(folder: Path | str) -> None:
    """Remove the temporary files in `folder` (not below it) that a killed process left; others' are kept."""
    for partial in Path(folder).glob(".*-*.partial*"):
        with contextlib.suppress(OSError), partial.open("rb") as stream:
            if lock_descriptor(stream.fileno(), blocking=False):
                partial.unlink()


@contextlib.contextmanager
def alone(target: Path | str, *, file: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the folder `target`, or with `file` one file, for this process, and clear what a killed one left there.

    wait: for another process that holds it, where that is short. The system lets go of it when the process ends,
    however it ends. Folders made for it go again if they stay empty.

    Raises:
        ValueError: another process holds it and `wait` is false, or it cannot be written to.
    """
    target = Path(target)
    folder, name = (target.parent, f".{target.name}{LOCK}") if file else (target, LOCK)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cannot write to {folder}: it is a file, expected a folder")
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=-1 if wait else 0)
        lock.acquire()
    except Timeout as error:
        kind = "file" if file else "folder"
        raise ValueError(f"{target}: another run is writing to this {kind}; wait for it, or choose another") from error
    except OSError as error:
        raise ValueError(f"cannot write to {target}: {error.strerror or error}") from error
    try:
        clear_partials(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / name).unlink()  # before the release: who waits for it sees that it is gone and makes a new one
        lock.release()
        _remove_empty(missing)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def staged(folder: Path | str, name: str = STAGING) -> Iterator[Path]:
    """Yield an empty folder `name` inside `folder`; its files move into `folder` when the block ends well.

    So several files appear together or not at all. Only for a folder that is held, see `alone`.

    Raises:
        ValueError: the folder cannot be written to, or the disk is full.
    """
    staging = Path(folder) / name
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        yield staging
        for file in sorted(staging.iterdir()):
            file.replace(Path(folder) / file.name)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def kept(folder: Path, prefix: str, key: str) -> Iterator[Path]:
    """The folder of the finished parts of a long work, which stays when the block raises or the process dies.

    key: a hash of all that decides the work, so that the same work goes on from them; the parts of other works of this
    `prefix` are removed. The folder goes when the block ends well. Only for a place that is held, see `alone`.
    """
    store = folder / f"{prefix}{key}"
    for other in folder.iterdir():
        if other.name.startswith(prefix) and other != store:
            shutil.rmtree(other)
    clear_partials(store)
    try:
        yield store
    except BaseException:
        with contextlib.suppress(OSError):
            store.rmdir()
        raise
    shutil.rmtree(store, ignore_errors=True)


def key_of(value: object) -> str:
    """A short hash of anything that JSON can hold: 80 bits, no collisions among any number of works."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_text(path: Path | str) -> str:
    """The text of a file that a person may have written: UTF-8, with or without the mark that Windows begins it with.

    Raises:
        ValueError: not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8 ({error})") from error


def write_text(target: Path | str, text: str) -> None:
    r"""Write `text` as UTF-8 to `target`, atomically; bytes of file names that are no UTF-8 become `\udc…` escapes."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(target: Path | str, content: bytes | memoryview) -> None:
    """Write `content` to `target`, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path | str, value: object) -> None:
    """Write `value` as indented JSON to `target`, atomically; NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
