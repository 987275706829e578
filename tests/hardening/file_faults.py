"""Tables, lists and folders that are broken or hostile."""

from __future__ import annotations

import json
from functools import partial

from hardening.audio_faults import recorded
from hardening.cases import Fault

DEEP = 100_000  # brackets; a recursive parser has no such depth


def written(folder, content, name):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return folder / name


def gone(folder, name):
    return folder / name


def folder_called(folder, name):
    (folder / name).mkdir()
    return folder / name


def everywhere(name, missing, damaged):
    """Faults that any kind of file may have."""
    return (
        Fault("missing", partial(gone, name=name), missing),
        Fault("a folder", partial(folder_called, name=name), missing),
        Fault("binary", partial(written, content=bytes(range(256)) * 4, name=name), damaged),
        Fault("UTF-16", partial(written, content="name = 'x'\n".encode("utf-16"), name=name), damaged),
        Fault("nested", partial(written, content="a = " + "[" * DEEP, name=name), damaged),
    )


PROFILE = {
    "train_steps": "4", "mixtures_per_task": "1", "seeds": "1", "solver": '"projection"',
    "steps": "{ projection = 1 }", "truth_seeds": "8", "speech_prior": '"speech"',
    "sound_prior": '"sound"', "device": '"cpu"', "speech_data": '""', "sound_data": '""',
}  # fmt: skip


def profile(folder, name="own.toml", extra="", **changes):
    table = PROFILE | changes
    return written(folder, "".join(f"{key} = {value}\n" for key, value in table.items() if value) + extra, name)


NO_TOML = "not a TOML file"
PROFILES = (
    *everywhere("own.toml", "unknown profile", NO_TOML),
    Fault("empty", partial(written, content="", name="own.toml"), "is missing"),
    Fault("truncated", partial(written, content="solver = 'proj", name="own.toml"), NO_TOML),
    Fault("key twice", partial(profile, extra="seeds = 2\n"), NO_TOML),
    Fault("key unknown", partial(profile, extra="speed = 2\n"), "unknown key 'speed'"),
    Fault("key missing", partial(profile, seeds=""), "'seeds' is missing"),
    Fault("another type", partial(profile, seeds='"two"'), "'seeds': expected an integer"),
    Fault("NaN", partial(profile, train_steps="nan"), "'train_steps': expected an integer"),
    Fault("infinity", partial(profile, train_steps="inf"), "'train_steps': expected an integer"),
    Fault("negative", partial(profile, steps="{ projection = -1 }"), "'projection': expected a number above 0"),
    Fault("zero", partial(profile, seeds="0"), "'seeds': expected a number above 0"),
    Fault("too large for a float", partial(profile, train_steps="1" + "0" * 400), "'train_steps'"),
    Fault("4301 digits", partial(profile, seeds="1" * 4301), NO_TOML),
    Fault("as meant", profile),
    *(
        Fault(f"name: {kind}", partial(profile, name=name))
        for kind, name in {
            "spaces": "my own.toml",
            "emoji": "🎛.toml",
            "newline": "a\nb.toml",
            "dash": "-a.toml",
        }.items()
    ),
)

EXPERIMENT = 'mixtures = "{mixtures}"\nseeds = {seeds}\nsolvers = [{{ name = "{solver}", steps = {steps} }}]\n{more}'


def experiment(folder, name="own.toml", mixtures="", seeds="[0]", solver="projection", steps="[1]", more=""):
    text = EXPERIMENT.format(
        mixtures=mixtures or mixture(folder).parent, seeds=seeds, solver=solver, steps=steps, more=more
    )
    return written(folder, text, name)


EXPERIMENTS = (
    *everywhere("own.toml", "unknown experiment", NO_TOML),
    Fault("empty", partial(written, content="", name="own.toml"), "is missing"),
    Fault("truncated", partial(written, content="seeds = [0,", name="own.toml"), NO_TOML),
    Fault("key unknown", partial(experiment, more="speed = 2\n"), "unknown key 'speed'"),
    Fault("another type", partial(experiment, seeds='["two"]'), "expected an integer"),
    Fault("seeds twice", partial(experiment, seeds="[1, 1]"), "each item of 'seeds' once"),
    Fault("seeds none", partial(experiment, seeds="[]"), "at least one item in 'seeds'"),
    Fault("seed negative", partial(experiment, seeds="[-1]"), "'seeds', item 1: expected 0 or above"),
    Fault("seed 2⁶⁴", partial(experiment, seeds=f"[{2**64}]")),
    Fault("seed of 4301 digits", partial(experiment, seeds=f"[{'1' * 4301}]"), NO_TOML),
    Fault("steps 0", partial(experiment, steps="[0]"), "'steps', item 1: expected 1 or above"),
    Fault("solver unknown", partial(experiment, solver="magic"), "magic"),
    Fault("mixtures missing", partial(experiment, mixtures="/nowhere"), "no such folder of mixtures"),
    Fault("seconds NaN", partial(experiment, more="conditions = [{ name = 'a', seconds = nan }]\n"), "'seconds'"),
    Fault("seconds infinite", partial(experiment, more="conditions = [{ name = 'a', seconds = inf }]\n"), "'seconds'"),
    Fault(
        "level NaN",
        partial(experiment, more="conditions = [{ name = 'a', level_difference = nan }]\n"),
        "'level_difference'",
    ),
    Fault("label unknown", partial(experiment, more="conditions = [{ name = 'a', absent = 'sound:Gong' }]\n"), "Gong"),
    Fault(
        "priors missing", partial(experiment, more="priors = [{ name = 'a', files = { speech = 'gone' } }]\n"), "'gone'"
    ),
    Fault("device unknown", partial(experiment, more="device = 'abacus'\n"), "device 'abacus'"),
    Fault("as meant", experiment),
    *(
        Fault(f"name: {kind}", partial(experiment, name=name))
        for kind, name in {"spaces": "my own.toml", "emoji": "🎛.toml", "newline": "a\nb.toml"}.items()
    ),
)


def row(folder, **changes):
    fields = {
        "corpus": "c", "file": "a.wav", "sha256": "", "label": "", "split": "train", "sample_rate": 16_000,
        "frames": 1600, "spans": [[0.0, 0.1]],
    }  # fmt: skip
    return {key: value for key, value in (fields | changes).items() if value is not None}


def manifest(folder, text=None, **changes):
    """Two clips of two corpora: voices of two speakers."""
    recorded(folder)
    rows = [row(folder, **changes), row(folder, **({"corpus": "d", "sha256": "1"} | changes))]
    return written(folder, "".join(json.dumps(one) + "\n" for one in rows) if text is None else text, "m.jsonl")


NO_CLIP = "line 1: not a clip"
MANIFESTS = (
    *everywhere("m.jsonl", "no such manifest", "not a "),
    Fault("empty", partial(manifest, text=""), "got"),
    Fault("truncated", partial(manifest, text=json.dumps(row(None))[:60]), NO_CLIP),
    Fault("blank line", partial(manifest, text="\n"), NO_CLIP),
    Fault("a list", partial(manifest, text="[1]\n"), NO_CLIP),
    Fault("a number", partial(manifest, text="1\n"), NO_CLIP),
    Fault("line nested", partial(manifest, text="[" * DEEP), NO_CLIP),
    Fault("4301 digits", partial(manifest, text='{"frames": ' + "1" * 4301 + "}"), NO_CLIP),
    Fault("field missing", partial(manifest, frames=None), NO_CLIP),
    Fault("frames of words", partial(manifest, frames="many"), NO_CLIP),
    Fault("frames negative", partial(manifest, frames=-1), NO_CLIP),
    Fault("frames 0", partial(manifest, frames=0), NO_CLIP),
    Fault("frames infinite", partial(manifest, frames=float("inf")), NO_CLIP),
    Fault("rate 0", partial(manifest, sample_rate=0), NO_CLIP),
    Fault("rate of words", partial(manifest, sample_rate="16 kHz"), NO_CLIP),
    Fault("label a number", partial(manifest, label=3), NO_CLIP),
    Fault("split unknown", partial(manifest, split="validation"), NO_CLIP),
    Fault("file a number", partial(manifest, file=3), NO_CLIP),
    Fault("file with a zero byte", partial(manifest, file="a\0.wav"), NO_CLIP),
    Fault("file empty", partial(manifest, file=""), "no such audio file"),
    Fault("file gone", partial(manifest, file="gone.wav"), "no such audio file"),
    Fault("spans a number", partial(manifest, spans=3), NO_CLIP),
    Fault("spans of words", partial(manifest, spans=[["a", "b"]]), NO_CLIP),
    Fault("span NaN", partial(manifest, spans=[[0.0, float("nan")]]), NO_CLIP),
    Fault("span infinite", partial(manifest, spans=[[0.0, float("inf")]]), NO_CLIP),
    Fault("span backwards", partial(manifest, spans=[[0.1, 0.0]]), NO_CLIP),
    Fault("span negative", partial(manifest, spans=[[-1.0, 0.1]]), NO_CLIP),
    Fault("level of words", partial(manifest, level="loud"), NO_CLIP),
    Fault("more frames than the file", partial(manifest, frames=16_000)),
    Fault("no spans", partial(manifest, spans=[])),
    Fault("spans beyond the file", partial(manifest, spans=[[0.0, 5.0]])),
    Fault("field unknown", partial(manifest, colour="red")),
    Fault(
        "Windows lines",
        lambda folder: written(folder, manifest(folder).read_bytes().replace(b"\n", b"\r\n"), "m.jsonl"),
    ),
    Fault("as prepared", manifest),
)


def mixture(folder, labels="speech\nsound:Cello\n", count=2, folder_name="a_0", **changed):
    """A folder of one mixture; changed: file stem → how `recorded` writes it, None for not at all."""
    inner = folder / "mixtures" / folder_name
    inner.mkdir(parents=True)
    for stem in ("mix", *(f"source_{number}" for number in range(1, count + 1))):
        how = changed.get(stem, {})
        if how is not None:
            recorded(inner, **({"name": f"{stem}.wav"} | how))
    if labels is not None:
        written(inner, labels, "labels.txt")
    return inner


def all_mixtures(folder, **changes):
    return mixture(folder, **changes).parent


def among_others(folder, folder_name="b_0", **changes):
    """Two mixtures as made, and between them one that differs."""
    for name in ("a_0", "c_0"):
        mixture(folder, folder_name=name)
    return mixture(folder, folder_name=folder_name, **changes).parent


def no_subfolder(folder):
    (folder / "mixtures").mkdir()
    return folder / "mixtures"


def labels_folder(folder):
    (mixture(folder, labels=None) / "labels.txt").mkdir()
    return folder / "mixtures"


MIXTURES = (
    Fault("missing", partial(gone, name="mixtures"), "no such folder of mixtures"),
    Fault("a file", partial(written, content="x", name="mixtures"), "no such folder of mixtures"),
    Fault("no subfolder", no_subfolder, "expected a subfolder for each mixture"),
    Fault("no mix", partial(all_mixtures, mix=None), "expected a mix.wav"),
    Fault("no references", partial(all_mixtures, count=0), "expected references"),
    Fault("one label", partial(all_mixtures, labels="speech\n"), "one source specification for each of 2"),
    Fault("no labels", partial(all_mixtures, labels=None), "one source specification for each of 2"),
    Fault("labels a folder", labels_folder, "one source specification for each of 2"),
    Fault("labels binary", partial(all_mixtures, labels=b"\xff\xfe\n"), "labels.txt"),
    Fault("labels no source", partial(all_mixtures, labels="a:b:c\nspeech\n"), "expected a source such as"),
    Fault("label unknown", partial(all_mixtures, labels="speech\nsound:Gong\n"), "unknown label 'Gong'"),
    Fault("prior unknown", partial(all_mixtures, labels="speech\nghost\n"), "unknown prior 'ghost'"),
    Fault("too many sources", partial(all_mixtures, labels="speech\n" * 100, count=100), "at most 16 sources, got 100"),
    Fault("another rate", partial(all_mixtures, source_1={"rate": 8000}), "length, rate and channels of mix.wav"),
    Fault("as made", all_mixtures),
    Fault("an empty one", partial(among_others, mix=None, count=0, labels=None), "b_0: expected a mix.wav"),
    Fault("one without a label", partial(among_others, labels="speech\n"), "b_0: expected one source specification"),
    Fault("one of 17 sources", partial(among_others, labels="speech\n" * 17, count=17), "at most 16 sources, got 17"),
    Fault("one of an unknown prior", partial(among_others, labels="speech\nghost\n"), "unknown prior 'ghost'"),
    Fault("names by case", partial(among_others, folder_name="A_0")),
    Fault("one of 16 sources", partial(among_others, labels="speech\n" * 16, count=16)),
)
