import numpy
import pytest
import torch

from data_prep.long_mixtures import SECONDS, long_mixture
from data_prep.packages import Package
from data_prep.phrases import DRUM_CHANNEL, INSTRUMENTS, compose
from data_prep.training_sounds import strung_phrase
from data_prep.yardsticks import SELECTION_CLIPS, SELECTION_SPEAKERS, split_yardsticks
from unsep_lib.audio import write_audio
from unsep_lib.data.clips import Clip, speaker_of

RATE = 16_000


def clip(corpus, file, label, number):
    return Clip(corpus, file, f"{number:03d}", label, "test", RATE, RATE, ((0.0, 1.0),))


@pytest.fixture
def sets():
    speech = [clip("LibriSpeech", f"/x/{speaker}/1/{n}.flac", "", n) for speaker in range(10) for n in range(3)]
    sounds = [clip("FSD", f"/y/{label}{n}.wav", label, n) for label in "ab" for n in range(5)]
    return split_yardsticks(speech, sounds)


def test_the_yardsticks_share_no_speaker_and_no_sound(sets):
    speakers = [{speaker_of(c) for c in sets[name][0]} for name in ("selection", "claim")]
    assert speakers[0].isdisjoint(speakers[1])
    assert [len(s) for s in speakers] == [SELECTION_SPEAKERS, 5]
    files = [{c.file for c in sets[name][1]} for name in ("selection", "claim")]
    assert files[0].isdisjoint(files[1])
    assert [len(f) for f in files] == [2 * SELECTION_CLIPS, 2 * (5 - SELECTION_CLIPS)]


def test_too_few_speakers_or_clips_are_refused():
    speech = [clip("LibriSpeech", f"/x/{speaker}/1/0.flac", "", 0) for speaker in range(5)]
    with pytest.raises(ValueError, match="more than 5 test speakers, got 5"):
        split_yardsticks(speech, [])
    speech.append(clip("LibriSpeech", "/x/9/1/0.flac", "", 0))
    with pytest.raises(ValueError, match="more than 2 test clips of a, got 1"):
        split_yardsticks(speech, [clip("FSD", "/y/a.wav", "a", 0)])


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
