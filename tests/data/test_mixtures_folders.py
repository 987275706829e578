import math

import numpy
import pytest
import soundfile
import torch

from unsep_lib.data.mixtures import Mixture, read_mixture, read_mixtures, write_mixture
from unsep_lib.source_spec import parse_spec

RATE = 16_000
SIXTEEN_BIT = 1 / 32_768


def noise(length, seed=0, level=0.1):
    return level * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def seed_of(name):
    return sum(name.encode())


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


def test_digits_that_are_no_numbers_are_names(tmp_path):
    for name in ("mix", "source_1²", "source_1³"):
        soundfile.write(tmp_path / f"{name}.wav", noise(100, seed_of(name)).numpy(), RATE, subtype="FLOAT")
    found = read_mixture(tmp_path, [parse_spec("speech")] * 2)
    assert torch.equal(found.sources[1], noise(100, seed_of("source_1³")))


def test_foreign_names_and_given_specifications_are_accepted(tmp_path):
    for name in ("mix", "real_1", "real_2"):
        soundfile.write(tmp_path / f"{name}.wav", noise(100, seed_of(name)).numpy(), RATE, subtype="FLOAT")
    specs = [parse_spec("speech"), parse_spec("sound:Gong")]
    found = read_mixture(tmp_path, specs)
    assert found.specs == tuple(specs)
    assert torch.equal(found.sources[1], noise(100, seed_of("real_2")))


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
