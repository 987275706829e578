import numpy
import pytest
import soundfile
import torch

from unsep_lib.data.clips import Clip, read_crop, read_manifest, write_manifest
from unsep_lib.data.embedded import EMBEDDED

RATE = 16_000


def test_a_manifest_of_before_is_written_back_byte_by_byte(tmp_path):
    text = (EMBEDDED / "manifest.jsonl").read_text(encoding="utf-8")
    for name in ("clips", "mixtures"):
        (tmp_path / name).mkdir()
    (tmp_path / "manifest.jsonl").write_text(text, encoding="utf-8")
    write_manifest(tmp_path / "manifest.jsonl", read_manifest(tmp_path / "manifest.jsonl"))
    assert (tmp_path / "manifest.jsonl").read_text(encoding="utf-8") == text


def test_everything_that_was_measured_is_read_back(tmp_path):
    spans = ((0.1, 0.30000000000000004),)
    measured = {
        "verified": False,
        "level": -23.4,
        "peak": 0.7,
        "clipped": 4,
        "size": 1,
        "modified": 1_700_000_000_123_456_789,
    }
    clip = Clip("F", str(tmp_path / "a.wav"), "00", "Cello", "train", RATE, 3 * RATE, spans, **measured)
    write_manifest(tmp_path / "m.jsonl", [clip])
    assert read_manifest(tmp_path / "m.jsonl") == [clip]


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_crop_in_double_precision_is_the_same_crop(rate, tmp_path):
    samples = 0.3 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(2 * rate) / rate)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    clip = Clip("F", str(tmp_path / "a.wav"), "", "", "train", rate, 2 * rate, ())
    single, double = (read_crop(clip, 0.5, 1.0, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single, double.float(), atol=1e-5, rtol=0)
