from collections import Counter
from pathlib import Path

import pytest
import soundfile
import torch

from unsep_lib.data.clips import Clip, speaker_of
from unsep_lib.data.mixture_sets import TASKS, draw_mixtures

RATE, LENGTH = 16_000, 64_000
CLASSES = ("Cello", "Flute", "Gong")


def noise(length, seed=0, level=0.1):
    return level * torch.randn(length, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """(speech, sounds): four voices of two clips each, and three classes of three clips each."""
    root = tmp_path_factory.mktemp("clips")

    def clip(corpus, name, label):
        path = root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(RATE, seed_of(name)).numpy(), RATE, subtype="FLOAT")
        return Clip(corpus, str(path), "", label, "test", RATE, RATE, ((0.0, 1.0),))

    speech = [clip("LibriSpeech", f"{speaker}/1/{number}", "") for speaker in (10, 11, 12, 13) for number in range(2)]
    return speech, [clip("sounds", f"{label}{number}", label) for label in CLASSES for number in range(3)]


def seed_of(name):
    return sum(name.encode())


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gives_its_numbers_of_speech_and_sounds_that_differ(task, clips):
    for number, mixture in enumerate(draw_mixtures(task, *clips, 5, 0)):
        assert mixture.name == f"{task}_{number:02d}"
        kinds = Counter(spec.prior for spec in mixture.specs)
        assert (kinds["speech"], kinds["sound"]) == (TASKS[task].speech, TASKS[task].sounds)
        labels = [spec.label for spec in mixture.specs if spec.label]
        assert len(set(labels)) == TASKS[task].sounds
        speakers = {Path(origin).parts[-3] for origin in mixture.origins[: TASKS[task].speech]}
        assert len(speakers) == TASKS[task].speech
        assert mixture.sources.shape == (len(mixture.specs), LENGTH)


def test_the_tasks_are_the_papers_five():
    assert {name: (task.speech, task.sounds) for name, task in TASKS.items()} == {
        "1speech-1sound": (1, 1), "1speech-2sounds": (1, 2), "2sounds": (0, 2), "3sounds": (0, 3), "2speakers": (2, 0),
    }  # fmt: skip


def test_the_label_of_a_source_is_its_clips(clips):
    (mixture,) = draw_mixtures("3sounds", *clips, 1, 3)
    assert [spec.label for spec in mixture.specs] == [Path(origin).stem[:-1] for origin in mixture.origins]
    mono = torch.from_numpy(soundfile.read(mixture.origins[1], dtype="float32")[0])
    found = mixture.sources[1][mixture.sources[1] != 0]
    torch.testing.assert_close(found / found.norm(), mono / mono.norm(), atol=1e-5, rtol=0)


def test_classes_are_uniform_and_no_clip_repeats_before_all_were_used(clips):
    mixtures = list(draw_mixtures("1speech-1sound", *clips, 12, 0))
    labels = Counter(mixture.specs[1].label for mixture in mixtures)
    assert labels == dict.fromkeys(CLASSES, 4)
    voices = [mixture.origins[0] for mixture in mixtures]
    sounds = [mixture.origins[1] for mixture in mixtures]
    assert len(set(voices[:8])) == 8
    assert len(set(sounds[:9])) == 9
    assert Counter(Path(voice).parts[-3] for voice in voices) == dict.fromkeys(("10", "11", "12", "13"), 3)


def test_the_seed_decides_the_mixtures(clips):
    def drawn(seed):
        return [(m.specs, m.origins, m.mixture.tolist()) for m in draw_mixtures("2sounds", *clips, 3, seed)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_unknown_tasks_and_too_few_classes_are_refused(clips):
    speech, sounds = clips
    with pytest.raises(ValueError, match=r"unknown task '9sounds': known are 1speech-1sound, .*2speakers"):
        list(draw_mixtures("9sounds", speech, sounds, 1, 0))
    with pytest.raises(ValueError, match="expected clips of at least 3 different speakers or classes, got 2"):
        list(draw_mixtures("3sounds", speech, sounds[:6], 1, 0))
    with pytest.raises(ValueError, match="at least 1 different speakers or classes, got 0"):
        list(draw_mixtures("1speech-1sound", [], sounds, 1, 0))


def test_sounds_without_a_label_are_no_class(clips):
    speech, sounds = clips
    with pytest.raises(ValueError, match="at least 2 different speakers or classes, got 1"):
        list(draw_mixtures("2sounds", speech, [*sounds[:3], *speech], 1, 0))


@pytest.mark.parametrize(
    ("corpus", "file", "speaker"),
    [
        ("LibriSpeech", "train-clean-100/103/1240/103-1240-0000.flac", "103"),
        ("VCTK", "wav48_silence_trimmed/p225/p225_001_mic1.flac", "p225"),
        ("an4", "speech/an4/fash/an4__an251-fash-b.flac", "fash"),
        ("asterisk-it", "voices/speech/hello.flac", "asterisk-it"),
    ],
)
def test_the_speaker_is_read_from_the_corpus_layout(corpus, file, speaker):
    assert speaker_of(Clip(corpus, file, "", "", "test", RATE, RATE, ())) == speaker
