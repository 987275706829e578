"""A downloader for pooch that goes on where it stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

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
    starts anew. A lost connection is taken up again; when all attempts fail, `part` stays for the next call.
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
