"""Instrument phrases rendered from a General MIDI sound font: varied notes, dynamics and articulation."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy
import torch

from unsep_lib.audio import read_mono

TICKS = 480  # MIDI ticks a beat
DRUM_CHANNEL = 9
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40, 48)  # kits of General MIDI sound fonts
PHRASE_SECONDS = (2.5, 6.0)
BEND_RANGE = 400  # of 8192: up to a tenth of a tone, a player's intonation


@dataclass(frozen=True)
class Instrument:
    """General MIDI programs and a range of notes, or drum notes on the percussion channel."""

    programs: tuple[int, ...] = ()
    low: int = 0
    high: int = 0
    drums: tuple[int, ...] = ()
    polyphony: float = 0.0


INSTRUMENTS = {
    "Acoustic_guitar": Instrument((24, 25), 40, 76, polyphony=0.4),
    "Bass_drum": Instrument(drums=(35, 36)),
    "Cello": Instrument((42,), 36, 72),
    "Clarinet": Instrument((71,), 50, 88),
    "Double_bass": Instrument((43, 32), 28, 60),
    "Flute": Instrument((73,), 60, 96),
    "Hi-hat": Instrument(drums=(42, 44, 46)),
    "Saxophone": Instrument((64, 65, 66, 67), 44, 82),
    "Snare_drum": Instrument(drums=(38, 40)),
    "Violin_or_fiddle": Instrument((40,), 55, 95),
}


def compose(instrument: Instrument, generator: numpy.random.Generator) -> mido.MidiFile:
    """A phrase of a few seconds: a random walk on a scale, or a drum pattern."""
    track, channel = mido.MidiTrack(), DRUM_CHANNEL if instrument.drums else 0
    program = generator.choice(DRUM_KITS if instrument.drums else instrument.programs)
    beat = 60.0 / generator.uniform(60, 170)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(60 / beat)))
    track.append(mido.Message("program_change", channel=channel, program=int(program)))
    track.append(mido.Message("control_change", channel=channel, control=91, value=int(generator.integers(0, 100))))
    if not instrument.drums:
        bend = int(generator.integers(-BEND_RANGE, BEND_RANGE))
        track.append(mido.Message("pitchwheel", channel=channel, pitch=bend))
    events = _drum_notes(instrument, generator, beat) if instrument.drums else _melody(instrument, generator, beat)
    _append_notes(track, events, channel, beat)
    return mido.MidiFile(type=0, ticks_per_beat=TICKS, tracks=[track])


def _melody(instrument: Instrument, generator: numpy.random.Generator, beat: float):
    scale, root = SCALES[generator.integers(len(SCALES))], generator.integers(12)
    pitches = [p for p in range(instrument.low, instrument.high + 1) if (p - root) % 12 in scale]
    place, time, stop = generator.integers(len(pitches)), 0.0, generator.uniform(*PHRASE_SECONDS)
    legato, loudness = generator.uniform(0.3, 1.1), generator.uniform(45, 115)
    while time < stop:
        length = beat * generator.choice([0.25, 0.5, 0.5, 1.0, 1.0, 2.0])
        if generator.random() < 0.1:
            time += length
            continue
        place = int(numpy.clip(place + generator.integers(-4, 5), 0, len(pitches) - 1))
        velocity = int(numpy.clip(loudness + generator.normal(0, 12), 20, 127))
        yield time, time + length * legato, pitches[place], velocity
        if generator.random() < instrument.polyphony:
            yield time, time + length * legato, pitches[min(place + 2, len(pitches) - 1)], velocity
        time += length


def _drum_notes(instrument: Instrument, generator: numpy.random.Generator, beat: float):
    grid = beat * generator.choice([0.25, 0.5, 1.0])
    pattern = generator.random(8) < generator.uniform(0.25, 0.9)
    pattern[generator.integers(8)] = True
    loudness, stop = generator.uniform(50, 120), generator.uniform(*PHRASE_SECONDS)
    for index in range(max(1, int(stop / grid))):
        if pattern[index % 8]:
            time = max(0.0, index * grid + generator.normal(0, 0.008))
            velocity = int(numpy.clip(loudness + generator.normal(0, 15), 20, 127))
            yield time, time + min(grid, 0.4), int(generator.choice(instrument.drums)), velocity


def _append_notes(track: mido.MidiTrack, notes, channel: int, beat: float) -> None:
    events = []
    for start, stop, pitch, velocity in notes:
        events.append((start, "note_on", pitch, velocity))
        events.append((stop, "note_off", pitch, 0))
    now = 0
    for time, kind, pitch, velocity in sorted(events):
        tick = round(time / beat * TICKS)
        track.append(mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick


def render(phrase: mido.MidiFile, sound_font: Path) -> torch.Tensor:
    """The phrase as mono samples [time] at 16 kHz, rendered by fluidsynth."""
    with tempfile.TemporaryDirectory() as folder:
        score, wave = Path(folder) / "phrase.mid", Path(folder) / "phrase.wav"
        phrase.save(score)
        command = ["fluidsynth", "-ni", "-q", "-g", "0.7", "-r", "44100", "-F", wave, sound_font, score]
        subprocess.run(command, check=True, capture_output=True)
        return read_mono(wave)
