"""Names, levels, layouts and containers drawn at random: what goes in comes out as a sum, under names that exist."""

import os
import shutil

import numpy
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardening.audio_faults import CONTAINERS, tone
from hardening.cases import PASSED, command, hidden
from unsep_lib.audio import read_audio
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.separation import separate

FAST = {"solver": "projection", "steps": 1}
SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}
EXAMPLES = [8, pytest.param(200, marks=pytest.mark.full)]
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40
).filter(lambda name: name.strip(".") and len(os.fsencode(name)) < 200)  # fmt: skip
LOSSLESS = [("wav", "PCM_24"), ("wav", "DOUBLE"), ("flac", "PCM_24"), ("aiff", "FLOAT"), ("au", "FLOAT"),
            ("caf", "PCM_32"), ("w64", "FLOAT"), ("rf64", "PCM_24")]  # fmt: skip


@pytest.mark.parametrize("examples", EXAMPLES)
def test_names(examples, place, count):
    made = place.root / "in"

    @settings(max_examples=examples, **SETTINGS)
    @given(NAMES)
    def holds(name):
        soundfile.write(made / "a.wav", tone(400), 16_000)
        recording = (made / "a.wav").rename(made / f"{name}.wav")
        words = ("--out", place.out, "--source=speech", "--solver=projection", "--steps=1", "--")
        assert command("separate", *words, recording) == 0
        assert hidden(place.out) == [] and (place.out / "speech.wav").is_file()
        recording.unlink()
        shutil.rmtree(place.out)

    count("kinds", "separate", f"{examples} names", lambda: holds() or PASSED)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_levels(examples, place, count):
    priors = [load_prior("speech"), load_prior("sound")]

    @settings(max_examples=examples, **SETTINGS)
    @given(st.lists(st.floats(-90, 40), min_size=1, max_size=4), st.integers(1, 9000), st.integers(0, 5))
    def holds(levels, length, seed):
        drawn = torch.randn(len(levels), length, generator=torch.Generator().manual_seed(seed))
        samples = drawn * 10 ** (torch.tensor(levels)[:, None] / 20)
        found = separate(samples, priors, 16_000, **FAST)
        total = found.sources.double().sum(dim=0) + found.residual.double()
        error = (total - samples).abs().amax(dim=-1) / samples.abs().amax(dim=-1)
        assert error.max() < 1e-5
        for channel, alone in enumerate(samples):  # a channel's level is its own: the others change nothing of it
            own = separate(alone, priors, 16_000, **FAST).sources[:, 0]
            scale = alone.abs().max()
            torch.testing.assert_close(found.sources[:, channel] / scale, own / scale, atol=1e-4, rtol=0)

    count("kinds", "separate()", f"{examples} levels", lambda: holds() or PASSED)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_layouts(examples, place, count):
    priors = [load_prior("speech")]

    @settings(max_examples=examples, **SETTINGS)
    @given(st.integers(1, 8), st.integers(65, 3000), st.booleans(), st.sampled_from(["f2", "f4", "f8", ">f4"]),
           st.sampled_from(["C", "F"]), st.sampled_from([8000, 16_000, 22_050.0, 44_100]))  # fmt: skip
    def holds(channels, length, time_first, kind, order, rate):
        samples = numpy.random.default_rng(length).uniform(-0.5, 0.5, (channels, length))
        laid_out = numpy.asarray((samples.T if time_first else samples).astype(kind), order=order)
        found = separate(laid_out, priors, rate, **FAST)
        total = (found.sources.sum(dim=0) + found.residual).numpy()
        numpy.testing.assert_allclose(total, samples, atol=1e-3 if kind == "f2" else 1e-6)

    count("kinds", "separate()", f"{examples} layouts", lambda: holds() or PASSED)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_containers(examples, place, count):
    @settings(max_examples=examples, **SETTINGS)
    @given(st.sampled_from(LOSSLESS), st.integers(1, 8), st.integers(1, 40_000), st.integers(1000, 96_000),
           st.floats(0, 1), st.floats(0, 1))  # fmt: skip
    def holds(kind, channels, length, rate, begin, end):
        suffix, subtype = kind
        samples = numpy.random.default_rng(length).uniform(-0.9, 0.9, (length, channels)).astype("f4")
        file = place.root / "in" / f"a.{suffix}"
        soundfile.write(file, samples, rate, subtype=subtype, format=CONTAINERS.get(suffix, suffix.upper()))
        start, stop = sorted((int(begin * (length - 1)), 1 + int(end * (length - 1))))
        found = read_audio(file, start, max(stop, start + 1))
        assert found.sample_rate == rate
        numpy.testing.assert_allclose(found.samples.T, samples[start : max(stop, start + 1)], atol=2e-7)

    count("kinds", "read_audio", f"{examples} containers", lambda: holds() or PASSED)
