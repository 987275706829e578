"""A corpus, archive by archive: download, compare the hash, unpack, remember."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch

from unsep_lib.fetch.archives import Archive, Corpus
from unsep_lib.fetch.download import DownloadError, ResumingDownloader
from unsep_lib.fetch.unpack import unpack
from unsep_lib.files import alone, write_json

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
        write_json(records, _read_records(records) | {archive.url: found})
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


def _read_records(records: Path) -> dict[str, str]:
    if not records.is_file():
        return {}
    try:
        return dict(json.loads(records.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{records}: expected a JSON table of addresses and hashes ({error})") from error
