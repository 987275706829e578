"""Corpora from their publishers: where they lie, downloaded, checked, and unpacked into their folder alone."""

from __future__ import annotations

import json
import re
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

import pooch
import requests

from unsep_lib.files import alone, write_json

TORCHAUDIO = "torchaudio 2.11.0's table of data sets"
ZENODO_AT_SECOND_HAND = "Zenodo's record 2552860 as another project's loader repeats it, not read on the record itself"
OPENSLR_12 = "https://www.openslr.org/resources/12"
ZENODO_2552860 = "https://zenodo.org/records/2552860/files"
DATASHARE_3443 = "https://datashare.ed.ac.uk/bitstream/handle/10283/3443"


@dataclass(frozen=True)
class Archive:
    """An archive of a corpus.

    folder: what it becomes, relative to the user's folder of corpora; holds: a folder that is in there afterwards;
    hash: `algorithm:hexadecimal`, or None where none is known; origin: who states the hash.
    """

    url: str
    folder: str
    holds: str = ""
    hash: str | None = None
    origin: str = ""

    @property
    def file_name(self) -> str:
        """The archive's own name."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Corpus:
    """A corpus: its archives, the folder that `unsep data prepare` takes, and its terms."""

    archives: tuple[Archive, ...]
    folder: str
    terms: str


def _librispeech(part: str, sha256: str) -> Corpus:
    archive = Archive(f"{OPENSLR_12}/{part}.tar.gz", "LibriSpeech", part, f"sha256:{sha256}", TORCHAUDIO)
    return Corpus((archive,), "LibriSpeech", "CC BY 4.0")


def _fsdkaggle2018(part: str, md5: str) -> Archive:
    name = f"FSDKaggle2018.{part}"
    return Archive(f"{ZENODO_2552860}/{name}.zip", f"FSDKaggle2018/{name}", "", f"md5:{md5}", ZENODO_AT_SECOND_HAND)


CORPORA = {
    "vctk": Corpus(
        (
            Archive(
                f"{DATASHARE_3443}/VCTK-Corpus-0.92.zip",
                "VCTK-Corpus-0.92",
                "wav48_silence_trimmed",
                "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
                TORCHAUDIO,
            ),
        ),
        "VCTK-Corpus-0.92",
        "CC BY 4.0",
    ),
    "fsdkaggle2018": Corpus(
        (
            _fsdkaggle2018("meta", "f16828ac8be0e5285b9175a12f90d784"),
            _fsdkaggle2018("doc", "4f2d1ac88f33a62f9db3108b269ee1b7"),
            _fsdkaggle2018("audio_test", "f85c8665c3fc39311ea1b748e194a81d"),
            _fsdkaggle2018("audio_train", "a8b47ff4b52022c178f88fa5c6f080d0"),
        ),
        "FSDKaggle2018",
        "a licence for each clip, in FSDKaggle2018.meta",
    ),
    "librispeech-train-clean-100": _librispeech(
        "train-clean-100", "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"
    ),
    "librispeech-test-other": _librispeech(
        "test-other", "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"
    ),
}


BLOCK = 1 << 16  # bytes written at a time; what a lost connection had brought of one is asked for again
TIMEOUT = 60.0  # seconds without a byte before a connection counts as lost
ATTEMPTS = 5  # connections in one call
PAUSE = 5.0  # seconds before the second one, twice as long before the third …
PARTIAL, UNSATISFIABLE = 206, 416  # HTTP status codes (RFC 9110)
FINAL = frozenset(range(400, 500)) - {408, 429}  # a refusal that asking again does not change


class DownloadError(ValueError):
    """The server refuses, or the connection was lost too often."""


class _Interrupted(requests.RequestException):
    """An answer that breaks off or belongs to another file."""


@dataclass(frozen=True)
class ResumingDownloader:
    """Downloads over HTTP into `part`, from the byte where `part` ends.

    Asks with `Range` and `If-Range` (RFC 9110): a file that changed meanwhile, or a server that knows no ranges,
    starts at the first byte. A lost connection is resumed; when all attempts fail, `part` stays for the next call.
    Called as pooch calls a downloader. on_bytes(arrived, all or None).

    Raises:
        DownloadError: the server refuses, or the connection was lost too often.
    """

    part: Path
    on_bytes: Callable[[int, int | None], None] | None = None
    attempts: int = ATTEMPTS
    pause: float = PAUSE

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        for attempt in range(1, self.attempts + 1):
            try:
                self._go_on(url)
                break
            except requests.RequestException as error:
                if attempt == self.attempts:
                    raise DownloadError(f"{url}: {_reason(error)}; the same command goes on from there") from error
                time.sleep(self.pause * attempt)
        self.part.replace(output_file)
        self._validator.unlink(missing_ok=True)

    @property
    def _validator(self) -> Path:
        return self.part.with_name(self.part.name + ".validator")

    def _go_on(self, url: str) -> None:
        with requests.get(url, headers=self._headers(), stream=True, timeout=TIMEOUT) as response:
            status = response.status_code
            if status == UNSATISFIABLE and self._is_whole(response):
                return
            if status in FINAL:
                raise DownloadError(f"{url}: the server answered {status} {response.reason}")
            response.raise_for_status()
            total = self._write(response)
        if total is not None and (arrived := self.part.stat().st_size) < total:
            raise _Interrupted(f"the connection ended after {arrived} of {total} bytes")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self.part.is_file() and (arrived := self.part.stat().st_size):
            headers["Range"] = f"bytes={arrived}-"
            if self._validator.is_file():
                headers["If-Range"] = self._validator.read_text(encoding="ascii")
        return headers

    def _is_whole(self, response: requests.Response) -> bool:
        match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == self.part.stat().st_size:
            return True
        self.part.unlink()
        raise _Interrupted("the server's file is another one than before")

    def _write(self, response: requests.Response) -> int | None:
        arrived, total = self._first_byte_and_length(response)
        self._keep_validator(response)
        with self.part.open("ab" if arrived else "wb") as stream:
            for block in response.iter_content(BLOCK):
                stream.write(block)
                arrived += len(block)
                if self.on_bytes is not None:
                    self.on_bytes(arrived, total)
        return total

    def _keep_validator(self, response: requests.Response) -> None:
        tag, changed = response.headers.get("ETag", "W/"), response.headers.get("Last-Modified")
        if validator := changed if tag.startswith("W/") else tag:
            self._validator.write_text(validator, encoding="ascii")
        else:
            self._validator.unlink(missing_ok=True)

    def _first_byte_and_length(self, response: requests.Response) -> tuple[int, int | None]:
        if response.status_code != PARTIAL:
            length = response.headers.get("Content-Length")
            return 0, int(length) if length else None
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self.part.stat().st_size:
            self.part.unlink()
            raise _Interrupted("the server sent another part of the file than the one asked for")
        return int(match[1]), None if match[2] == "*" else int(match[2])


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    return str(error) if isinstance(error, _Interrupted) else f"no connection ({type(error).__name__})"


OnBytes = Callable[[str, int, int | None], None]  # (archive, bytes arrived, all or None)
ARCHIVES = "archives"  # folder of the archives inside the user's folder of corpora


def fetch(
    corpus: Corpus,
    root: Path | str,
    records: Path | str,
    *,
    trust: bool = False,
    on_bytes: OnBytes | None = None,
) -> Iterator[str]:
    """Bring a corpus into `root`, one archive after the other; yields a sentence about each.

    Each archive is kept in `root/archives` and may be deleted once unpacked: what was unpacked is not fetched again.
    Its hash must be the one that `records` (a JSON file) holds for its address, or else the pinned one. Where there
    is neither, or with `trust`, the hash of what arrives is recorded: trust on first use. on_bytes(archive, arrived,
    all or None).

    Raises:
        ValueError: the server refuses or the connection is lost, the hash is another one (the file is deleted), the
            archive cannot be unpacked safely, or the disk cannot be written to.
    """
    pooch.get_logger().setLevel("WARNING")
    root, records = Path(root).resolve(), Path(records)
    with alone(root / ARCHIVES / corpus.folder, file=True):
        for archive in corpus.archives:
            try:
                yield _fetch_archive(archive, root, records, trust, on_bytes)
            except OSError as error:
                reason = error.strerror or error
                raise ValueError(f"cannot write {archive.file_name} below {root}: {reason}") from error


def _fetch_archive(archive: Archive, root: Path, records: Path, trust: bool, on_bytes: OnBytes | None) -> str:
    folder, name = root / archive.folder, archive.file_name
    done = root / ARCHIVES / f"{name}.unpacked.json"
    if done.is_file() and (folder / archive.holds).is_dir():
        return f"{name}: already unpacked in {folder}"
    recorded = _read_records(records).get(archive.url)
    known, origin = (recorded, f"recorded in {records}") if recorded else (archive.hash, f"from {archive.origin}")
    known = None if trust else known
    path = _download(archive, root / ARCHIVES, known, origin, on_bytes)
    unpack(path, folder)
    found = known or f"sha256:{pooch.file_hash(str(path))}"
    said = f"its hash is the one {origin}"
    if known is None:
        _record(records, archive.url, found)
        said = f"compared with no hash; {found} is recorded in {records} and expected from now on"
    write_json(done, {"url": archive.url, "hash": found, "folder": archive.folder})
    return f"{name}: {said}; unpacked in {folder}"


def _download(archive: Archive, folder: Path, known: str | None, origin: str, on_bytes: OnBytes | None) -> Path:
    name = archive.file_name

    def show(arrived: int, total: int | None) -> None:
        if on_bytes is not None:
            on_bytes(name, arrived, total)

    downloader = ResumingDownloader(folder / f"{name}.part", show)
    try:
        return Path(pooch.retrieve(archive.url, known, fname=name, path=folder, downloader=downloader))
    except DownloadError:
        raise
    except ValueError as error:
        raise ValueError(f"{error} The known hash is {origin}; --trust records the new one instead.") from error


def _record(records: Path, url: str, found: str) -> None:
    """Add a hash to those recorded, to which another fetch may be adding its own."""
    with alone(records, file=True, wait=True):
        write_json(records, _read_records(records) | {url: found})


def _read_records(records: Path) -> dict[str, str]:
    if not records.is_file():
        return {}
    try:
        return dict(json.loads(records.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{records}: expected a JSON table of addresses and hashes ({error})") from error


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
