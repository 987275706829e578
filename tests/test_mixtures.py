import math
from collections import Counter
from pathlib import Path

import numpy
import pytest
import soundfile
import torch

from unsep_lib.clips import Clip
from unsep_lib.mixtures import (
    TASKS,
    Mixture,
    draw_mixtures,
    make_mixture,
    read_mixture,
    read_mixtures,
    speaker_of,
    write_mixture,
)
from unsep_lib.specification import parse_spec

RATE, LENGTH = 16_000, 64_000
SIXTEEN_BIT = 1 / 32_768
CLASSES = ("Cello", "Flute", "Gong")


def rng(seed=0):
    return numpy.random.default_rng(seed)


def noise(length, seed=0, level=0.1):
    return level * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def levels(sources):
    return 10 * sources.double().square().mean(dim=-1).log10()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seconds", [0.5, 4.0, 9.0])
def test_levels_lie_within_five_decibels_the_peak_is_095_and_the_sum_is_the_mixture(count, seconds):
    sources = [noise(round(seconds * RATE), seed, level=10.0**-seed) for seed in range(count)]
    spreads = []
    for seed in range(10):
        mixture, references = make_mixture(sources, rng(seed))
        assert references.shape == (count, LENGTH)
        assert mixture.abs().max().item() == pytest.approx(0.95, abs=1e-6)
        torch.testing.assert_close(references.sum(dim=0), mixture)
        spreads.append((levels(references).max() - levels(references).min()).item())
    assert max(spreads) <= 5.0 + 1e-4
    assert count == 1 or max(spreads) > 1.0


def test_each_level_before_normalising_is_uniform_over_the_papers_range(monkeypatch):
    seen = []

    def record(samples, level):
        seen.append(level)
        return samples

    monkeypatch.setattr("unsep_lib.mixtures.scale_to_dbfs", record)
    for seed in range(200):
        make_mixture([noise(100), noise(100)], rng(seed))
    assert -25.0 <= min(seen) < -24.5
    assert -20.5 < max(seen) <= -20.0
    assert numpy.mean(seen) == pytest.approx(-22.5, abs=0.3)


def test_the_level_counts_the_whole_mixture_and_a_placed_source_keeps_its_waveform():
    source = noise(RATE)
    _, references = make_mixture([source], rng())
    found = references[0][references[0] != 0]
    torch.testing.assert_close(found / found.norm(), source / source.norm())


def burst(start, stop):
    source = torch.zeros(LENGTH)
    source[round(start * RATE) : round(stop * RATE)] = noise(round(stop * RATE) - round(start * RATE))
    return source


def first_sounds(references):
    return [torch.nonzero(source)[0].item() / RATE for source in references]


def test_each_later_source_starts_inside_an_active_span_of_the_one_before():
    first = burst(0.5, 0.8) + burst(2.0, 2.5)
    for seed in range(30):
        _, references = make_mixture([first, noise(RATE // 2, 1), noise(RATE // 2, 2)], rng(seed))
        _, second, third = first_sounds(references)
        window = 0.05
        assert 0.5 - window <= second <= 0.8 + window or 2.0 - window <= second <= 2.5 + window
        assert second - window <= third <= second + 0.5 + window


def test_a_long_later_source_sounds_for_at_least_a_second():
    starts = [first_sounds(make_mixture([noise(LENGTH), noise(LENGTH, 1)], rng(seed))[1])[1] for seed in range(40)]
    assert max(starts) <= 3.0
    assert min(starts) < 1.0 < 2.0 < max(starts)


def test_mixing_nothing_or_silence_is_refused():
    with pytest.raises(ValueError, match="expected at least one source to mix, got none"):
        make_mixture([], rng())
    with pytest.raises(ValueError, match="expected audio to scale, got silence"):
        make_mixture([torch.zeros(100)], rng())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """(speech, sounds): four voices of two clips each, and three classes of three clips each."""
    root = tmp_path_factory.mktemp("clips")

    def clip(corpus, name, label):
        path = root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(RATE, hash_of(name)).numpy(), RATE, subtype="FLOAT")
        return Clip(corpus, str(path), "", label, "test", RATE, RATE, ((0.0, 1.0),))

    speech = [clip("LibriSpeech", f"{speaker}/1/{number}", "") for speaker in (10, 11, 12, 13) for number in range(2)]
    return speech, [clip("sounds", f"{label}{number}", label) for label in CLASSES for number in range(3)]


def hash_of(name):
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
        ("asterisk-it", "voices/speech/hello.flac", "asterisk-it"),
    ],
)
def test_the_speaker_is_read_from_the_corpus_layout(corpus, file, speaker):
    assert speaker_of(Clip(corpus, file, "", "", "test", RATE, RATE, ())) == speaker


def example(sources=2):
    references = torch.stack([noise(2000, seed, level=0.05) for seed in range(sources)])
    specs = tuple(parse_spec(text) for text in ("speech", "sound:Cello", *["sound:Flute"] * (sources - 2)))
    return Mixture("example", references.sum(dim=0), references, specs, 8000)


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_a_written_mixture_is_read_back(suffix, tmp_path):
    mixture = example()
    write_mixture(tmp_path / "example", mixture, suffix)
    found = read_mixture(tmp_path / "example")
    assert (found.name, found.specs, found.sample_rate) == ("example", mixture.specs, 8000)
    torch.testing.assert_close(found.mixture, mixture.mixture, atol=SIXTEEN_BIT, rtol=0)
    torch.testing.assert_close(found.sources, mixture.sources, atol=SIXTEEN_BIT, rtol=0)


def test_source_2_comes_before_source_10(tmp_path):
    mixture = example(sources=11)
    write_mixture(tmp_path, mixture)
    found = read_mixture(tmp_path)
    torch.testing.assert_close(found.sources, mixture.sources, atol=SIXTEEN_BIT, rtol=0)


def test_foreign_names_and_given_specifications_are_accepted(tmp_path):
    for name in ("mix", "real_1", "real_2"):
        soundfile.write(tmp_path / f"{name}.wav", noise(100, hash_of(name)).numpy(), RATE, subtype="FLOAT")
    specs = [parse_spec("speech"), parse_spec("sound:Gong")]
    found = read_mixture(tmp_path, specs)
    assert found.specs == tuple(specs)
    assert torch.equal(found.sources[1], noise(100, hash_of("real_2")))


def delete_mix(folder):
    (folder / "mix.flac").unlink()
    return "expected a mix.wav or mix.flac, found none"


def delete_references(folder):
    for file in folder.glob("source_*"):
        file.unlink()
    return "expected references source_.*found none"


def one_label(folder):
    (folder / "labels.txt").write_text("speech\n")
    return "expected one source specification for each of 2 references, got 1"


def no_labels(folder):
    (folder / "labels.txt").unlink()
    return "expected one source specification for each of 2 references, got 0"


def strange_label(folder):
    (folder / "labels.txt").write_text("speech\na:b:c\n")
    return "expected a source such as .*, got 'a:b:c'"


def other_length(folder):
    soundfile.write(folder / "source_2.flac", numpy.zeros(1999), 8000)
    return "source_2.flac: expected the length, rate and channels of mix.flac"


def other_rate(folder):
    soundfile.write(folder / "source_1.flac", numpy.zeros(2000), RATE)
    return "source_1.flac: expected the length, rate and channels of mix.flac"


def corrupt_reference(folder):
    (folder / "source_1.flac").write_text("nothing")
    return "source_1.flac: not a readable audio file"


@pytest.mark.parametrize(
    "fault",
    [delete_mix, delete_references, one_label, no_labels, strange_label, other_length, other_rate, corrupt_reference],
    ids=lambda fault: fault.__name__,
)
def test_faulty_folders_are_refused_in_one_sentence(fault, tmp_path):
    write_mixture(tmp_path / "example", example())
    message = fault(tmp_path / "example")
    with pytest.raises(ValueError, match=message) as caught:
        read_mixture(tmp_path / "example")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "example") in str(caught.value)


def test_all_subfolders_are_read_in_order_and_none_is_a_fault(tmp_path):
    with pytest.raises(ValueError, match="expected a subfolder for each mixture, found none"):
        read_mixtures(tmp_path)
    with pytest.raises(ValueError, match="no such folder of mixtures"):
        read_mixtures(tmp_path / "none")
    for name in ("b", "a", ".hidden"):
        write_mixture(tmp_path / name, example())
    assert [mixture.name for mixture in read_mixtures(tmp_path)] == ["a", "b"]
    assert math.isclose(read_mixtures(tmp_path)[0].mixture.norm(), example().mixture.norm(), rel_tol=1e-3)


def test_references_above_full_scale_are_not_clipped(tmp_path):
    loud = torch.zeros(2, 1000)
    loud[:, 500], loud[:, 501] = torch.tensor([1.4, -1.0]), torch.tensor([0.2, 0.3])
    specs = (parse_spec("speech"), parse_spec("sound:Cello"))
    write_mixture(tmp_path, Mixture("loud", loud.sum(dim=0), loud, specs))
    found = read_mixture(tmp_path)
    torch.testing.assert_close(found.sources * 1.4, loud, atol=2 * SIXTEEN_BIT, rtol=0)
    torch.testing.assert_close(found.sources.sum(dim=0), found.mixture, atol=1.5 * SIXTEEN_BIT + 1e-6, rtol=0)
