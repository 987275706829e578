"""Recordings: broken ones, and strange ones that must work."""

from __future__ import annotations

import os
import struct
from functools import partial

import numpy
import soundfile
import torch
from places import REPOSITORY

from hardening.cases import Fault
from unsep_lib.windows import track

RATE = 16_000
SAMPLES = 1600
FORMATS = {
    "8-bit": ("a.wav", "PCM_U8"),
    "16-bit": ("a.wav", "PCM_16"),
    "24-bit": ("a.wav", "PCM_24"),
    "32-bit": ("a.wav", "PCM_32"),
    "float": ("a.wav", "FLOAT"),
    "float64": ("a.wav", "DOUBLE"),
    "µ-law": ("a.wav", "ULAW"),
    "FLAC": ("a.flac", "PCM_24"),
    "Ogg Vorbis": ("a.ogg", "VORBIS"),
    "MP3": ("a.mp3", "MPEG_LAYER_III"),
    "AIFF": ("a.aiff", "PCM_16"),
    "AIFF float": ("a.aiff", "FLOAT"),
    "AU": ("a.au", "PCM_16"),
    "CAF": ("a.caf", "PCM_24"),
    "ALAC": ("a.caf", "ALAC_16"),
    "W64": ("a.w64", "FLOAT"),
    "RF64": ("a.rf64", "PCM_16"),
    "VOC": ("a.voc", "PCM_16"),
    "Opus": ("a.opus", "OPUS"),
    "A-law": ("a.wav", "ALAW"),
    "ADPCM": ("a.wav", "IMA_ADPCM"),
    "8-bit FLAC": ("a.flac", "PCM_S8"),
    "upper case": ("A.WAV", "PCM_16"),
}
RATES = (8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000)
NAMES = {
    "spaces": " two  spaces .wav",
    "emoji": "🎸🥁.wav",
    "newline": "two\nlines.wav",
    "leading dash": "--out.wav",
    "shell words": "$(touch evil);`x`&'\".wav",
    "escape sequence": "\x1b[31mred.wav",
    "no UTF-8": os.fsdecode(b"caf\xe9.wav"),
    "255 bytes": "x" * 251 + ".wav",
    "accent apart": "Cafe\u0301.wav",
    "right to left": "\u202eevil\u202c.wav",
    "per cent": "100%20 %s %(x)s {0}.wav",
    "backslash": "a\\b\\..\\c.wav",
    "tab": "a\tb.wav",
    "no suffix but one": "....wav",
    "a track's name": "residual.wav",
}
CONTAINERS = {"opus": "OGG"}  # suffix → libsndfile's name of the container, where it is another
RECORDINGS = REPOSITORY / "tests" / "recordings"


def tone(samples=SAMPLES, channels=1):
    phases = numpy.arange(samples)[:, None] * numpy.linspace(0.1, 0.3, channels)
    return 0.3 * numpy.sin(phases)


def recorded(folder, samples=None, rate=RATE, name="a.wav", subtype="FLOAT"):
    with (folder / name).open("wb") as stream:
        suffix = name.rpartition(".")[2]
        soundfile.write(stream, tone() if samples is None else samples, rate, subtype=subtype,
                        format=CONTAINERS.get(suffix, suffix.upper()))  # fmt: skip
    return folder / name


def with_bytes(folder, content, name="a.wav"):
    (folder / name).write_bytes(content)
    return folder / name


def truncated(folder, keep):
    return with_bytes(folder, recorded(folder).read_bytes()[:keep])


def wav_header(channels=1, rate=RATE, bits=16, data=b"\0\0" * 100):
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * frame) & 0xFFFFFFFF, frame, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def many_claimed(folder):
    """A FLAC that claims 2³⁵ samples."""
    content = bytearray(recorded(folder, name="a.flac", subtype="PCM_16").read_bytes())
    content[21] = (content[21] & 0xF0) | 0x08
    content[22:26] = bytes(4)
    return with_bytes(folder, bytes(content), "a.flac")


def unknown_length(folder):
    """A FLAC as an encoder writes it into a pipe: its header does not say how many samples follow."""
    content = bytearray(recorded(folder, name="a.flac", subtype="PCM_16").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return with_bytes(folder, bytes(content), "a.flac")


def half_a_flac(folder):
    samples = numpy.random.default_rng(0).uniform(-0.5, 0.5, 40_000)
    content = recorded(folder, samples, name="a.flac", subtype="PCM_16").read_bytes()
    return with_bytes(folder, content[: len(content) // 2], "a.flac")


def claimed(folder, length, samples=SAMPLES):
    """A WAV whose header says that `length` bytes of samples follow."""
    content = bytearray(wav_header(data=(tone(samples) * 32767).astype("<i2").tobytes()))
    content[4:8] = content[40:44] = struct.pack("<I", length)
    return with_bytes(folder, bytes(content))


def other_chunks(folder):
    """A WAV with chunks that nobody knows before its samples."""
    content = wav_header(data=(tone() * 32767).astype("<i2").tobytes())
    chunk = b"odd " + struct.pack("<I", 5) + b"12345\0" + b"LIST" + struct.pack("<I", 4) + b"INFO"
    return with_bytes(folder, content[:36] + chunk + content[36:])


def mp3(folder, name="vbr_14s_no_xing", tag=b"", gap=b"", keep=None):
    content = (RECORDINGS / f"{name}.mp3").read_bytes()[:keep]
    return with_bytes(folder, tag + content[:5000] + gap + content[5000:], "a.mp3")


def grown(folder):
    """A track as `unsep separate` writes it."""
    with track(folder / "a.wav", RATE, 2) as write:
        write(torch.from_numpy(tone(channels=2).T.copy()).float())
    return folder / "a.wav"


def missing(folder):
    return folder / "gone.wav"


def a_folder(folder):
    (folder / "a.wav").mkdir()
    return folder / "a.wav"


def a_pipe(folder):
    os.mkfifo(folder / "a.wav")
    return folder / "a.wav"


def a_link_to_itself(folder):
    (folder / "a.wav").symlink_to(folder / "a.wav")
    return folder / "a.wav"


def spoilt(folder, value):
    samples = tone()
    samples[100] = value
    return recorded(folder, samples)


NO_AUDIO, NOTHING = "not a readable audio file", "no such audio file"
BROKEN = (
    Fault("missing", missing, NOTHING),
    Fault("a folder", a_folder, NOTHING),
    Fault("a pipe", a_pipe, NOTHING),
    Fault("a link to itself", a_link_to_itself, NOTHING),
    Fault("empty", partial(with_bytes, content=b""), NO_AUDIO),
    Fault("text", partial(with_bytes, content=b"no audio at all" * 20), NO_AUDIO),
    Fault("a picture", partial(with_bytes, content=b"\x89PNG\r\n\x1a\n" + bytes(500)), NO_AUDIO),
    Fault(
        "wrong header",
        partial(with_bytes, content=b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff" + bytes(100)),
        NO_AUDIO,
    ),
    Fault("truncated header", partial(truncated, keep=20), NO_AUDIO),
    Fault("header only", partial(with_bytes, content=wav_header(data=b"")), "holds no samples"),
    Fault("0 channels", partial(with_bytes, content=wav_header(channels=0)), NO_AUDIO),
    Fault("rate 0", partial(with_bytes, content=wav_header(rate=0)), NO_AUDIO),
    Fault(
        "rate 1",
        partial(with_bytes, content=wav_header(rate=1)),
        "expected a sample rate from 1000 to 768000 Hz, got 1",
    ),
    Fault(
        "rate 2³¹",
        partial(with_bytes, content=wav_header(rate=2**31 - 1)),
        "expected a sample rate from 1000 to 768000",
    ),
    Fault("NaN", partial(spoilt, value=numpy.nan), "NaN or infinity"),
    Fault("infinity", partial(spoilt, value=numpy.inf), "NaN or infinity"),
    Fault("claims 2³⁵ samples", many_claimed, NO_AUDIO),
    Fault("half a FLAC", half_a_flac, NO_AUDIO),
    Fault("text called MP3", partial(with_bytes, content=b"no audio at all" * 20, name="a.mp3"), NO_AUDIO),
    Fault("length 0", partial(claimed, length=0, samples=20_000), "the header says that no samples follow"),
    Fault("M4A", partial(with_bytes, content=b"\0\0\0 ftypM4A " + bytes(500), name="a.m4a"), NO_AUDIO),
)
STRANGE = (
    Fault("truncated samples", partial(truncated, keep=2000)),
    Fault("silence", partial(recorded, samples=numpy.zeros(SAMPLES))),
    Fault("DC", partial(recorded, samples=numpy.full(SAMPLES, 0.5))),
    Fault("one sample", partial(recorded, samples=numpy.full(1, 0.5))),
    Fault("8 channels", partial(recorded, samples=tone(channels=8))),
    Fault("ten times full scale", partial(recorded, samples=10 * tone())),
    Fault("subnormal", partial(recorded, samples=1e-40 * tone(), subtype="DOUBLE")),
    Fault("phase-inverted stereo", partial(recorded, samples=tone() * [1, -1])),
    Fault("one silent channel", partial(recorded, samples=tone() * [0, 1])),
    Fault("FLAC of unknown length", unknown_length),
    Fault("WAV of 4 GiB, it says", partial(claimed, length=(1 << 32) - 1)),
    Fault("unknown chunks", other_chunks),
    Fault("a track of ours", grown),
    Fault("MP3 without Xing header", mp3),
    Fault("MP3 of varying rate", partial(mp3, name="vbr_14s")),
    Fault("MP3 with an odd tag", partial(mp3, tag=b"ID3\x03\0\0\0\0\0 TIT2\x7f\x7f\x7f\x7f\0\0" + b"abc" * 8)),
    Fault("MP3 with bytes between frames", partial(mp3, gap=bytes(777))),
    Fault("truncated MP3", partial(mp3, keep=9000)),
    *(Fault(f"{rate} Hz", partial(recorded, rate=rate)) for rate in RATES),
    *(Fault(name, partial(recorded, name=file, subtype=subtype)) for name, (file, subtype) in FORMATS.items()),
    *(Fault(f"name: {name}", partial(recorded, name=file)) for name, file in NAMES.items()),
)
AUDIO = (*BROKEN, *STRANGE)
