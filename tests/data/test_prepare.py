from pathlib import Path

import numpy
import pytest
import soundfile
from places import SHARED

from unsep_lib.__main__ import main
from unsep_lib.data.clips import read_manifest
from unsep_lib.data.prepare import read_corpus

CORPORA = SHARED / "data"
RATE = 16_000


def tone(path, seconds=0.2, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * numpy.sin(numpy.arange(round(seconds * rate)) * 0.1), rate)


def rows(prepared, root):
    return {str(Path(clip.file).relative_to(root)): (clip.label, clip.split) for clip in prepared.clips}


def test_librispeech_layout(tmp_path):
    tone(tmp_path / "train-clean-100/103/1240/103-1240-0000.flac")
    tone(tmp_path / "test-other/367/1/367-1-0000.flac")
    (tmp_path / "train-clean-100/103/1240/103-1240.trans.txt").write_text("words")
    assert rows(read_corpus(tmp_path, workers=1), tmp_path) == {
        "train-clean-100/103/1240/103-1240-0000.flac": ("", "train"),
        "test-other/367/1/367-1-0000.flac": ("", "test"),
    }


def test_vctk_layout_takes_the_first_microphone_and_a_hundred_speakers_to_train(tmp_path):
    for number in range(102):
        tone(tmp_path / f"wav48_silence_trimmed/p{200 + number}/p{200 + number}_001_mic1.flac", rate=48_000)
    tone(tmp_path / "wav48_silence_trimmed/p200/p200_001_mic2.flac")
    prepared = read_corpus(tmp_path, workers=1)
    assert {clip.corpus for clip in prepared.clips} == {"VCTK"}
    assert [clip.split for clip in prepared.clips].count("train") == 100
    assert len(prepared.clips) == 102


def fsdkaggle2018(
    root, train="fname,label,manually_verified,freesound_id,license\na.wav,Cello,1,7,CC0\nc.wav,Gong,0,8,CC0\n"
):
    for name in ("audio_train/a", "audio_train/c", "audio_test/b"):
        tone(root / f"FSDKaggle2018.{name}.wav", rate=44_100)
    meta = root / "FSDKaggle2018.meta"
    meta.mkdir()
    (meta / "train_post_competition.csv").write_text(train)
    (meta / "test_post_competition_scoring_clips.csv").write_text("fname,label,usage\nb.wav,Gong,Public\n")
    return root


def test_fsdkaggle2018_layout_keeps_which_labels_a_person_checked(tmp_path):
    prepared = read_corpus(fsdkaggle2018(tmp_path), workers=1)
    assert rows(prepared, tmp_path) == {
        "FSDKaggle2018.audio_train/a.wav": ("Cello", "train"),
        "FSDKaggle2018.audio_train/c.wav": ("Gong", "train"),
        "FSDKaggle2018.audio_test/b.wav": ("Gong", "test"),
    }
    assert [(Path(clip.file).stem, clip.verified) for clip in prepared.clips] == [
        ("a", True),
        ("c", False),
        ("b", None),
    ]


@pytest.mark.parametrize("table", ["", "name,class\na.wav,Cello\n"], ids=["empty", "other columns"])
def test_a_strange_table_is_refused(table, tmp_path):
    with pytest.raises(
        ValueError, match=r"train_post_competition.csv: expected a table with the columns fname and label"
    ):
        read_corpus(fsdkaggle2018(tmp_path, table), workers=1)


def test_own_folders_label_by_folder_and_split_by_top_folder(tmp_path):
    for name in ("dog barks/one.wav", "train/cat/two.ogg", "test/cat/three.wav", "four.wav", ".hidden.wav"):
        tone(tmp_path / name)
    assert rows(read_corpus(tmp_path, workers=1), tmp_path) == {
        "dog barks/one.wav": ("dog_barks", "train"),
        "train/cat/two.ogg": ("cat", "train"),
        "test/cat/three.wav": ("cat", "test"),
        "four.wav": ("", "train"),
    }


def test_spans_and_lengths_describe_the_audio(tmp_path):
    silence, sound = numpy.zeros(RATE), 0.5 * numpy.sin(numpy.arange(RATE) * 0.3)
    soundfile.write(tmp_path / "a.wav", numpy.concatenate([silence, sound, silence]), RATE)
    (clip,) = read_corpus(tmp_path, workers=1).clips
    assert (clip.frames, clip.sample_rate) == (3 * RATE, RATE)
    ((start, stop),) = clip.spans
    assert (start, stop) == (pytest.approx(1.0, abs=0.05), pytest.approx(2.0, abs=0.05))


@pytest.mark.parametrize(("mean_square", "active"), [(7e-8, False), (2e-7, True)])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_what_counts_as_sound_does_not_depend_on_the_files_rate(rate, mean_square, active, tmp_path):
    hum = numpy.sqrt(2 * mean_square) * numpy.sin(2 * numpy.pi * 440 * numpy.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", hum, rate, subtype="FLOAT")
    (clip,) = read_corpus(tmp_path, workers=1).clips
    assert bool(clip.spans) == active
    assert clip.level == pytest.approx(10 * numpy.log10(mean_square), abs=0.01)


def test_levels_peaks_and_clipping_are_those_of_the_file(tmp_path):
    quiet, loud = 0.1 * numpy.sin(numpy.arange(RATE) * 0.3), 2.0 * numpy.sin(numpy.arange(RATE) * 0.1)
    soundfile.write(tmp_path / "a.wav", quiet, RATE)
    soundfile.write(tmp_path / "b.wav", numpy.stack([quiet, loud], axis=1), RATE)
    clean, clipped = read_corpus(tmp_path, workers=1).clips
    assert (clean.clipped, clean.peak) == (0, pytest.approx(0.1, abs=1e-4))
    assert clean.level == pytest.approx(-20 - 10 * numpy.log10(2), abs=0.01)
    samples = soundfile.read(tmp_path / "b.wav", dtype="int16")[0][:, 1]
    flags = "".join("x" if abs(int(sample)) >= 32_767 else " " for sample in samples)
    assert clipped.clipped == max(map(len, flags.split())) > 10
    assert clipped.peak >= 32_767 / 32_768


def test_bad_files_are_skipped_counted_and_named(tmp_path, capsys):
    root = tmp_path / "audio"
    tone(root / "good.wav")
    (root / "empty.wav").write_bytes(b"")
    (root / "text.wav").write_text("not audio")
    soundfile.write(root / "silent.wav", numpy.zeros(100), RATE)
    soundfile.write(root / "nan.wav", numpy.full(100, numpy.nan), RATE, subtype="FLOAT")
    assert main(["data", "prepare", str(root), "--out", str(tmp_path / "m.jsonl"), "--workers", "1"]) == 0
    output = capsys.readouterr()
    assert "1 clips" in output.out and "4 files skipped" in output.out
    assert all(name in output.err for name in ("empty.wav", "text.wav", "silent.wav", "nan.wav"))
    assert [Path(clip.file).name for clip in read_manifest(tmp_path / "m.jsonl")] == ["good.wav"]


def test_nothing_is_written_when_nothing_can_be_used(tmp_path, capsys):
    root = tmp_path / "audio"
    root.mkdir()
    for reason in ("no audio files found", "none of 1 files could be used"):
        assert main(["data", "prepare", str(root), "--out", str(tmp_path / "m.jsonl"), "--workers", "1"]) == 2
        assert reason in capsys.readouterr().err
        (root / "text.wav").write_text("not audio")
    assert list(tmp_path.iterdir()) == [root]


def test_workers_do_not_change_the_manifest(tmp_path):
    for number in range(40):
        tone(tmp_path / f"{number}.wav", seconds=0.05)
    assert read_corpus(tmp_path, workers=1) == read_corpus(tmp_path, workers=2)


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the real pieces of the corpora are not beside this checkout")
def test_real_pieces_of_the_corpora():
    fsd = read_corpus(CORPORA / "FSDKaggle2018")
    assert len(fsd.clips) == 300 and not fsd.skipped
    assert len({clip.label for clip in fsd.clips}) == 10
    assert {clip.verified for clip in fsd.clips} == {None}
    assert max(clip.level for clip in fsd.clips) < 0 and {clip.sample_rate for clip in fsd.clips} == {44_100}
    assert not read_corpus(CORPORA / "FSDKaggle2018", before=[fsd]).read
    libri = read_corpus(CORPORA / "LibriSpeech")
    assert {clip.corpus for clip in libri.clips} == {"LibriSpeech"}
    assert len({Path(clip.file).parts[-3] for clip in libri.clips if clip.split == "test"}) == 10


def sounding(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * numpy.sin(numpy.arange(16_000) / 20), 16_000)


def found(root):
    return {(Path(clip.file).name, clip.label, clip.split) for clip in read_corpus(root, workers=1).clips}


def test_a_class_called_train_is_a_class_and_the_splits_are_splits(tmp_path):
    for name in ("train", "bus"):
        sounding(tmp_path / "classes" / name / f"{name}.wav")
    assert found(tmp_path / "classes") == {("train.wav", "train", "train"), ("bus.wav", "bus", "train")}
    for name in ("train/bus/a.wav", "test/bus/b.wav", "more/c.wav"):
        sounding(tmp_path / "splits" / name)
    assert found(tmp_path / "splits") == {
        ("a.wav", "bus", "train"),
        ("b.wav", "bus", "test"),
        ("c.wav", "more", "train"),
    }


def test_links_are_followed_once_and_what_is_left_out_is_said(tmp_path):
    sounding(tmp_path / "elsewhere" / "bell" / "far.wav")
    root = tmp_path / "root"
    sounding(root / "drum" / "near.au")
    (root / "bells").symlink_to(tmp_path / "elsewhere" / "bell")
    (root / "drum" / "round").symlink_to(root)
    (root / "drum" / "gone.wav").symlink_to(tmp_path / "nothing")
    (root / "drum" / "._near.au").write_bytes(b"no audio")
    (root / "drum" / "song.m4a").write_bytes(b"no audio")
    (root / "drum" / "notes.txt").write_text("words")
    prepared = read_corpus(root, workers=1)
    assert {(Path(clip.file).name, clip.label) for clip in prepared.clips} == {
        ("near.au", "drum"),
        ("far.wav", "bells"),
    }
    said = " ".join(prepared.left_out)
    for words in ("gone.wav: a link to nothing", "ffmpeg -i song.m4a song.wav", "1 of .txt", "1 of macOS"):
        assert words in said
