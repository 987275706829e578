"""Debian packages as sources of audio: fetched, unpacked, and their licences read."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """An unpacked Debian package: its version and the folder that stands for the file system's root."""

    name: str
    version: str
    root: Path

    def files(self, pattern: str) -> list[Path]:
        """Files below the package's root that match a glob, in alphabetical order."""
        return sorted(self.root.glob(pattern))

    def terms(self, path: str) -> tuple[str, str]:
        """(licence, copyright holder) of a file named as in `debian/copyright`; the last matching stanza holds."""
        text = (self.root / "usr/share/doc" / self.name / "copyright").read_text(encoding="utf-8")
        found = None
        for stanza in re.split(r"\n\s*\n(?=\S)", text):
            fields = dict(re.findall(r"^(Files|Copyright|License):\s*(.+?)\s*$", stanza, flags=re.MULTILINE))
            globs = re.search(r"^Files:((?:.|\n )*)", stanza, flags=re.MULTILINE)
            if globs and any(fnmatch.fnmatch(path, pattern) for pattern in globs[1].split()):
                found = (fields.get("License", "see copyright file"), fields.get("Copyright", ""))
        if found is None:
            raise ValueError(f"{self.name}: no licence found for {path}")
        return found


def fetch_package(name: str, cache: Path) -> Package:
    """Download a Debian package with apt-get and unpack it into `cache/name`; needs no root.

    Raises:
        ValueError: apt-get or dpkg-deb is missing, or the package cannot be had.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ValueError("the embedded audio is built on Debian or Ubuntu: apt-get and dpkg-deb are needed")
    root = cache / name
    root.mkdir(parents=True, exist_ok=True)
    if not list(root.glob("*.deb")):
        outcome = subprocess.run(["apt-get", "download", name], cwd=root, capture_output=True, text=True, check=False)
        if outcome.returncode:
            raise ValueError(f"cannot download the Debian package {name}: {outcome.stderr.strip()}")
    archive = next(root.glob("*.deb"))
    if not (root / "usr").is_dir():
        subprocess.run(["dpkg-deb", "-x", archive.name, "."], cwd=root, check=True)
    version = subprocess.run(
        ["dpkg-deb", "-f", archive.name, "Version"], cwd=root, capture_output=True, text=True, check=True
    )
    return Package(name, version.stdout.strip(), root)
