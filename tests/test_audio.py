import math

import numpy
import pytest
import scipy.signal
import soundfile
import torch

from unsep_lib.audio import (
    SILENCE_DBFS,
    Audio,
    read_audio,
    read_mono,
    resample,
    rms_dbfs,
    scale_to_dbfs,
    to_int16,
    write_audio,
)

RATE = 16_000
SIXTEEN_BIT = 1 / 32_768


def noise(*shape, level=0.1):
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("shape", [(1,), (1000,), (2, 1000)])
def test_wav_round_trips_exactly(rate, shape, tmp_path):
    samples = 3 * noise(*shape)
    write_audio(tmp_path / "a.wav", samples, rate)
    audio = read_audio(tmp_path / "a.wav")
    assert audio.sample_rate == rate
    assert audio.samples.dtype == torch.float32
    assert torch.equal(audio.samples, samples.reshape(-1, shape[-1]))
    assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"


def test_flac_round_trips_to_16_bit(tmp_path):
    samples = noise(2, 1000).clamp(-1, 1)
    write_audio(tmp_path / "a.flac", samples, RATE, "PCM_16")
    torch.testing.assert_close(read_audio(tmp_path / "a.flac").samples, samples, atol=SIXTEEN_BIT, rtol=0)


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_16_bit_integers_are_written_as_they_are(suffix, tmp_path):
    samples = torch.arange(-32_768, 32_768, dtype=torch.int32).to(torch.int16)
    write_audio(tmp_path / f"a{suffix}", samples, RATE, "PCM_16")
    assert numpy.array_equal(soundfile.read(tmp_path / f"a{suffix}", dtype="int16")[0], samples.numpy())


def test_samples_become_the_16_bit_integers_that_libsndfile_makes_of_them(tmp_path):
    samples = torch.cat([noise(5000, level=0.4), torch.tensor([0.0, 1.0, -1.0, 1.5, -1.5, 0.5 / 32_768])])
    soundfile.write(tmp_path / "a.flac", samples.numpy(), RATE, subtype="PCM_16")
    assert numpy.array_equal(soundfile.read(tmp_path / "a.flac", dtype="int16")[0], to_int16(samples).numpy())
    assert torch.equal(to_int16(samples), to_int16(samples.double()))


def test_what_another_program_wrote_is_read_channel_by_channel(tmp_path):
    content = noise(500, 2).numpy()
    soundfile.write(tmp_path / "a.wav", content, RATE, subtype="FLOAT")
    assert numpy.array_equal(read_audio(tmp_path / "a.wav").samples.numpy(), content.T)
    assert numpy.array_equal(read_audio(tmp_path / "a.wav", 100, 103).samples.numpy(), content[100:103].T)


def test_reading_mono_averages_the_channels_and_resamples(tmp_path):
    seconds = numpy.arange(32_000) / 32_000
    tone = numpy.sin(2 * numpy.pi * 440 * seconds)
    soundfile.write(tmp_path / "a.wav", numpy.stack([0.6 * tone, 0.2 * tone], axis=1), 32_000, subtype="FLOAT")
    mono = read_mono(tmp_path / "a.wav")
    expected = 0.4 * torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE)
    torch.testing.assert_close(mono[200:-200], expected[200:-200], atol=2e-3, rtol=0)


def test_duration_counts_samples_not_channels():
    assert Audio(torch.zeros(2, 24_000), RATE).seconds == 1.5


def test_the_level_of_a_sine_is_known():
    sine = torch.sin(2 * math.pi * torch.arange(1000) / 100)
    assert rms_dbfs(sine) == pytest.approx(-10 * math.log10(2), abs=1e-5)
    assert rms_dbfs(0.01 * sine) == pytest.approx(-40 - 10 * math.log10(2), abs=1e-5)
    assert rms_dbfs(torch.full((2, 7), -0.1)) == pytest.approx(-20, abs=1e-5)
    assert rms_dbfs(torch.zeros(5)) == rms_dbfs(torch.full((5,), 1e-9)) == SILENCE_DBFS == -120


def test_scaling_reaches_the_level_and_keeps_the_shape():
    samples = noise(1000)
    scaled = scale_to_dbfs(samples, -23.0)
    assert 20 * math.log10(scaled.double().square().mean().sqrt()) == pytest.approx(-23.0, abs=1e-5)
    torch.testing.assert_close(scaled / scaled.norm(), samples / samples.norm())
    with pytest.raises(ValueError, match="expected audio to scale, got silence"):
        scale_to_dbfs(torch.zeros(10), -20.0)


@pytest.mark.parametrize(("rate_from", "rate_to"), [(44_100, RATE), (RATE, 44_100), (48_000, RATE), (8000, RATE)])
def test_resampling_a_band_limited_signal_equals_scipys(rate_from, rate_to):
    seconds = numpy.arange(rate_from) / rate_from
    signal = sum(numpy.sin(2 * numpy.pi * hertz * seconds + hertz) for hertz in (50, 440, 1200, 2500)) / 8
    divisor = math.gcd(rate_from, rate_to)
    expected = scipy.signal.resample_poly(signal, rate_to // divisor, rate_from // divisor, window=("kaiser", 8.0))
    found = resample(torch.from_numpy(signal).float(), rate_from, rate_to)
    assert len(found) == math.ceil(rate_from * rate_to / rate_from)
    inner = slice(rate_to // 10, -rate_to // 10)
    numpy.testing.assert_allclose(found.numpy()[inner], expected[inner], atol=2e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    high = torch.sin(2 * math.pi * 12_000 * torch.arange(48_000, dtype=torch.float64) / 48_000).float()
    assert rms_dbfs(resample(high, 48_000, RATE)[1000:-1000]) < -50
    assert resample(high, RATE, RATE) is high


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (3, 2), (4410, 1600), (4411, 1601)])
def test_resampled_lengths_round_up(length, expected):
    assert resample(torch.ones(2, length), 44_100, RATE).shape == (2, expected)


def missing(path):
    return "no such audio file"


def folder(path):
    path.mkdir()
    return "no such audio file"


def no_bytes(path):
    path.write_bytes(b"")
    return "not a readable audio file"


def text(path):
    path.write_text("this is not audio\n" * 100)
    return "not a readable audio file"


def damaged_flac(path):
    soundfile.write(path, noise(RATE).numpy(), RATE, format="FLAC")
    path.write_bytes(path.read_bytes()[:30])
    return "not a readable audio file"


def no_samples(path):
    soundfile.write(path, numpy.zeros(0), RATE)
    return "the file holds no samples"


def not_a_number(path):
    soundfile.write(path, numpy.array([0.1, numpy.nan]), RATE, subtype="FLOAT")
    return "the samples contain NaN or infinity"


def infinite(path):
    soundfile.write(path, numpy.array([0.1, numpy.inf]), RATE, subtype="FLOAT")
    return "the samples contain NaN or infinity"


@pytest.mark.parametrize(
    "fault",
    [missing, folder, no_bytes, text, damaged_flac, no_samples, not_a_number, infinite],
    ids=lambda fault: fault.__name__,
)
def test_bad_files_are_refused_in_one_sentence_that_names_them(fault, tmp_path):
    path = tmp_path / "bad.wav"
    message = fault(path)
    with pytest.raises(ValueError, match=message) as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("a.wav", (1, 2, 3), r"expected samples \[time\] or \[channel, time\], got shape \(1, 2, 3\)"),
        ("a.wav", (), r"expected samples \[time\] or \[channel, time\], got shape \(\)"),
        ("a.unknown", (10,), "cannot write .*a.unknown"),
        ("a", (10,), "cannot write .*a: "),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(name, shape, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_audio(tmp_path / name, torch.zeros(shape), RATE)
    assert names(tmp_path) == []
