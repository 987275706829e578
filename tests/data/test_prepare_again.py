import importlib
import os
from pathlib import Path

import numpy
import pytest
import soundfile

from unsep_lib.__main__ import main
from unsep_lib.data.clips import read_manifest
from unsep_lib.data.prepare import describe, read_corpus, read_prepared, skipped_list, write_prepared

RATE = 16_000


def tone(path, hertz=440):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * numpy.sin(2 * numpy.pi * hertz * numpy.arange(RATE // 5) / RATE), RATE)


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "audio"
    for name in ("dog/one.wav", "dog/two.wav", "cat/three.wav"):
        tone(root / name)
    (root / "cat" / "broken.wav").write_text("not audio")
    return root


@pytest.fixture
def described(monkeypatch):
    """Names of the files that were read."""
    seen = []

    def counted(corpus, entry):
        seen.append(entry.file.name)
        return describe(corpus, entry)

    monkeypatch.setattr(importlib.import_module("unsep_lib.data.prepare"), "describe", counted)
    return seen


def run(corpus, *options):
    manifest = corpus.parent / "m.jsonl"
    assert main(["data", "prepare", str(corpus), "--out", str(manifest), "--workers", "1", *options]) == 0
    return manifest


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def test_a_second_run_reads_and_writes_nothing(corpus, described, capsys):
    manifest = run(corpus)
    assert sorted(described) == ["broken.wav", "one.wav", "three.wav", "two.wav"]
    described.clear()
    before = stamps(corpus.parent)
    capsys.readouterr()
    run(corpus)
    output = capsys.readouterr()
    assert described == []
    assert stamps(corpus.parent) == before
    assert f"{manifest} (unchanged): 3 clips" in output.out and "1 files skipped, 0 files read" in output.out
    assert "broken.wav" in output.err


def test_only_what_changed_is_read_again(corpus, described):
    manifest = run(corpus)
    old = {Path(clip.file).name: clip for clip in read_manifest(manifest)}
    described.clear()
    tone(corpus / "dog" / "new.wav")
    (corpus / "dog" / "two.wav").unlink()
    content = (corpus / "cat" / "three.wav").stat()
    tone(corpus / "cat" / "three.wav", hertz=880)
    os.utime(corpus / "cat" / "three.wav", ns=(content.st_atime_ns, content.st_mtime_ns + 1))
    tone(corpus / "cat" / "broken.wav")
    run(corpus)
    new = {Path(clip.file).name: clip for clip in read_manifest(manifest)}
    assert sorted(described) == ["broken.wav", "new.wav", "three.wav"]
    assert sorted(new) == ["broken.wav", "new.wav", "one.wav", "three.wav"]
    assert new["one.wav"] == old["one.wav"]
    assert new["three.wav"].sha256 != old["three.wav"].sha256
    assert not skipped_list(manifest).exists()


def test_labels_and_splits_follow_the_layout_without_reading(corpus, described):
    manifest = run(corpus)
    described.clear()
    run(corpus, "--label", "animal", "--split", "test")
    assert described == []
    assert {(clip.label, clip.split) for clip in read_manifest(manifest)} == {("animal", "test")}


@pytest.mark.parametrize("spoil", ["--fresh", "truncated", "foreign"])
def test_everything_is_read_where_the_manifest_cannot_be_trusted(spoil, corpus, described):
    manifest = run(corpus)
    whole = manifest.read_bytes()
    described.clear()
    if spoil != "--fresh":
        manifest.write_bytes(whole[:-20] if spoil == "truncated" else b'{"corpus": "other"}\n')
    run(corpus, *[spoil] * (spoil == "--fresh"))
    assert len(described) == 4
    assert manifest.read_bytes() == whole


def test_a_manifest_without_measurements_is_completed(corpus, described):
    manifest = run(corpus)
    whole = read_manifest(manifest)
    fields = ("verified", "level", "peak", "clipped", "size", "modified")
    bare = [type(clip)(**(vars(clip) | dict.fromkeys(fields))) for clip in whole]
    assert write_prepared(manifest, type(read_prepared(manifest))(tuple(bare), ()))
    described.clear()
    run(corpus)
    assert len(described) == 4
    assert read_manifest(manifest) == whole


def test_a_corpus_behind_a_link_is_known_again(corpus, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "dog").symlink_to(corpus / "dog")
    (linked / "three.wav").symlink_to(corpus / "cat" / "three.wav")
    first = read_corpus(linked, workers=1)
    write_prepared(tmp_path / "m.jsonl", first)
    assert first.read == len(first.clips) > 0
    assert read_corpus(linked, workers=1, before=[read_prepared(tmp_path / "m.jsonl")]).read == 0


def test_a_file_in_a_folders_place_is_called_so(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.wav: expected a folder, got a file"):
        read_corpus(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="gone: no such folder"):
        read_corpus(tmp_path / "gone")


def test_progress_counts_every_file_and_ends_at_all(corpus):
    seen = []
    first = read_corpus(corpus, workers=1, on_file=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    again = read_corpus(corpus, workers=1, before=[first], on_file=lambda done, total: seen.append((done, total)))
    assert (first.read, again.read, seen[4:]) == (4, 0, seen[:4])
