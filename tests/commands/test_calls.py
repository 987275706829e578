"""What a command does, one call of the same words does in Python: the same files, byte for byte."""

import json

import pytest
import soundfile
import torch
from command_line import noise, write

from unsep_lib import enrol, evaluate, load_prior, mix, prepare, train
from unsep_lib.__main__ import main
from unsep_lib.data.clips import read_manifest
from unsep_lib.priors.checkpoints import card_of

RATE = 16_000


@pytest.fixture
def corpus(tmp_path):
    """A folder of six labelled noises of two seconds, for two classes, and a file that is no audio."""
    for label, seeds in {"bell": (1, 2, 3), "drum": (4, 5, 6)}.items():
        for seed in seeds:
            write(tmp_path / "corpus" / label / f"{seed}.wav", noise(1, 2 * RATE, seed=seed).numpy())
    (tmp_path / "corpus" / "bell" / "broken.wav").write_bytes(b"RIFF")
    return tmp_path / "corpus"


@pytest.fixture
def manifest(corpus, tmp_path):
    prepare(corpus, tmp_path / "clips.jsonl", workers=1)
    return tmp_path / "clips.jsonl"


def run(*words):
    assert main([str(word) for word in words]) == 0


def test_prepare(corpus, tmp_path, capsys):
    run("data", "prepare", corpus, "--out", tmp_path / "command.jsonl", "--split", "test", "--workers", 1)
    said = capsys.readouterr()
    seen = []
    prepared = prepare(corpus, tmp_path / "call.jsonl", split="test", workers=1, on_read=seen.append)
    assert (tmp_path / "command.jsonl").read_bytes() == (tmp_path / "call.jsonl").read_bytes()
    assert (len(prepared.clips), len(prepared.skipped), prepared.read, prepared.changed) == (6, 1, 7, True)
    assert "6 clips" in said.out and said.err.count("skipped: ") == 1
    assert [len(one.clips) for one in seen] == [6] and not seen[0].changed
    again = prepare(corpus, tmp_path / "call.jsonl", split="test", workers=1)
    assert (again.read, again.changed) == (0, False)
    assert prepare(corpus, tmp_path / "call.jsonl", split="test", workers=1, fresh=True).read == 7


def test_prepare_of_nothing_usable_writes_nothing(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="none of 1 files could be used"):
        prepare(tmp_path / "broken", tmp_path / "m.jsonl", workers=1)
    with pytest.raises(ValueError, match="expected a label in one line without"):
        prepare(tmp_path / "broken", tmp_path / "m.jsonl", label="a:b")
    assert not (tmp_path / "m.jsonl").exists()


def test_mix(manifest, tmp_path, capsys):
    words = {"task": "2sounds", "count": 2, "seed": 3, "split": "train"}
    options = [part for name, value in words.items() for part in (f"--{name}", value)]
    run("data", "mix", *options, "--sounds", manifest, "--out", tmp_path / "command", "--workers", 1)
    total = mix(tmp_path / "call", **words, sounds=[manifest], workers=1)
    assert total in capsys.readouterr().out
    files = sorted(path.relative_to(tmp_path / "call") for path in (tmp_path / "call").rglob("*.*") if path.is_file())
    assert len(files) == 2 * 4 + 1
    for file in files:
        assert (tmp_path / "command" / file).read_bytes() == (tmp_path / "call" / file).read_bytes()


def test_evaluate(home, manifest, tmp_path):
    clips = [clip for clip in read_manifest(manifest) if clip.label == "bell"]
    for number in (1, 2):
        folder = tmp_path / "mixtures" / f"pair_{number}"
        parts = [soundfile.read(clip.file)[0] for clip in clips[number - 1 : number + 1]]
        for place, part in enumerate(parts, start=1):
            write(folder / f"source_{place}.wav", part[None])
        write(folder / "mix.wav", sum(parts)[None])
    words = {"solver": "projection", "steps": 2, "seed": 1}
    options = [part for name, value in words.items() for part in (f"--{name}", value)]
    sources = ["speech", "sound:Cello"]
    given = [part for source in sources for part in ("--source", source)]
    run("evaluate", "--mixtures", tmp_path / "mixtures", *given, *options, "--only", "pair", "--part", "2/2",
        "--json", tmp_path / "e.json")  # fmt: skip
    by_command = json.loads((tmp_path / "e.json").read_text())
    started = []
    found = evaluate(
        tmp_path / "mixtures", source=sources, only="pair", part=(2, 2), on_start=started.extend, **words
    ).as_json()
    measured = {"seconds_per_mixture", "peak_memory_mb"}
    assert {name: found[name] for name in found.keys() - measured} == {
        name: by_command[name] for name in by_command.keys() - measured
    }
    assert [row["mixture"] for row in found["rows"]] == ["pair_2"] * 2
    assert [mixture.name for mixture in started] == ["pair_2"]
    with pytest.raises(ValueError, match="mixtures: no mixture's name starts with 'trio'"):
        evaluate(tmp_path / "mixtures", source=sources, only="trio")


def weights_of(name):
    return load_prior(name, precision=torch.float32).state_dict()


def same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_train(home, manifest, tmp_path):
    words = {"steps": 2, "batch": 2, "rate": 0.5, "seed": 4}
    options = [part for name, value in words.items() for part in (f"--{name}", value)]
    run("train", "command", "--data", manifest, *options, "--widths", 8, 8, "--blocks", 1, 1)
    labels = []
    path = train("call", [manifest], widths=(8, 8), blocks=(1, 1), on_start=labels.append, **words)
    assert path == home / "priors" / "call.safetensors" and labels == [("bell", "drum")]
    same_weights(weights_of("command"), weights_of("call"))
    assert card_of(path)["recipe"] == card_of(home / "priors" / "command.safetensors")["recipe"]
    own = train("own", [manifest], out=tmp_path / "run", from_="call", **words)
    assert own == tmp_path / "run" / "own.safetensors" and not (home / "priors" / "own.safetensors").exists()
    with pytest.raises(ValueError, match="expected --from, which keeps its prior's shape"):
        train("own", [manifest], from_="call", widths=(8, 8), **words)


def test_enrol(home, manifest):
    recordings = [clip.file for clip in read_manifest(manifest)[:3]]
    run("enrol", "command", *recordings, "--steps", 2)
    path = enrol("call", recordings, steps=2)
    assert path == home / "priors" / "call.safetensors"
    same_weights(weights_of("command"), weights_of("call"))
    with pytest.raises(ValueError, match="a prior called 'call' is there already"):
        enrol("call", recordings, steps=2)
    assert enrol("call", recordings, steps=2, replace=True) == path
