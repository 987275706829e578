"""Mixtures of the real pieces of the corpora, where they lie beside this checkout."""

import pytest
from places import SHARED

from data_prep.benchmark_sets import SEED, own_rate_spans, split_benchmarks
from unsep_lib.data.clips import read_manifest, write_manifest
from unsep_lib.data.mixture_sets import MixtureSet, checksum, draw_mixtures
from unsep_lib.data.prepare import read_corpus

CORPORA = SHARED / "data"
SELECTION = "c09ccbca4e92e83494d3fdebb54b6e1fcae8acb5c641f55f6eeaeed1a55d7a3d"
DRAWN = "4983947796c79bd9ee3d91efb3f78686ab756b3f6287fbfa3fc05415a3eeba86"

pytestmark = pytest.mark.skipif(
    not CORPORA.is_dir(), reason="the real pieces of the corpora are not beside this checkout"
)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """(speech, sounds) of the test splits, by way of manifests."""
    folder, groups = tmp_path_factory.mktemp("manifests"), []
    for corpus in ("LibriSpeech", "FSDKaggle2018"):
        write_manifest(folder / f"{corpus}.jsonl", read_corpus(CORPORA / corpus).clips)
        groups.append([clip for clip in read_manifest(folder / f"{corpus}.jsonl") if clip.split == "test"])
    return groups


def test_the_benchmark_set_is_the_one_that_was_scored(held_out):
    speech, sounds = split_benchmarks(*held_out)["selection"]
    clips = [own_rate_spans(clip) for clip in speech], [own_rate_spans(clip) for clip in sounds]
    assert checksum(draw_mixtures("1speech-1sound", *clips, len(sounds), SEED)) == SELECTION


def test_a_set_of_real_pieces_has_its_checksum(held_out):
    assert checksum(MixtureSet("1speech-1sound", *held_out, 50, 0)) == DRAWN
