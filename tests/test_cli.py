import functools
import json
from pathlib import Path

import fast_bss_eval
import numpy
import pytest
import soundfile
import torch

from unsep_lib.checkpoints import card_of
from unsep_lib.cli import main
from unsep_lib.evaluation import evaluate
from unsep_lib.mixtures import Mixture, write_mixture
from unsep_lib.specification import parse_spec
from unsep_lib.training import TrainingConfig

RATE = 22_050
FAST = ["--solver", "projection", "--steps", "1"]
SMALL_CONFIG = {"batch": 2, "crop_seconds": 0.25}
TORCH = torch.__version__.partition("+")[0]
STATISTIC = {"mean", "median", "low", "high"}


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T if samples.ndim == 2 else samples, rate, subtype="FLOAT")
    return path


def read(path):
    samples, rate = soundfile.read(path, always_2d=True)
    assert rate == RATE
    return samples.T


@pytest.fixture
def mixture(tmp_path):
    return write(tmp_path / "in" / "mix.wav", noise(2, 5001).numpy())


def separated(mixture, out, *sources):
    arguments = ["separate", str(mixture), "--out", str(out), *FAST]
    for source in sources:
        arguments += ["--source", source]
    return main(arguments)


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_separating_writes_a_file_a_source_that_add_up_to_the_input(home, mixture, tmp_path, capsys):
    out = tmp_path / "out"
    assert separated(mixture, out, "speech", "sound:Cello") == 0
    tracks = ("speech.wav", "sound_Cello.wav", "residual.wav")
    assert names(out) == {*tracks, "report.json"}
    numpy.testing.assert_allclose(sum(read(out / name) for name in tracks), read(mixture), atol=1e-6)
    assert capsys.readouterr().out.splitlines() == [str(out / name) for name in tracks]


def test_the_report_says_how_the_files_were_made(home, mixture, tmp_path):
    assert main(["separate", str(mixture), "--source", "speech", "--source", "sound", "--seed", "7", "--out",
                 str(tmp_path / "out"), *FAST]) == 0  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["mixture"] == str(mixture)
    assert report["sources"] == ["speech", "sound"]
    assert (report["solver"], report["steps"], report["seed"]) == ("projection", 1, 7)
    assert report["seconds"] > 0
    assert report["versions"]["torch"].partition("+")[0] == TORCH
    residual, total = read(tmp_path / "out" / "residual.wav"), read(mixture)
    expected = 10 * numpy.log10((residual**2).mean() / (total**2).mean())
    assert report["residual_db"] == pytest.approx(expected, abs=0.01)


def test_equal_sources_are_numbered_and_differ(home, mixture, tmp_path):
    assert separated(mixture, tmp_path / "out", "speech", "speech") == 0
    assert names(tmp_path / "out") == {"speech_1.wav", "speech_2.wav", "residual.wav", "report.json"}
    first, second = (read(tmp_path / "out" / f"speech_{number}.wav") for number in (1, 2))
    assert numpy.abs(first - second).max() > 1e-4


def test_one_run_with_one_seed_gives_the_same_samples_twice(home, mixture, tmp_path):
    for name in ("one", "two"):
        assert separated(mixture, tmp_path / name, "speech", "sound") == 0
    for track in ("speech.wav", "sound.wav", "residual.wav"):
        assert numpy.array_equal(read(tmp_path / "one" / track), read(tmp_path / "two" / track))


def test_silence_comes_back_as_silence(home, tmp_path):
    silent = write(tmp_path / "silent.wav", numpy.zeros((2, 3000)))
    assert separated(silent, tmp_path / "out", "speech", "sound") == 0
    for track in ("speech.wav", "sound.wav", "residual.wav"):
        assert read(tmp_path / "out" / track).shape == (2, 3000)
        assert not read(tmp_path / "out" / track).any()


def test_the_list_names_priors_labels_and_solvers(home, capsys):
    assert main(["separate", "--list"]) == 0
    priors, solvers = capsys.readouterr().out.split("solvers:\n")
    assert priors == "priors:\n  sound  (or sound:LABEL with Cello, Flute)\n  speech\n"
    listed = {line.split()[0]: line.split()[-2] for line in solvers.splitlines()}
    guided = dict.fromkeys(("hybrid", "hybrid-tuned", "dsg", "dps", "cqt-diff", "undiff"), "200")
    short = dict.fromkeys(("projection-mean", "best-of", "best-half-mean", "dirac-mean", "daps"), "20")
    single = (
        "dirac-restart",
        "dirac-contrast",
        "projection-restart",
        "projection",
        "projection-equal",
        "projection-sigma",
        "diffpir",
        "guided-tail",
        "pigdm",
        "dirac",
    )
    assert listed == short | dict.fromkeys(single, "40") | guided


def test_info_shows_versions_and_priors(home, capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.partition("+")[0].split() == ["torch", TORCH] for line in lines)
    (speech,) = (line for line in lines if "speech:" in line)
    assert "0.5 h of training" in speech and str(home / "priors" / "speech.safetensors") in speech


def missing(folder):
    return [str(folder / "gone.wav")], "no such audio file"


def corrupt(folder):
    (folder / "bad.wav").write_text("no audio at all")
    return [str(folder / "bad.wav")], "not a readable audio file"


def empty(folder):
    return [str(write(folder / "empty.wav", numpy.zeros(0)))], "holds no samples"


def not_a_number(folder):
    return [str(write(folder / "nan.wav", numpy.array([0.1, numpy.nan])))], "NaN or infinity"


def good_but(*more, message):
    """A good file with an impossible option."""

    def fault(folder):
        return [str(write(folder / "mix.wav", noise(500).numpy())), *more], message

    return fault


BAD = {
    "missing": missing,
    "corrupt": corrupt,
    "empty": empty,
    "not a number": not_a_number,
    "unknown label": good_but("--source", "sound:Gong", message="unknown label 'Gong'"),
    "label of a prior without": good_but("--source", "speech:en", message="this prior's labels are none"),
    "unknown prior": good_but("--source", "ghost", message="unknown prior 'ghost': known are sound, speech"),
    "no specification": good_but("--source", "a:b:c", message="got 'a:b:c'"),
    "unknown solver": good_but("--solver", "magic", message="unknown solver 'magic'"),
    "no steps": good_but("--steps", "0", message="at least 1 step, got 0"),
    "too many steps": good_but("--solver", "hybrid", "--steps", "201", message="1 to 200 steps"),
    "negative seed": good_but("--seed", "-1", message="seeds of 0 or above, got -1"),
    "prior file missing": good_but("--prior", "speech=gone.safetensors", message="'gone.safetensors'"),
    "unknown device": good_but("--device", "abacus", message="device 'abacus'"),
}


def one_sentence(capsys):
    error = capsys.readouterr().err
    assert error.startswith("unsep: error: ")
    assert error.count("\n") == 1 and error.endswith("\n")
    return error


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_ends_in_one_sentence_code_2_and_no_files(fault, home, tmp_path, capsys):
    arguments, message = BAD[fault](tmp_path)
    if "--source" not in arguments:
        arguments += ["--source", "speech"]
    before = contents(tmp_path)
    assert main(["separate", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in one_sentence(capsys)
    assert contents(tmp_path) == before


def test_no_source_no_mixture_and_no_folder_are_one_sentence(home, mixture, tmp_path, capsys):
    for arguments, message in (
        ([str(mixture), "--out", str(tmp_path / "out")], "expected at least one source"),
        (["--source", "speech", "--out", str(tmp_path / "out")], "expected a mixture and --out"),
        ([str(mixture), "--source", "speech"], "expected a mixture and --out"),
    ):
        before = contents(tmp_path)
        assert main(["separate", *arguments]) == 2
        assert message in one_sentence(capsys)
        assert contents(tmp_path) == before


def test_an_out_folder_that_is_a_file_is_refused_and_kept(home, mixture, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    before = contents(tmp_path)
    assert separated(mixture, tmp_path / "out", "speech") == 2
    assert "cannot write" in one_sentence(capsys)
    assert contents(tmp_path) == before


def test_a_damaged_prior_is_refused_by_name(home, mixture, tmp_path, capsys):
    (home / "priors" / "speech.safetensors").write_bytes(b"half a file")
    assert separated(mixture, tmp_path / "out", "speech") == 2
    assert "speech.safetensors: not a prior saved by unsep" in one_sentence(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["sing"], ["separate", "--steps", "few"], ["separate", "--prior", "speech"]])
def test_what_argparse_cannot_read_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def mixtures(tmp_path):
    """Two mixtures at 8 kHz: `a_0` of speech and a cello, `b_0` of two voices."""
    for seed, (name, labels) in enumerate({"a_0": ("speech", "sound:Cello"), "b_0": ("speech", "speech")}.items()):
        sources = noise(2, 4000, seed=seed)
        specs = tuple(parse_spec(label) for label in labels)
        write_mixture(tmp_path / "mixtures" / name, Mixture(name, sources.sum(dim=0), sources, specs, 8000))
    return tmp_path / "mixtures"


def evaluated(mixtures, *more):
    file = mixtures.parent / "scores.json"
    assert main(["evaluate", "--mixtures", str(mixtures), "--json", str(file), *FAST, *more]) == 0
    return json.loads(file.read_text())


def test_evaluation_writes_the_pinned_layout(home, mixtures):
    result = evaluated(mixtures)
    assert list(result) == [
        "si_sdr", "si_sdr_improvement", "collapsed", "seconds_per_mixture", "slot_switches", "window_passages",
        "peak_memory_mb", "rows",
    ]  # fmt: skip
    assert result["si_sdr"].keys() == result["si_sdr_improvement"].keys() == STATISTIC
    assert all(list(row) == ["mixture", "source", "label", "si_sdr", "si_sdr_improvement"] for row in result["rows"])
    assert [(row["mixture"], row["source"], row["label"]) for row in result["rows"]] == [
        ("a_0", 1, "speech"), ("a_0", 2, "sound:Cello"), ("b_0", 1, "speech"), ("b_0", 2, "speech"),
    ]  # fmt: skip
    assert 0 < result["seconds_per_mixture"] < 60
    assert result["peak_memory_mb"] > 50


def test_the_statistics_follow_from_the_rows(home, mixtures):
    result = evaluated(mixtures)
    for field in ("si_sdr", "si_sdr_improvement"):
        values = [row[field] for row in result["rows"]]
        assert result[field]["mean"] == pytest.approx(numpy.mean(values))
        assert result[field]["median"] == pytest.approx(numpy.median(values))
        assert result[field]["low"] <= result[field]["mean"] <= result[field]["high"]
    lost = [row["si_sdr_improvement"] < -10 for row in result["rows"]]
    assert result["collapsed"] == pytest.approx(numpy.mean(lost))


def test_scores_equal_an_independent_score_of_the_separated_files(home, mixtures, tmp_path):
    rows = evaluated(mixtures, "--only", "a")["rows"]
    assert separated(mixtures / "a_0" / "mix.flac", tmp_path / "out", "speech", "sound:Cello") == 0
    for row, name in zip(rows, ("speech", "sound_Cello"), strict=True):
        reference, mixed = (
            soundfile.read(mixtures / "a_0" / f"{track}.flac")[0] for track in (f"source_{row['source']}", "mix")
        )
        estimate = soundfile.read(tmp_path / "out" / f"{name}.wav")[0]
        score = functools.partial(fast_bss_eval.si_sdr, reference[None], zero_mean=True)
        assert row["si_sdr"] == pytest.approx(score(estimate[None])[0], abs=1e-2)
        assert row["si_sdr_improvement"] == pytest.approx(row["si_sdr"] - score(mixed[None])[0], abs=1e-2)


def test_swapped_voices_are_found_and_lost_sources_are_counted():
    sources = noise(2, 4000)
    specs = (parse_spec("speech"), parse_spec("speech"))
    mixture = Mixture("voices", sources.sum(dim=0), sources, specs, 8000)
    swapped = evaluate([mixture], lambda mixture: 0.5 * mixture.sources.flip(0))
    assert all(row.si_sdr > 50 for row in swapped.rows)
    assert swapped.collapsed == 0.0
    lost = evaluate([mixture], lambda mixture: torch.stack([mixture.sources[0], noise(4000, seed=9)]))
    assert (lost.rows[0].si_sdr > 50, lost.rows[1].si_sdr < -10, lost.collapsed) == (True, True, 0.5)
    unchanged = evaluate([mixture], lambda mixture: mixture.mixture.expand(2, -1))
    assert [row.si_sdr_improvement for row in unchanged.rows] == pytest.approx([0.0, 0.0], abs=1e-6)
    with pytest.raises(ValueError, match="at least one mixture with an audible reference, got none"):
        evaluate([], lambda mixture: mixture.sources)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixtures", "gone"], "no such folder of mixtures"),
        (["--only", "z"], "no mixture's name starts with 'z'"),
        (["--solver", "magic"], "unknown solver 'magic'"),
        (["--prior", "sound=gone"], "unknown prior 'gone'"),
        (["--device", "abacus"], "device 'abacus'"),
    ],
)
def test_bad_evaluations_write_nothing(arguments, message, home, mixtures, tmp_path, capsys):
    before = contents(tmp_path)
    assert main(["evaluate", "--mixtures", str(mixtures), "--json", str(tmp_path / "scores.json"), *arguments]) == 2
    assert message in one_sentence(capsys)
    assert contents(tmp_path) == before


def tone_folder(root):
    seconds = numpy.arange(RATE) / RATE
    for label, hertz in (("low", 300), ("high", 2500)):
        write(root / label / "a.wav", 0.3 * numpy.sin(2 * numpy.pi * hertz * seconds))
    return root


@pytest.fixture
def small_training(monkeypatch):
    monkeypatch.setattr("unsep_lib.training.TrainingConfig", functools.partial(TrainingConfig, **SMALL_CONFIG))


def test_an_own_folder_becomes_a_prior_that_separates_by_name(home, small_training, mixture, tmp_path, capsys):
    manifest = str(tmp_path / "own.jsonl")
    folder = tone_folder(tmp_path / "own")
    assert main(["data", "prepare", str(folder), "--out", manifest, "--workers", "1"]) == 0
    assert "2 clips" in capsys.readouterr().out
    assert main(["train", "mine", "--data", manifest, "--steps", "3"]) == 0
    prior = home / "priors" / "mine.safetensors"
    assert Path(capsys.readouterr().out.strip()) == prior
    assert (card_of(prior)["steps"], card_of(prior)["labels"]) == (3, ["high", "low"])
    assert separated(mixture, tmp_path / "out", "mine:low", "mine:high") == 0
    assert names(tmp_path / "out") == {"mine_low.wav", "mine_high.wav", "residual.wav", "report.json"}
    before = prior.read_bytes()
    assert main(["train", "mine", "--data", manifest, "--steps", "3"]) == 0
    assert prior.read_bytes() == before
    hours = card_of(prior)["hours"]
    assert main(["train", "mine", "--data", manifest, "--steps", "5"]) == 0
    assert card_of(prior)["steps"] == 5
    assert card_of(prior)["hours"] > hours
    assert separated(mixture, tmp_path / "again", "mine:low", "mine:high") == 0
    assert not numpy.array_equal(read(tmp_path / "again" / "mine_low.wav"), read(tmp_path / "out" / "mine_low.wav"))


def test_a_file_can_take_a_priors_place(home, mixture, tmp_path):
    speech = home / "priors" / "speech.safetensors"
    assert main(["separate", str(mixture), "--source", "other", "--source", "sound", "--prior", f"other={speech}",
                 "--out", str(tmp_path / "file"), *FAST]) == 0  # fmt: skip
    assert separated(mixture, tmp_path / "name", "speech", "sound") == 0
    assert numpy.array_equal(read(tmp_path / "file" / "other.wav"), read(tmp_path / "name" / "speech.wav"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "gone.jsonl", "--steps", "1"], "no such manifest"),
        (["--data", "bad.jsonl", "--steps", "1"], "line 1: not a clip"),
        (["--data", "empty.jsonl", "--steps", "1"], "expected clips to train on, got none"),
        (["--data", "empty.jsonl", "--steps", "0"], "a training budget above 0, got 0"),
        (["--data", "empty.jsonl", "--steps", "1", "--device", "abacus"], "device 'abacus'"),
    ],
)
def test_bad_training_input_writes_nothing(arguments, message, home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").write_text("")
    before = contents(tmp_path)
    assert main(["train", "mine", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert contents(tmp_path) == before


def test_the_version_is_the_packages(capsys):
    from unsep_lib import __version__

    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"unsep {__version__}\n")
