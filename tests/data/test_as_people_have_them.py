"""Folders and lists as people's tools leave them: each case was refused, misread or a traceback once."""

import json

import numpy
import pytest
import soundfile
import torch

from unsep_lib.data.clips import Clip, draw_start, read_manifest
from unsep_lib.data.layouts import FSD_TABLES
from unsep_lib.data.mixtures import added, read_mixture, read_mixtures, write_mixture
from unsep_lib.data.prepare import read_corpus
from unsep_lib.evaluation.evaluate import evaluate
from unsep_lib.notebook.profiles import load_profile, profile_path
from unsep_lib.source_spec import SourceSpec

RATE, MARK = 16_000, "\N{ZERO WIDTH NO-BREAK SPACE}"  # the mark is what Windows begins a text in UTF-8 with
SPECS = (SourceSpec("speech"), SourceSpec("sound", "Cello"))


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write_tracks(folder, layout, names=("mix.wav", "source_1.wav", "source_2.wav"), length=2000):
    """Two sources and their sum, in channels that are `layout` times one channel; returns the references."""
    folder.mkdir(parents=True)
    references = noise(2, length)
    gains = torch.tensor(layout, dtype=torch.float32)[:, None]
    for name, samples in zip(names, (references.sum(dim=0), *references), strict=True):
        soundfile.write(folder / name, (gains * samples).T.numpy(), RATE, subtype="PCM_24")
    (folder / "labels.txt").write_text("speech\nsound:Cello\n")
    return references


@pytest.mark.parametrize("layout", [[1, -1], [1, -0.99, 0.01], [0.5, -1, 0.5]])
def test_a_mixture_whose_channels_cancel_is_read_from_its_loudest_one(layout, tmp_path):
    references = write_tracks(tmp_path / "a", layout)
    found = read_mixture(tmp_path / "a")
    gain = max(layout, key=abs)
    torch.testing.assert_close(found.sources, gain * references, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.mixture, found.sources.sum(dim=0), atol=1e-6, rtol=0)
    perfect = evaluate([found], lambda mixture: mixture.sources)
    assert len(perfect.rows) == 2 and min(row.si_sdr for row in perfect.rows) > 60


def test_one_reference_that_cancels_takes_the_others_to_the_same_channel(tmp_path):
    wide, narrow = noise(2, 2000)
    tracks = {"source_1": torch.stack([wide, -wide]), "source_2": torch.stack([narrow, narrow])}
    tracks["mix"] = sum(tracks.values())
    for name, samples in tracks.items():
        soundfile.write(tmp_path / f"{name}.wav", samples.T.numpy(), RATE, subtype="FLOAT")
    found = read_mixture(tmp_path, SPECS)
    torch.testing.assert_close(found.mixture, found.sources.sum(dim=0), atol=1e-6, rtol=0)
    assert found.sources.square().mean(dim=-1).min() > 1e-3


def test_sources_that_cancel_are_no_mixture():
    one = noise(100)
    with pytest.raises(ValueError, match="cancel each other"):
        added(torch.stack([one, -one]))


@pytest.mark.parametrize("names", [
    ("MIX.WAV", "Source_1.WAV", "Source_2.WAV"), ("mix.aiff", "source_1.AIFF", "source_2.flac"),
    ("Mix.w64", "real_1.caf", "real_2.au"),
])  # fmt: skip
def test_a_mixtures_files_have_any_container_and_spelling(names, tmp_path):
    references = write_tracks(tmp_path / "a", [1], names)
    torch.testing.assert_close(read_mixture(tmp_path / "a").sources, references, atol=1e-6, rtol=0)


def test_what_macos_adds_to_a_zip_is_no_mixture(tmp_path):
    write_tracks(tmp_path / "a", [1])
    (tmp_path / "a" / "._source_1.wav").write_bytes(b"resource")
    (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
    assert [mixture.name for mixture in read_mixtures(tmp_path)] == ["a"]


def row(**changes):
    fields = {
        "corpus": "c", "file": "a.wav", "sha256": "", "label": "", "split": "train", "sample_rate": RATE,
        "frames": RATE, "spans": [[0.0, 1.0]],
    }  # fmt: skip
    return fields | changes


def test_texts_may_begin_with_the_mark_of_windows(tmp_path):
    write_tracks(tmp_path / "mixtures" / "a", [1])
    (tmp_path / "mixtures" / "a" / "labels.txt").write_text(MARK + "speech\r\nsound:Cello\r\n", encoding="utf-8")
    assert read_mixture(tmp_path / "mixtures" / "a").specs == SPECS
    (tmp_path / "m.jsonl").write_text(MARK + json.dumps(row()) + "\r\n", encoding="utf-8")
    assert len(read_manifest(tmp_path / "m.jsonl")) == 1
    (tmp_path / "own.toml").write_text(MARK + profile_path("smoke").read_text(), encoding="utf-8")
    assert load_profile(str(tmp_path / "own.toml")).seeds == load_profile("smoke").seeds


def fsdkaggle2018(root, train):
    for name in ("train/a", "test/b"):
        file = root / f"FSDKaggle2018.audio_{name}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, noise(RATE).numpy(), RATE)
    (root / "FSDKaggle2018.meta").mkdir()
    (root / "FSDKaggle2018.meta" / FSD_TABLES["train"]).write_bytes(train)
    (root / "FSDKaggle2018.meta" / FSD_TABLES["test"]).write_text("fname,label\nb.wav,Gong\n")
    return root


def test_a_table_may_begin_with_the_mark_of_windows(tmp_path):
    root = fsdkaggle2018(tmp_path, (MARK + "fname,label\r\na.wav,Cello\r\n").encode())
    assert [clip.label for clip in read_corpus(root, workers=1).clips] == ["Cello", "Gong"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"fname,label\na.wav,Cello\nb.wav\n", "both in every line"),
        ("fname,label\na.wav,Übung\n".encode("latin-1"), "not a text in UTF-8"),
        (b"fname,label\n" + b"a" * 200_000 + b",Cello\n", "not a table"),
    ],
    ids=["short line", "latin-1", "huge field"],
)
def test_a_table_that_is_none_is_named(table, says, tmp_path):
    with pytest.raises(ValueError, match=rf"{FSD_TABLES['train']}: .*{says}"):
        read_corpus(fsdkaggle2018(tmp_path, table), workers=1)


def write_folders(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, noise(RATE // 10).numpy(), RATE)
    return {clip.file.removeprefix(f"{root}/"): (clip.label, clip.split) for clip in read_corpus(root, workers=1).clips}


def test_a_class_called_train_whistle_is_not_librispeech(tmp_path):
    assert write_folders(tmp_path, "train-whistle/a.wav", "bus/b.wav") == {
        "train-whistle/a.wav": ("train-whistle", "train"), "bus/b.wav": ("bus", "train"),
    }  # fmt: skip


@pytest.mark.parametrize("others", [("Test",), ("valid",), ("validation", "test"), ("dev", "TEST")])
def test_splits_have_their_usual_names_in_any_spelling(others, tmp_path):
    found = write_folders(tmp_path, "Train/cat/a.wav", *(f"{name}/cat/b.wav" for name in others))
    assert found == {"Train/cat/a.wav": ("cat", "train")} | {f"{name}/cat/b.wav": ("cat", "test") for name in others}


def test_spans_without_length_are_none():
    clip = Clip("c", "a.wav", "", "", "train", RATE, 2 * RATE, ((0.5, 0.5), (1.0, 1.0)))
    assert 0 <= draw_start(clip, 1.0, numpy.random.default_rng(0)) <= 1


def test_a_written_mixture_is_read_before_others_of_its_stem(tmp_path):
    write_tracks(tmp_path / "a", [1])
    found = read_mixture(tmp_path / "a")
    soundfile.write(tmp_path / "a" / "mix.aiff", noise(9).numpy(), RATE)
    write_mixture(tmp_path / "b", found)
    assert torch.equal(read_mixture(tmp_path / "a").mixture, found.mixture)
