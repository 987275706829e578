import io
import re
import threading
import zipfile

import numpy
import pytest
import soundfile
import torch
from app_turns import PATIENCE, Visitor, wait_until

from unsep_lib.app import jobs, page, recordings
from unsep_lib.app import jobs as turns
from unsep_lib.audio import Audio
from unsep_lib.data.embedded import REPOSITORY
from unsep_lib.notebook.profiles import load_profile
from unsep_lib.separation import load_priors, separate
from unsep_lib.source_spec import parse_spec

RATE = 22_050


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def file_of(samples, rate=RATE, kind="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.t().numpy(), rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def nothing(*_):
    pass


def job(samples=None, names=("speech", "sound:Cello"), rate=RATE, steps=2):
    samples = noise(1, 4000) if samples is None else samples
    recording = recordings.Recording("mix.wav", "mix.wav", Audio(samples, rate))
    return jobs.Job(recording, tuple(map(parse_spec, names)), "projection", steps, 3)


# Recordings


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_an_upload_of_each_kind_is_read_whatever_its_name(kind):
    recording = recordings.read_upload("my take", file_of(noise(2, RATE), kind=kind))
    assert recording.audio.sample_rate == RATE and len(recording.audio.samples) == 2
    assert recording.audio.seconds == pytest.approx(1, abs=0.1)
    assert recording.name == "my take"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "wrong.wav: the file is empty"),
        (b"this is no audio at all", "wrong.wav: not a readable audio file"),
        (file_of(noise(3, 100)), "wrong.wav: expected mono or stereo, got 3 channels"),
        (file_of(torch.zeros(1, 100)), "wrong.wav: the recording is silent"),
        (file_of(noise(1, 61 * 8000), 8000), "wrong.wav: expected at most 60 seconds, got 61"),
        (file_of(torch.full((1, 100), float("nan")), subtype="FLOAT"), "wrong.wav: the samples contain NaN"),
    ],
)
def test_a_wrong_file_gets_one_sentence_with_its_name_and_no_other_path(content, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        recordings.read_upload("wrong.wav", content)
    assert "\n" not in str(caught.value) and "unsep-" not in str(caught.value)


def test_a_file_is_too_large_by_its_size_alone():
    recordings.check_size("long.wav", 32_000_000)
    with pytest.raises(ValueError, match=r"long\.wav: expected at most 32 MB, got 33 MB"):
        recordings.check_size("long.wav", 33_000_000)


def test_examples_name_their_sources_and_lie_where_their_code_reads_them():
    examples = recordings.examples()
    assert len(examples) == 25
    for example in examples:
        assert len(example.specs) == len(list((REPOSITORY / example.path).parent.glob("source_*")))
        assert soundfile.info(REPOSITORY / example.path).duration == pytest.approx(example.audio.seconds)


def test_without_a_clone_there_are_no_examples(monkeypatch, tmp_path):
    monkeypatch.setattr("unsep_lib.data.embedded.EMBEDDED", tmp_path / "nothing")
    assert recordings.examples() == []


# Jobs


def test_the_sources_to_choose_from_are_the_priors_and_their_labels(home):
    known, damaged = jobs.known_sources()
    assert sorted(known) == ["sound", "sound:Cello", "sound:Flute", "speech"] and damaged == []


def test_a_job_is_the_librarys_separation_and_tells_its_progress_over_windows(home):
    asked, seen, parts = job(noise(1, 10 * 16_000), rate=16_000), [], []
    separation = jobs.run(
        asked, threading.Event(), lambda *shown: seen.append(shown), lambda *finished: parts.append(finished)
    )
    expected = separate(
        asked.recording.audio.samples, load_priors(asked.specs), 16_000, solver="projection", steps=2, seed=3
    )
    assert torch.equal(separation.sources, expected.sources)
    assert [share for share, _ in seen] == [0.25, 0.5, 0.75, 1.0]
    assert all(list(estimates) == ["speech", "sound_Cello"] for _, estimates in seen)
    assert [begin for begin, _ in parts] == [0, 6]
    for index, name in enumerate(("speech", "sound_Cello")):
        assert torch.equal(torch.cat([tracks[name] for _, tracks in parts], dim=-1), separation.sources[index])


def test_cancel_stops_a_job_at_its_next_step(home):
    cancelled, seen = threading.Event(), []

    def show(share, estimates):
        seen.append(share)
        cancelled.set()

    with pytest.raises(turns.Cancelled):
        jobs.run(job(steps=5), cancelled, show, nothing)
    assert seen == [0.2]


def test_the_code_does_the_same_and_the_files_add_up_to_the_recording(home, tmp_path, monkeypatch):
    samples = noise(2, 5001)
    asked = job(samples, names=["speech", "speech"])
    soundfile.write(tmp_path / "mix.wav", samples.t().numpy(), RATE, subtype="FLOAT")
    separation = jobs.run(asked, threading.Event(), nothing, nothing)
    archive = zipfile.ZipFile(io.BytesIO(jobs.zipped(jobs.tracks_of(separation), RATE)))
    monkeypatch.chdir(tmp_path)
    exec(asked.code(), {})
    total = 0
    for name in ("speech_1.wav", "speech_2.wav", "residual.wav"):
        track, rate = soundfile.read(io.BytesIO(archive.read(name)), always_2d=True)
        assert rate == RATE
        if name != "residual.wav":
            numpy.testing.assert_array_equal(track, soundfile.read(tmp_path / "sources" / name, always_2d=True)[0])
        total = total + track
    numpy.testing.assert_allclose(total.T, samples.numpy(), atol=1e-6)
    assert len(archive.namelist()) == 3


# The page, without a kernel


@pytest.fixture
def opened(home, tmp_path, monkeypatch):
    specs = (parse_spec("speech"), parse_spec("sound"))
    example = recordings.Recording("duet_1", "somewhere/mix.flac", Audio(noise(1, 4000, seed=5), 16_000), specs)
    monkeypatch.setattr(page, "examples", lambda: [example])
    return page.Page(load_profile("smoke"), tmp_path / "queue")


def upload(opened, content=None, name="mix.wav"):
    content = file_of(noise(1, 4000)) if content is None else content
    opened.uploaded(name, len(content), content)


def separated(opened):
    opened.start()
    opened.thread.join(PATIENCE)
    assert not opened.running()


def test_a_good_file_can_be_played_and_a_wrong_one_gets_a_sentence(opened):
    upload(opened)
    assert "<audio" in opened.overview.value and "mix.wav: 0.2 s, 22050 Hz, mono" in opened.overview.value
    assert not opened.button.disabled
    upload(opened, b"no audio", name="<b>.wav")
    assert 'role="alert">&lt;b&gt;.wav: not a readable audio file' in opened.overview.value
    assert "<audio" not in opened.overview.value and opened.button.disabled


def test_a_file_too_large_to_be_sent_gets_a_sentence(opened):
    opened.uploaded("film.wav", 900_000_000, None)
    assert "film.wav: expected at most 32 MB, got 900 MB" in opened.overview.value


def test_an_example_fills_in_its_sources(opened):
    opened.sources[2].value = "sound:Cello"
    opened.example.value = opened.example.options[1]
    assert [source.value for source in opened.sources] == ["speech", "sound", "none", "none"]
    upload(opened)
    assert opened.example.value == opened.example.options[0]


def test_a_separation_is_played_offered_and_told_as_code(opened):
    upload(opened)
    opened.sources[0].value, opened.sources[1].value = "speech", "sound:Flute"
    opened.seed.value = 7
    separated(opened)
    assert "Done: mix.wav" in opened.status.value and "dirac-wiener, 4 noise levels, seed 7" in opened.status.value
    for name in ("speech", "sound_Flute"):
        assert f">{name}: about " in opened.results.value and "dB better than the mixture" in opened.results.value
    assert ">residual<" in opened.results.value
    assert "<img" in opened.picture.value and "seed=7" in opened.code.value
    assert opened.download.offered and opened.cancel.disabled and not opened.button.disabled


def test_the_finished_parts_of_a_long_recording_are_played_while_it_runs(opened, monkeypatch):
    upload(opened, file_of(noise(1, 15 * RATE)))
    played = []
    monkeypatch.setattr(opened, "finished", lambda *_: played.extend(part.value for part in opened.parts.children))
    separated(opened)
    assert [text.partition("</h3>")[0] for text in played] == [
        "<h3>0:00 to 0:06",
        "<h3>0:06 to 0:12",
        "<h3>0:12 to 0:15",
    ]
    assert all(text.count("<audio") == 2 for text in played)
    monkeypatch.undo()
    upload(opened, file_of(noise(1, 4000)))
    separated(opened)
    assert opened.parts.children == ()


def test_what_is_left_out_is_told(opened, home, tmp_path, monkeypatch):
    upload(opened)
    opened.sources[0].value, opened.sources[1].value = "speech", "none"
    monkeypatch.setattr(page, "tracks_of", lambda _: {"speech": noise(1, 4000), "residual": torch.zeros(1, 4000)})
    separated(opened)
    assert "Silent, and not shown: residual." in opened.results.value and ">residual<" not in opened.results.value
    (home / "priors" / "mine.safetensors").write_bytes(b"half a file")
    again = page.Page(load_profile("smoke"), tmp_path / "queue")
    told = [child.value for child in again.box.children if isinstance(getattr(child, "value", None), str)]
    assert any("Not listed is mine: " in text for text in told)
    assert not any("Not listed" in getattr(child, "value", "") for child in opened.box.children)


def test_without_a_source_it_says_so(opened):
    upload(opened)
    assert [source.value for source in opened.sources] == ["speech", "sound", "none", "none"]
    for source in opened.sources:
        source.value = "none"
    opened.start()
    assert "name at least one source" in opened.status.value and opened.thread is None


def test_who_has_to_wait_is_told_and_can_cancel(opened):
    log = []
    other = Visitor(opened.queue, "other", log)
    wait_until(lambda: log == ["other"])
    upload(opened)
    opened.start()
    wait_until(lambda: "Waiting for a turn: one other separation is before yours." in opened.status.value)
    assert opened.button.disabled and not opened.cancel.disabled
    opened.cancel.click()
    opened.thread.join(PATIENCE)
    assert "Cancelled." in opened.status.value and not opened.download.offered and not opened.button.disabled
    other.leave.set()


def test_whatever_goes_wrong_ends_in_a_sentence_and_frees_the_turn(opened, monkeypatch):
    monkeypatch.setattr(page, "run", lambda *_: 1 / 0)
    upload(opened)
    separated(opened)
    assert 'role="alert">It failed. ZeroDivisionError: division by zero' in opened.status.value
    monkeypatch.undo()
    log = []
    other = Visitor(opened.queue, "other", log)
    wait_until(lambda: log == ["other"])
    other.leave.set()
