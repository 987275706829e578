import json

import numpy
import pytest
import torch
from command_line import FAST, RATE, contents, names, noise, one_sentence, read, separated, write

from unsep_lib.__main__ import main

TORCH = torch.__version__.partition("+")[0]


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


def test_a_passage_where_equal_sources_may_change_places_is_told(home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("unsep_lib.commands.separate.LEAST_MARGIN", 1.1)
    mixture = write(tmp_path / "mix.wav", noise(9 * RATE))
    assert separated(mixture, tmp_path / "out", "speech", "speech") == 0
    assert "sources of one kind may change places at 0:06" in capsys.readouterr().err
    [passage] = json.loads((tmp_path / "out" / "report.json").read_text())["passages"]
    assert passage["seconds"] == 6.0 and -1 <= passage["margin"] <= 1
    assert separated(mixture, tmp_path / "other", "speech", "sound") == 0
    assert "change places" not in capsys.readouterr().err
    assert json.loads((tmp_path / "other" / "report.json").read_text())["passages"] == []


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
    short = dict.fromkeys(("projection-mean", "daps"), "20")
    single = (
        "dirac-restart",
        "projection-restart",
        "projection",
        "pigdm",
        "dirac",
    )
    assert listed == short | {"dirac-wiener": "30", "dirac-agreed": "30"} | dict.fromkeys(single, "40") | guided


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
    "prior of no source": good_but(
        "--prior", "voice=speech", message="--prior voice=…: expected the prior of a source"
    ),
    "prior named twice": good_but(
        "--prior", "speech=speech", "--prior", "speech=sound", message="each name once with --prior, got 'speech' more"
    ),
    "prior file missing": good_but("--prior", "speech=gone.safetensors", message="'gone.safetensors'"),
    "unknown device": good_but("--device", "abacus", message="device 'abacus'"),
}


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


def test_a_file_can_take_a_priors_place(home, mixture, tmp_path):
    speech = home / "priors" / "speech.safetensors"
    assert main(["separate", str(mixture), "--source", "other", "--source", "sound", "--prior", f"other={speech}",
                 "--out", str(tmp_path / "file"), *FAST]) == 0  # fmt: skip
    assert separated(mixture, tmp_path / "name", "speech", "sound") == 0
    assert numpy.array_equal(read(tmp_path / "file" / "other.wav"), read(tmp_path / "name" / "speech.wav"))


def test_the_version_is_the_packages(capsys):
    from unsep_lib import __version__

    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"unsep {__version__}\n")
