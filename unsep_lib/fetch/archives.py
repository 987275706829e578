"""Where the corpora lie, and the hashes of their archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

TORCHAUDIO = "torchaudio 2.11.0's table of data sets"
ZENODO_AT_SECOND_HAND = "Zenodo's record 2552860 as another project's loader repeats it, not read on the record itself"
OPENSLR_12 = "https://www.openslr.org/resources/12"
ZENODO_2552860 = "https://zenodo.org/records/2552860/files"
DATASHARE_3443 = "https://datashare.ed.ac.uk/bitstream/handle/10283/3443"


@dataclass(frozen=True)
class Archive:
    """An archive of a corpus.

    folder: what it becomes, relative to the user's folder of corpora; holds: a folder that is in there afterwards;
    hash: `algorithm:hexadecimal`, or None where none is known; origin: who states the hash.
    """

    url: str
    folder: str
    holds: str = ""
    hash: str | None = None
    origin: str = ""

    @property
    def file_name(self) -> str:
        """The archive's own name."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Corpus:
    """A corpus: its archives, the folder that `unsep data prepare` takes, and its terms."""

    archives: tuple[Archive, ...]
    folder: str
    terms: str


def _librispeech(part: str, sha256: str) -> Corpus:
    archive = Archive(f"{OPENSLR_12}/{part}.tar.gz", "LibriSpeech", part, f"sha256:{sha256}", TORCHAUDIO)
    return Corpus((archive,), "LibriSpeech", "CC BY 4.0")


def _fsdkaggle2018(part: str, md5: str) -> Archive:
    name = f"FSDKaggle2018.{part}"
    return Archive(f"{ZENODO_2552860}/{name}.zip", f"FSDKaggle2018/{name}", "", f"md5:{md5}", ZENODO_AT_SECOND_HAND)


CORPORA = {
    "vctk": Corpus(
        (
            Archive(
                f"{DATASHARE_3443}/VCTK-Corpus-0.92.zip",
                "VCTK-Corpus-0.92",
                "wav48_silence_trimmed",
                "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
                TORCHAUDIO,
            ),
        ),
        "VCTK-Corpus-0.92",
        "CC BY 4.0",
    ),
    "fsdkaggle2018": Corpus(
        (
            _fsdkaggle2018("meta", "f16828ac8be0e5285b9175a12f90d784"),
            _fsdkaggle2018("doc", "4f2d1ac88f33a62f9db3108b269ee1b7"),
            _fsdkaggle2018("audio_test", "f85c8665c3fc39311ea1b748e194a81d"),
            _fsdkaggle2018("audio_train", "a8b47ff4b52022c178f88fa5c6f080d0"),
        ),
        "FSDKaggle2018",
        "a licence for each clip, in FSDKaggle2018.meta",
    ),
    "librispeech-train-clean-100": _librispeech(
        "train-clean-100", "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"
    ),
    "librispeech-test-other": _librispeech(
        "test-other", "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"
    ),
}
