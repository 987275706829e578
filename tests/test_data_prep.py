import re
import subprocess
from collections import defaultdict
from dataclasses import replace

import numpy
import pytest
import torch

from data_prep import free_corpora
from data_prep.benchmark_sets import SELECTION_CLIPS, SELECTION_SPEAKERS, split_benchmarks
from data_prep.broad_sets import COUNT, EXAMPLE_SECONDS, can_be_scored, examples_of, half_of, read_sexes, voice_pairs
from data_prep.long_mixtures import SECONDS, long_mixture
from data_prep.packages import Package
from data_prep.phrases import DRUM_CHANNEL, INSTRUMENTS, compose
from data_prep.training_sounds import strung_phrase
from unsep_lib.audio import write_audio
from unsep_lib.data.clips import Clip, read_manifest, speaker_of

RATE = 16_000


def clip(corpus, file, label, number):
    return Clip(corpus, file, f"{number:03d}", label, "test", RATE, RATE, ((0.0, 1.0),))


@pytest.fixture
def sets():
    speech = [clip("LibriSpeech", f"/x/{speaker}/1/{n}.flac", "", n) for speaker in range(10) for n in range(3)]
    sounds = [clip("FSD", f"/y/{label}{n}.wav", label, n) for label in "ab" for n in range(5)]
    return split_benchmarks(speech, sounds)


def test_the_benchmark_sets_share_no_speaker_and_no_sound(sets):
    speakers = [{speaker_of(c) for c in sets[name][0]} for name in ("selection", "claim")]
    assert speakers[0].isdisjoint(speakers[1])
    assert [len(s) for s in speakers] == [SELECTION_SPEAKERS, 5]
    files = [{c.file for c in sets[name][1]} for name in ("selection", "claim")]
    assert files[0].isdisjoint(files[1])
    assert [len(f) for f in files] == [2 * SELECTION_CLIPS, 2 * (5 - SELECTION_CLIPS)]


def test_too_few_speakers_or_clips_are_refused():
    speech = [clip("LibriSpeech", f"/x/{speaker}/1/0.flac", "", 0) for speaker in range(5)]
    with pytest.raises(ValueError, match="more than 5 test speakers, got 5"):
        split_benchmarks(speech, [])
    speech.append(clip("LibriSpeech", "/x/9/1/0.flac", "", 0))
    with pytest.raises(ValueError, match="more than 2 test clips of a, got 1"):
        split_benchmarks(speech, [clip("FSD", "/y/a.wav", "a", 0)])


def test_a_long_mixture_is_its_sources_strung_until_its_end(tmp_path):
    clips = []
    for label, hertz in (("", 300), ("Cello", 3000)):
        tone = 0.3 * torch.sin(6.2832 * hertz * torch.arange(RATE) / RATE)
        write_audio(tmp_path / f"{hertz}.wav", tone, RATE)
        clips.append([clip("own", str(tmp_path / f"{hertz}.wav"), label, 0)])
    mixture = long_mixture("m", clips, numpy.random.default_rng(0))
    assert list(map(str, mixture.specs)) == ["speech", "sound:Cello"]
    assert mixture.sources.shape == (2, SECONDS * RATE)
    torch.testing.assert_close(mixture.sources.sum(dim=0), mixture.mixture)
    spectra = torch.fft.rfft(mixture.sources.unflatten(1, (-1, RATE))).abs()
    assert (spectra.argmax(dim=-1) == torch.tensor([[300], [3000]])).all()


@pytest.mark.parametrize("label", INSTRUMENTS)
def test_phrases_follow_their_number_and_stay_in_the_instruments_range(label):
    instrument = INSTRUMENTS[label]
    first, again, other = (
        [m for m in compose(instrument, numpy.random.default_rng([1, n])).tracks[0] if m.type == "note_on"]
        for n in (0, 0, 1)
    )
    assert first == again != other
    if instrument.drums:
        assert {m.note for m in first} <= set(instrument.drums) and {m.channel for m in first} == {DRUM_CHANNEL}
    else:
        assert all(instrument.low <= m.note <= instrument.high for m in first)


def test_a_strung_phrase_uses_only_neighbouring_notes_and_peaks_at_its_level():
    time = torch.arange(RATE) / RATE
    notes = [
        (0, torch.sin(6.2832 * 200 * time)),
        (3, torch.sin(6.2832 * 400 * time)),
        (40, torch.sin(6.2832 * 3000 * time)),
    ]
    for seed in range(5):
        phrase = strung_phrase(notes[:2] + notes[2:], numpy.random.default_rng([seed]))
        assert 2 * RATE < len(phrase) <= 11 * RATE
        assert phrase.abs().max().item() == pytest.approx(0.9)
        spectrum = torch.fft.rfft(phrase).abs().square()
        split = round(1500 * len(phrase) / RATE)
        high = (spectrum[split:].sum() / spectrum.sum()).item()
        assert high < 0.05 or high > 0.95


def test_the_last_matching_stanza_of_a_copyright_file_holds(tmp_path):
    folder = tmp_path / "usr/share/doc/sounds"
    folder.mkdir(parents=True)
    (folder / "copyright").write_text(
        "Files: *\nCopyright: Everyone\nLicense: GPL-3\n\n"
        "Files: etc/a.flac\n etc/b.flac\nCopyright: Ann\nLicense: CC0\n"
    )
    package = Package("sounds", "1", tmp_path)
    assert package.terms("etc/b.flac") == ("CC0", "Ann")
    assert package.terms("other") == ("GPL-3", "Everyone")


def test_pairs_of_voices_are_by_turns_of_one_sex_and_of_both_and_use_every_speaker_before_any_again():
    sexes = {f"{n:02d}": "fm"[n % 2] for n in range(20)}
    pairs = list(voice_pairs(sorted(sexes), sexes, numpy.random.default_rng(0)))
    assert len(pairs) == COUNT
    for task, (first, second) in pairs:
        assert first != second
        assert (sexes[first] == sexes[second]) == (task == "2speakers-same-sex")
    uses = [sum(speaker in pair for _, pair in pairs) for speaker in sexes]
    assert set(uses) == {2}
    with pytest.raises(ValueError, match="two test speakers or more of either sex, got 10 and 1"):
        list(voice_pairs([*sorted(sexes)[::2], "01"], sexes, numpy.random.default_rng(0)))


def test_examples_are_other_recordings_of_the_speaker_up_to_a_minute():
    clips = [Clip("an4", f"/an4/fash/{n}.wav", f"{n}", "", "test", RATE, 20 * RATE, ()) for n in range(8)]
    files = examples_of(clips, clips[1])
    assert clips[1].file not in files
    assert len(files) == EXAMPLE_SECONDS / 20


def test_every_speaker_is_in_one_half_and_a_table_of_sexes_that_is_none_is_refused(tmp_path):
    halves = [half_of(str(number)) for number in range(100)]
    assert 35 < halves.count("claim") < 65
    (tmp_path / "sex").write_text("0003\tm\nfash\tF\n")
    assert read_sexes([tmp_path / "sex"]) == {"SPEAKER0003": "m", "fash": "f"}
    (tmp_path / "sex").write_text("0003 male\n")
    with pytest.raises(ValueError, match="expected lines of a speaker and m or f"):
        read_sexes([tmp_path / "sex"])


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Two git clones as `free_corpora` wants them: notes of three dynamics each, and voices."""
    folder = tmp_path_factory.mktemp("snapshots")
    tone = 0.3 * torch.sin(6.2832 * 440 * torch.arange(2 * 22_050) / 22_050)
    notes = folder / "skratchdot+philharmonia-samples"
    for number, pitch in enumerate("ABCDEFG"):
        for octave in range(5):
            for dynamic in ("forte", "piano"):
                name = f"flute_{pitch}{octave}_{dynamic}.wav"
                write_audio(notes / "audio" / "flute" / name, tone * (1 + number + 7 * octave) / 40, 22_050)
    write_audio(notes / "audio" / "bassoon" / "bassoon_A2_forte.wav", tone, 22_050)
    for name in ("copy_of_flute_C1.wav", "flute_clipped.wav"):
        samples = tone * 2 / 40 if "copy" in name else (9 * tone).clamp(-1, 1)
        write_audio(notes / "audio" / "oboe" / name, samples, 22_050)
    voices = folder / "jimbozhang+speechocean762"
    for speaker in ("SPEAKER0003", "SPEAKER0008"):
        write_audio(voices / "WAVE" / speaker / f"{speaker[-4:]}.WAV", tone / int(speaker[-1]), 22_050)
    for clone in (notes, voices):
        identity = ["-c", "user.name=x", "-c", "user.email=x"]
        for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
            subprocess.run(["git", "-C", clone, *arguments], check=True)
    return folder


def test_free_corpora_hold_whole_notes_and_speakers_out_and_leave_unknown_classes_out(snapshots, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["free_corpora", "--snapshots", str(snapshots), "--out", str(tmp_path)])
    free_corpora.main()
    sounds = read_manifest(tmp_path / "sounds.jsonl")
    assert {found.label for found in sounds} == {"Flute", "Oboe"}
    splits = defaultdict(set)
    for found in sounds:
        assert (found.sample_rate, found.corpus) == (RATE, "philharmonia-samples")
        splits[re.search(r"_([A-G]\d|clipped)", found.file)[1]].add(found.split)
    assert all(len(split) == 1 for split in splits.values())
    assert 2 <= sum(split == {"test"} for split in splits.values()) <= 14
    voices = {speaker_of(found): found.split for found in read_manifest(tmp_path / "speech.jsonl")}
    assert voices == {"SPEAKER0003": "train", "SPEAKER0008": "test"}
    table = (tmp_path / "sources.md").read_text()
    assert "CC BY-SA 3.0" in table
    assert "| speechocean762 | 1 | 0.0 | 1 | CC BY 4.0 |" in table


def test_what_is_too_short_too_quiet_or_without_a_class_is_not_scored():
    fine = Clip("x", "/x.wav", "", "Meow", "test", RATE, RATE, (), level=-30.0)
    assert can_be_scored(fine)
    for change in ({"label": "other animals"}, {"frames": RATE // 4}, {"level": -55.0}):
        assert not can_be_scored(replace(fine, **change))
