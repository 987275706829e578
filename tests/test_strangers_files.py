"""Recordings as strangers bring them: each case was wrong once, and its right value stands here."""

import contextlib
import io
import json
import os
import shlex
import struct
import subprocess
import sys

import numpy
import pytest
import soundfile
import torch
from command_line import FAST, names, noise, write
from places import REPOSITORY
from safetensors.torch import save_file

from unsep_lib.__main__ import main
from unsep_lib.app import jobs, recordings
from unsep_lib.audio import mono, read_audio, read_mono
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.evaluation import baselines
from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.priors.checkpoints import FORMAT
from unsep_lib.separation import UNFINISHED, separate, separate_file
from unsep_lib.windows import _wav_header, survey, track

RECORDINGS = REPOSITORY / "tests" / "recordings"
VARYING, NO_XING = (RECORDINGS / f"{name}.mp3" for name in ("vbr_14s", "vbr_14s_no_xing"))
DELAY = 1105  # samples of silence that an encoder adds; a Xing header tells a decoder to leave them out
WORDS = ["--source", "speech", "--source", "sound", *FAST]


def test_an_mp3_of_varying_rate_is_the_same_read_at_once_and_by_pieces():
    whole = read_audio(VARYING).samples
    assert whole.shape == (1, 14 * 44_100)
    assert torch.equal(torch.cat(list(survey(VARYING).blocks()), dim=-1), whole)
    assert torch.equal(read_audio(VARYING, 300_000, 400_000).samples, whole[:, 300_000:400_000])


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\0 TIT2\x7f\x7f\x7f\x7f\0\0" + b"abc" * 8])
def test_an_mp3_without_a_length_is_read_to_its_end_and_its_decoder_is_silent(tag, tmp_path, capfd):
    (tmp_path / "a.mp3").write_bytes(tag + NO_XING.read_bytes())
    found = read_audio(tmp_path / "a.mp3").samples
    assert torch.equal(found[:, DELAY : DELAY + 14 * 44_100], read_audio(VARYING).samples)
    assert survey(tmp_path / "a.mp3").frames == found.shape[-1]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("layout", "expected"), [([1, -1], 1.0), ([1, 1], 1.0), ([1, 0], 0.5), ([0.2, -0.1], 0.05)])
def test_channels_that_cancel_are_not_silence(layout, expected, tmp_path):
    samples = noise(1, 5000)
    file = write(tmp_path / "a.wav", (torch.tensor(layout)[:, None] * samples).numpy(), 16_000)
    torch.testing.assert_close(mono(read_audio(file).samples), expected * samples[0])
    assert read_mono(file).abs().max() > 0.01


def test_a_recording_called_like_a_track_is_never_written_over(home, tmp_path, capsys):
    speech = write(tmp_path / "speech.wav", noise(500).numpy())
    (tmp_path / "residual").mkdir()
    before = speech.read_bytes()
    assert main(["separate", str(speech), *WORDS, "--out", str(tmp_path)]) == 2
    assert "speech.wav: this input would be overwritten" in capsys.readouterr().err
    with pytest.raises(ValueError, match="would be overwritten"):
        separate_file(speech, ["speech"], tmp_path, solver="projection", steps=1)
    with pytest.raises(ValueError, match="would be overwritten"):
        separate(speech, ["speech"], solver="projection", steps=1).save(tmp_path)
    inner = write(tmp_path / "residual" / "residual.wav", noise(500).numpy())
    assert main(["separate", str(speech), str(inner), *WORDS, "--out", str(tmp_path)]) == 2
    assert "residual.wav: this input would be overwritten" in capsys.readouterr().err
    assert speech.read_bytes() == before and names(tmp_path) == {"home", "speech.wav", "residual"}


def test_all_that_a_folder_holds_is_taken_or_told(home, tmp_path, capsys):
    folder = tmp_path / "in"
    for number, suffix in enumerate(("wav", "au", "caf", "w64", "aiff", "flac")):
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{number}.{suffix}", noise(300, seed=number).numpy(), 16_000)
    (folder / "song.m4a").write_bytes(b"m4a")
    (folder / "._0.wav").write_bytes(b"what macOS leaves")
    (folder / "lost.wav").symlink_to(folder / "gone.wav")
    assert main(["separate", str(folder), *WORDS, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert names(tmp_path / "out") == {str(number) for number in range(6)}
    assert "not taken are formats that cannot be read (ffmpeg makes WAV of them): song.m4a" in told
    assert "links that lead nowhere: lost.wav" in told


def test_tracks_of_an_earlier_run_are_told_and_no_recordings(home, tmp_path, capsys):
    file, out = write(tmp_path / "mix.wav", noise(500).numpy()), tmp_path / "out"
    assert main(["separate", str(file), "--source", "speech", "--source", "speech", *FAST, "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["separate", str(file), *WORDS, "--out", str(out)]) == 0
    assert f"note: {out}: not of this run are speech_1.wav, speech_2.wav" in capsys.readouterr().err
    write(out / "new.wav", noise(500).numpy())
    for name in ("speech_1.wav", "speech_2.wav"):
        (out / name).unlink()
    assert main(["separate", str(out), *WORDS, "--out", str(tmp_path / "again")]) == 0
    assert "not taken are tracks of an earlier run: residual.wav, sound.wav, speech.wav" in capsys.readouterr().err
    assert names(tmp_path / "again") == {"new"}


def test_tracks_can_be_played_while_the_file_still_runs(home, tmp_path):
    file, out, heard = write(tmp_path / "mix.wav", noise(20 * 16_000).numpy(), 16_000), tmp_path / "out", []

    def listen(done, total):
        found = {path.name: soundfile.read(path)[0] for path in (out / UNFINISHED).glob("*.wav")}
        heard.append((done, found))

    separate_file(file, ["speech", "sound"], out, solver="projection", steps=1, on_window=listen)
    assert [len(found["speech.wav"]) if found else 0 for _, found in heard] == [0, 0, 6 * 16_000]
    assert numpy.array_equal(heard[-1][1]["sound.wav"], soundfile.read(out / "sound.wav", stop=6 * 16_000)[0])
    assert names(out) == {"speech.wav", "sound.wav", "residual.wav", "report.json"}


@pytest.mark.parametrize("frames", [0, 1, 12_345, (1 << 30) - 100, 1 << 30, 1 << 33])
def test_a_track_says_its_length_and_above_4_gib_in_an_rf64(frames, tmp_path):
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(_wav_header(44_100, 1, frames))
        file.truncate(file.tell() + 4 * frames)  # a sparse file
    found = soundfile.info(tmp_path / "a.wav")
    assert (found.frames, found.samplerate, found.channels, found.subtype) == (frames, 44_100, 1, "FLOAT")
    assert found.format == ("RF64" if frames >= 1 << 30 else "WAV")


def test_a_growing_track_is_whole_after_each_block(tmp_path):
    blocks = [noise(3, 700, seed=seed) for seed in range(3)]
    with track(tmp_path / "a.wav", 8000, 3) as grow:
        for number, block in enumerate(blocks, start=1):
            grow(block)
            found = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
            assert numpy.array_equal(found.T, torch.cat(blocks[:number], dim=-1).numpy())


def run(*words, **environment):
    command = [sys.executable, "-m", "unsep_lib.__main__", *words]
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        command, capture_output=True, env=os.environ | {"PYTHONPATH": path} | environment, check=False
    )


def test_the_module_runs_and_speaks_to_a_terminal_of_few_letters():
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    for words in (["--help"], ["separate", "--help"], ["evaluate", "--help"], ["app", "--help"]):
        ended = run(*words, **plain)
        assert ended.returncode == 0 and ended.stderr == b"" and ended.stdout.isascii()
    ended = run("separate", "\N{DRUM WITH DRUMSTICKS}.wav", "--source", "speech", "--out", "out")
    assert ended.returncode == 2 and b"no such audio file" in ended.stderr


def test_the_users_commands_come_first_and_every_command_is_listed(capsys):
    from unsep_lib.__main__ import COMMANDS, MAINTAINERS

    with pytest.raises(SystemExit):
        main(["--help"])
    users, maintainers = capsys.readouterr().out.split("commands:")[1].split("commands for maintainers:")
    assert [line.split()[0] for line in users.splitlines() if line][:2] == ["separate", "app"]
    assert len([line for line in users.splitlines() if line]) == len(COMMANDS)
    assert len([line for line in maintainers.splitlines() if line]) == len(MAINTAINERS)


def test_a_reader_that_leaves_ends_the_command_without_words(home):
    command = shlex.join([sys.executable, "-m", "unsep_lib", "separate", "--list"]) + " | true"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, env=environment, check=False)
    assert ended.returncode == 0 and ended.stderr == b""


def test_one_damaged_prior_ends_neither_the_list_nor_the_apps_menu(home, capsys):
    (home / "priors" / "mine.safetensors").write_bytes(b"half a file")
    assert main(["separate", "--list"]) == main(["info"]) == 0
    told = capsys.readouterr()
    assert "  speech\n" in told.out and told.err.count("note: mine: ") == 2
    known, damaged = jobs.known_sources()
    assert sorted(known) == ["sound", "sound:Cello", "sound:Flute", "speech"]
    assert len(damaged) == 1 and damaged[0].startswith("Not listed is mine: ")


def test_a_report_that_is_none_is_no_earlier_run(home, tmp_path):
    files = [str(write(tmp_path / f"{name}.wav", noise(300).numpy())) for name in "ab"]
    for content in ("", "[1]", json.dumps({"request": 3})):
        (tmp_path / "out" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "a" / "report.json").write_text(content)
        assert main(["separate", *files, *WORDS, "--out", str(tmp_path / "out")]) == 0


def test_an_upload_that_does_not_know_its_length_is_measured():
    found = recordings.read_upload("song.mp3", NO_XING.read_bytes())
    assert found.audio.seconds == pytest.approx(14, abs=0.1)
    with pytest.raises(ValueError, match=r"^song\.m4a: not a readable audio file .*`ffmpeg -i song\.m4a"):
        recordings.read_upload("song.m4a", b"\0\0\0 ftypM4A " + bytes(500))


def test_numba_is_given_a_folder_where_none_can_be_written(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    baselines._let_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    baselines._let_numba_cache()
    assert "unsep-numba" in os.environ.pop("NUMBA_CACHE_DIR")
    monkeypatch.undo()
    baselines._let_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.full
def test_four_seconds_before_silence_separate_as_well_as_alone():
    """19.4 dB alone; a level taken from the whole recording left 9.4 before 60 s of silence and 1.6 before 600 s."""
    mixture = embedded_mixtures("1speech-1sound")[0]
    length = mixture.mixture.shape[-1]
    before = si_sdr(mixture.mixture.expand_as(mixture.sources), mixture.sources)
    for seconds in (0, 60, 600):
        samples = torch.cat([mixture.mixture, torch.zeros(seconds * mixture.sample_rate)])
        sources = separate(samples, mixture.specs, mixture.sample_rate).sources[:, 0, :length]
        assert (si_sdr(sources, mixture.sources) - before).mean() > 18


def test_recordings_that_some_systems_would_give_one_folder_get_two(home, tmp_path):
    files = [str(write(tmp_path / folder / name, noise(300).numpy())) for folder, name in
             (("x", "Take.wav"), ("y", "take.aiff"), ("z", "b.wav"))]  # fmt: skip
    assert main(["separate", *files, files[2], *WORDS, "--out", str(tmp_path / "out")]) == 0
    assert names(tmp_path / "out") == {"Take.wav", "take.aiff", "b"}
    write(tmp_path / "y" / "TAKE.wav", noise(300).numpy())
    assert main(["separate", files[0], str(tmp_path / "y" / "TAKE.wav"), *WORDS, "--out", str(tmp_path / "more")]) == 2


def test_recordings_in_folders_of_the_folder_are_told(home, tmp_path, capsys):
    for name in ("a.wav", "cd 1/b.wav", "notes/c.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "in" / name, noise(300).numpy()) if name.endswith("wav") else None
    out = tmp_path / "in" / "separated"
    assert main(["separate", str(tmp_path / "in" / "a.wav"), *WORDS, "--out", str(out)]) == 0
    (tmp_path / "in" / "report.json").write_text('{"tracks": 3}')
    capsys.readouterr()
    assert main(["separate", str(tmp_path / "in"), *WORDS, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert "not taken are the recordings in folders in it: cd 1\n" in told
    assert names(tmp_path / "out") == {"a"}


@pytest.mark.parametrize("labels", [{}, {"labels": None}, {"labels": [1]}, {"labels": "Cello"}])
def test_a_prior_whose_card_lacks_its_labels_ends_neither_the_list_nor_the_menu(labels, home, capsys):
    save_file({"a": torch.zeros(1)}, home / "priors" / "mine.safetensors",
              {"card": json.dumps({"format": FORMAT} | labels)})  # fmt: skip
    assert main(["separate", "--list"]) == main(["info"]) == 0
    assert capsys.readouterr().err.count("note: mine: ") == 2
    assert "mine: " in jobs.known_sources()[1][0]


@pytest.mark.parametrize("name", ["a." + "b" * 300, "a.\0", "a./wav", "Take.WAV"])
def test_an_upload_may_have_any_name(name):
    content = io.BytesIO()
    soundfile.write(content, noise(4000).numpy(), 16_000, format="WAV")
    assert recordings.read_upload(name, content.getvalue()).name == name


def test_a_header_of_a_thousand_channels_gets_a_sentence_with_the_files_name(tmp_path):
    header = bytearray(_wav_header(44_100, 1, 0x0FFFFFFF))
    at = header.index(b"fmt ") + 10
    header[at : at + 12] = struct.pack("<HIIH", 1024, 768_000, 0xFFFFFFFF, 4096)[:12]
    (tmp_path / "a.wav").write_bytes(bytes(header) + bytes(4096))
    with contextlib.suppress(ValueError):
        assert read_audio(tmp_path / "a.wav").samples.shape[0] == 1024
    with pytest.raises(ValueError, match=r"a\.wav: "):
        read_audio(tmp_path / "a.wav", 10_000_000)
