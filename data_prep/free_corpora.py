"""Free audio for the priors: snapshots of public git repositories → 16 kHz FLAC files and two manifests of clips.

    python -m data_prep.free_corpora --snapshots DIR --out DIR

A snapshot is a git clone in a folder owner+name of DIR; those that are missing are left out. Sounds get a class of
FSDKaggle2018's 41, or a name that begins with "other", which no prior has as a label; voices get their speaker's
folder. One recording in five, chosen by the hash of its name (all microphones and takes of a hit together), is split
"test"; so are the speakers of `TEST_SPEAKERS`. Some classes of sound are left out whole, so that they stay unknown to
every prior: `UNHEARD`, the Philharmonia's percussion, bassoon, contrabassoon, horn, trombone, banjo, mandolin.
The audio is not passed on. `sources.md` lists minutes and licences for the cards of the priors trained on it.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import soundfile
import soxr

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.clips import Clip, write_manifest
from unsep_lib.data.layouts import Entry
from unsep_lib.data.prepare import Skipped, describe
from unsep_lib.files import write_text
from unsep_lib.parallel import spread
from unsep_lib.reproduce.corpus_report import is_clipped

TEST_SHARE = 5  # one recording in five
MOST_FILES = 400  # of a class and a source: more of one instrument adds little
LONGEST = 30.0  # seconds of a file that are kept
AUDIO = re.compile(r"\.(wav|flac|mp3|ogg)$", re.IGNORECASE)
TEST_SPEAKERS = {  # whole voices held out: every eighth of speechocean762's, every sixth of an4's
    "speechocean762": lambda speaker: int(re.sub(r"\D", "", speaker) or 0) % 8 == 0,
    "an4": lambda speaker: zlib.crc32(speaker.encode()) % 6 == 0,
}
UNHEARD = (  # ESC-50: rooster, crow, crying baby, sneezing, mouse click, can, washing machine, vacuum cleaner, saws
    "102", "110", "301", "302", "402", "405", "406", "407", "502", "510",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A repository, its licence, and the class and recording of each of its files (None: left out)."""

    repository: str
    licence: str
    classify: Callable[[str], tuple[str, str] | None]


def by_folder(table: dict[str, str], recording: str = r"^(.*)$") -> Callable[[str], tuple[str, str] | None]:
    """Class from the first pattern that the path matches; the recording is `recording`'s group of the file's stem."""

    def classify(path: str) -> tuple[str, str] | None:
        stem = Path(path).stem
        for pattern, label in table.items():
            if re.search(pattern, path, re.IGNORECASE):
                found = re.match(recording, stem)
                return label, found.group(1) if found else stem
        return None

    return classify


PHILHARMONIA = "CC BY-SA 3.0 (Philharmonia Orchestra); not to be passed on as samples"
NOTE = r"^(.*?_[A-G]s?\d)"  # instrument and pitch: all dynamics and lengths of a note are one recording
SOURCES = (
    Source("Tonejs+audio", "CC BY 3.0 (Berklee)", by_folder({
        r"berklee/.*(chime|bell)": "Chime", r"berklee/dog": "Bark", r"berklee/gong": "Gong",
        r"berklee/.*tambourine": "Tambourine", r"berklee/cowbell": "Cowbell",
        r"berklee/key(s|ring|_jingle)": "Keys_jangling",
        r"berklee/(tear|rip|paper_rip|paper_tear)": "Tearing", r"berklee/.*squeak": "Squeak",
        r"berklee/(modern|old|computer)_phone": "Telephone", r"berklee/scissor": "Scissors",
        r"berklee/(chalk|pencil_scr)": "Writing",
        r"berklee/(glass_?break|break|shatter)": "Shatter", r"berklee/(locker|drawer)": "Drawer_open_or_close",
        r"berklee/.*(synth|FM_|FX|laser|techno|groove|analog|vocoder)": "other synthesizers",
        r"berklee/.*(water|metal|glass|wood|plastic|paper|door|hit)": "other objects", r"berklee/": "other Berklee",
    }, r"^(.*?)_?\d*[a-d]?$")),
    Source("xufuou+ESC-50", "CC0 and CC BY clips of ESC-50", lambda path: None),
    Source("skratchdot+philharmonia-samples", PHILHARMONIA, by_folder({
        r"audio/(cello)/": "Cello", r"audio/clarinet/": "Clarinet", r"audio/double bass/": "Double_bass",
        r"audio/flute/": "Flute", r"audio/oboe/": "Oboe", r"audio/saxophone/": "Saxophone",
        r"audio/guitar/": "Acoustic_guitar",
        r"audio/(bass clarinet|cor anglais|tuba|viola)/": "other instruments",
    }, NOTE)),
    Source("alpsark+PYTHON-NN-with-Philharmonia-Orchestra-datasets", PHILHARMONIA, by_folder({
        r"^trumpet/": "Trumpet", r"^violin/": "Violin_or_fiddle"}, NOTE)),
    Source("swesterfeld+spectmorph-instruments", "public domain (Iowa)", by_folder({
        r"(alto|bass)-flute/": "Flute", r"saxophone/": "Saxophone", r"^(b|e)?.{0,5}clarinet/": "Clarinet",
        r"cello/": "Cello",
        r"double-bass|contrabass/": "Double_bass", r"violin": "Violin_or_fiddle", r"trumpet": "Trumpet",
        r"oboe": "Oboe"})),
    Source("hainguyents13+mechvibes", "MIT", by_folder({r"src/audio": "Computer_keyboard"})),
    Source("JBFH-Dev+Keystroke-Datasets", "MIT", by_folder({r"Zoom|MBP": "Computer_keyboard"})),
    Source("freepats+muldjordkit", "CC BY 4.0", by_folder({
        r"samples/Hihat": "Hi-hat", r"samples/Kdrum": "Bass_drum", r"samples/Snare": "Snare_drum",
        r"samples/": "other drums"})),
    Source("freepats+spanish-classical-guitar", "CC0", by_folder({r"samples/": "Acoustic_guitar"})),
    Source("freepats+world-percussion", "CC0", by_folder({r"Tambour": "Tambourine", r"samples/": "other percussion"})),
    Source("sfzinstruments+body_percussion", "CC0", by_folder({r"snap": "Finger_snapping",
        r"Samples/": "other percussion"})),
    Source("sfzinstruments+GregSullivan.E-Pianos", "CC BY 3.0", by_folder({r"Samples/": "Electric_piano"})),
    Source("sfzinstruments+karoryfer.bear-sax", "CC0", by_folder({r"Samples/": "Saxophone"}, r"^([a-g]b?\d)")),
    Source("sfzinstruments+karoryfer.weresax", "CC0", by_folder({r"Samples/": "Saxophone"}, r"^([a-g]b?\d)")),
    Source("sfzinstruments+karoryfer.emilyguitar", "CC0", by_folder({r"notes/": "Acoustic_guitar"}, r"^([a-g]b?\d)")),
    Source("sfzinstruments+karoryfer-bigcat.cello", "CC0", by_folder({r"Samples/": "Cello"}, r"^([A-Ga-g][#b]?\d)")),
    Source("sfzinstruments+dsmolken.double-bass", "CC0", by_folder({r".": "Double_bass"}, r"^(\w+?_[a-g]b?\d)")),
    Source("fredbuhl+EmoGator", "Apache-2.0", by_folder({r"-02-": "Laughter", r"data/mp3": "other vocal bursts"},
        r"^(\d{6})")),
)  # fmt: skip
VOICES = {
    "jimbozhang+speechocean762": ("speechocean762", "CC BY 4.0", r"WAVE/(SPEAKER\d+)/"),
    "cmusphinx+an4": ("an4", "free for any purpose", r"wav/an4\w*_clstk/(\w+)/"),
}
ESC_CLASSES = {
    "101": "Bark", "106": "Meow", "305": "Cough", "307": "Laughter", "303": "Applause", "401": "Knock",
    "403": "Computer_keyboard", "410": "Shatter", "509": "Fireworks", "507": "Chime", "404": "Squeak",
}  # fmt: skip
ESC_OTHERS = {"1": "other animals", "2": "other nature", "3": "other human", "4": "other domestic", "5": "other urban"}


def git(folder: Path, *arguments: str) -> bytes:
    """Output of git on a bare repository."""
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=True).stdout


def blobs(folder: Path, paths: list[str]) -> Iterator[tuple[str, bytes]]:
    """Contents of files of the newest commit, those that the snapshot lacks left out."""
    with subprocess.Popen(
        ["git", "-C", folder, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for path in paths:
            process.stdin.write(f"HEAD:{path}\n".encode())
            process.stdin.flush()
            header = process.stdout.readline().decode().split()
            if header[-1].isdigit():
                content = process.stdout.read(int(header[-1]))
                process.stdout.read(1)
                yield path, content
        process.stdin.close()


def esc_classes(folder: Path) -> Callable[[str], tuple[str, str] | None]:
    """ESC-50's free clips: CC0 and CC BY by the list in its README; a Freesound id is one recording."""
    readme = git(folder, "show", "HEAD:README.txt").decode()
    free = set(re.findall(r"^- \[([^]]+)\]: .*\[(?:CC0|CC-BY)\]\s*$", readme, re.MULTILINE))

    def classify(path: str) -> tuple[str, str] | None:
        number, name = path[:3], Path(path).name
        if name not in free or number in UNHEARD:
            return None
        return ESC_CLASSES.get(number, ESC_OTHERS[number[0]]), name.split("-")[1]

    return classify


def decoded(content: bytes) -> numpy.ndarray | None:
    """Mono samples at 16 kHz, at most 30 s and below full scale; None for what is no audio."""
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    mono = soxr.resample(samples[: round(LONGEST * rate)].mean(axis=1), rate, SAMPLE_RATE)
    return mono / max(1.0, float(numpy.abs(mono).max(initial=0.0)) / 0.99)


def is_test(recording: str) -> bool:
    """One recording in five, always the same ones."""
    return zlib.crc32(recording.encode()) % TEST_SHARE == 0


def audio_paths(folder: Path) -> list[str]:
    """Audio files of the newest commit."""
    listed = git(folder, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")
    return [path for path in listed if AUDIO.search(path)]


def chosen(folder: Path, classify: Callable[[str], tuple[str, str] | None]) -> dict[str, tuple[str, str]]:
    """Path → (class, recording), at most `MOST_FILES` of a class, spread evenly over their names."""
    found = {path: one for path in audio_paths(folder) if (one := classify(path)) is not None}
    kept = {}
    for label in sorted({one[0] for one in found.values()}):
        paths = [path for path in found if found[path][0] == label]
        stride = max(1, -(-len(paths) // MOST_FILES))
        kept |= {path: found[path] for path in paths[::stride]}
    return kept


def extract(
    folder: Path, out: Path, files: dict[str, tuple[str, str]], corpus: str, label: str | None
) -> Iterator[Entry]:
    """Write files as FLAC below `out`, a folder per class or speaker, and yield their entries."""
    for path, content in blobs(folder, list(files)):
        group, recording = files[path]
        target = out / group.replace(" ", "_") / f"{corpus}__{re.sub(r'[^A-Za-z0-9#-]+', '_', path)}.flac"
        if not target.is_file():
            samples = decoded(content)
            if samples is None or not len(samples):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, samples, SAMPLE_RATE, subtype="PCM_16")
        held = TEST_SPEAKERS[corpus](group) if corpus in TEST_SPEAKERS else is_test(f"{corpus}/{recording}")
        yield Entry(target, group if label is None else label, "test" if held else "train")


def by_speaker(pattern: str) -> Callable[[str], tuple[str, str] | None]:
    """The speaker in a path, as class and as recording."""

    def classify(path: str) -> tuple[str, str] | None:
        found = re.search(pattern, path)
        return (found.group(1), found.group(1)) if found else None

    return classify


def main() -> None:
    """Extract, describe and list all sources that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[str, Entry]]] = {"sounds": [], "speech": []}
    licences = {}
    for source in SOURCES:
        folder, corpus = arguments.snapshots / source.repository, source.repository.split("+")[1]
        if folder.is_dir():
            classify = esc_classes(folder) if corpus == "ESC-50" else source.classify
            files = chosen(folder, classify)
            entries = list(extract(folder, arguments.out / "sounds", files, corpus, None))
            found["sounds"] += [(corpus, entry) for entry in entries]
            licences[corpus] = source.licence
            print(f"{source.repository}: {len(entries)} files", flush=True)
    for repository, (corpus, licence, pattern) in VOICES.items():
        folder = arguments.snapshots / repository
        if folder.is_dir():
            classify = by_speaker(pattern)
            files = {path: one for path in audio_paths(folder) if (one := classify(path)) is not None}
            entries = list(extract(folder, arguments.out / "speech" / corpus, files, corpus, ""))
            found["speech"] += [(corpus, entry) for entry in entries]
            licences[corpus] = licence
            print(f"{repository}: {len(entries)} files", flush=True)
    clips = {name: without_duplicates(described(entries)) for name, entries in found.items()}
    for name, kept in clips.items():
        write_manifest(arguments.out / f"{name}.jsonl", kept)
        print(f"{name}: {len(kept)} of {len(found[name])} files are clips")
    write_text(arguments.out / "sources.md", sources_table([*clips["sounds"], *clips["speech"]], licences))


def described(entries: Sequence[tuple[str, Entry]]) -> list[Clip]:
    """The clips of (corpus, entry)s; silent files and what is no audio are left out."""
    return [one for one in spread(_described, entries) if isinstance(one, Clip)]


def _described(entry: tuple[str, Entry]) -> Clip | Skipped:
    return describe(*entry)


def without_duplicates(clips: Sequence[Clip]) -> list[Clip]:
    """The first of clips with the same content, clipped ones left out."""
    return list({clip.sha256: clip for clip in reversed(clips) if not is_clipped(clip)}.values())[::-1]


def sources_table(clips: Sequence[Clip], licences: Mapping[str, str]) -> str:
    """A card's table: clips and minutes of each corpus that are trained on and held out, and its licence."""
    minutes: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"train": [], "test": []})
    for clip in clips:
        minutes[clip.corpus][clip.split].append(clip.seconds / 60)
    rows = [
        f"| {corpus} | {len(part['train'])} | {sum(part['train']):.1f} | {len(part['test'])} | {licences[corpus]} |"
        for corpus, part in sorted(minutes.items())
    ]
    head = ["| corpus | clips | minutes | held out | licence |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    main()
