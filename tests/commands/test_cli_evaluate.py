import functools
import json
import shutil

import fast_bss_eval
import numpy
import pytest
import soundfile
import torch
from command_line import FAST, contents, names, noise, one_sentence, separated

from unsep_lib.__main__ import main
from unsep_lib.data.mixtures import Mixture, write_mixture
from unsep_lib.evaluation import evaluate as evaluation
from unsep_lib.evaluation.evaluate import evaluate
from unsep_lib.solvers import DEFAULT_SOLVER
from unsep_lib.source_spec import parse_spec

STATISTIC = {"mean", "median", "low", "high"}


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
        "si_sdr", "si_sdr_improvement", "collapsed", "left_out", "seconds_per_mixture", "source_switches",
        "window_passages", "peak_memory_mb", "calibration", "rows",
    ]  # fmt: skip
    assert result["si_sdr"].keys() == result["si_sdr_improvement"].keys() == STATISTIC
    said = ["agreement", "expected", "expected_low", "expected_high"]
    keys = ["mixture", "source", "label", "si_sdr", "si_sdr_improvement", *said]
    assert all(list(row) == keys for row in result["rows"])
    assert all(row[name] is None for row in result["rows"] for name in said) and result["calibration"] is None
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


def test_improvements_that_the_default_expects_are_those_of_its_report(home, mixtures, tmp_path, capsys):
    file, default = tmp_path / "scores.json", ["--solver", DEFAULT_SOLVER, "--steps", "4"]
    assert main(["evaluate", "--mixtures", str(mixtures), "--json", str(file), *default]) == 0
    found = json.loads(file.read_text())
    assert "estimated improvement: rank correlation" in capsys.readouterr().out
    assert main(["separate", str(mixtures / "a_0" / "mix.flac"), "--source", "speech", "--source", "sound:Cello",
                 "--out", str(tmp_path / "out"), *default]) == 0  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for row, confidence in zip(found["rows"], report["confidence"], strict=False):
        assert row["agreement"] == pytest.approx(confidence["agreement"], abs=0.2)
        assert row["expected_low"] < row["expected"] == pytest.approx(confidence["improvement"], abs=0.2)
    inside = [row["expected_low"] <= row["si_sdr_improvement"] <= row["expected_high"] for row in found["rows"]]
    assert found["calibration"]["inside"] == numpy.mean(inside)


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


def one_of(name, *labels, seed=0):
    sources = noise(len(labels), 4000, seed=seed)
    return Mixture(name, sources.sum(dim=0), sources, tuple(map(parse_spec, labels)), 8000)


def test_a_mixture_that_is_its_own_source_has_no_improvement_and_is_counted():
    two, voice = one_of("two", "speech", "sound"), one_of("voice", "speech")
    quiet = one_of("quiet", "speech", "sound")
    quiet.sources[1] = 0
    alone = Mixture("alone", quiet.sources[0], quiet.sources, quiet.specs, 8000)
    found = evaluate(
        [two, voice, alone], lambda mixture: mixture.sources + 0.01 * noise(len(mixture.specs), 4000, seed=7)
    )
    scores = {(row.mixture, row.source): (row.si_sdr, row.si_sdr_improvement) for row in found.rows}
    assert scores.keys() == {("two", 1), ("two", 2), ("voice", 1), ("alone", 1)}
    assert scores["voice", 1] == (pytest.approx(40, abs=0.3), None)
    assert found.left_out == {"silent references": 1, "silent estimates": 0, "mixtures of one source": 2}
    improvement = found.statistic("si_sdr_improvement")
    assert improvement.mean == pytest.approx(numpy.mean([scores["two", 1][1], scores["two", 2][1]]))
    assert improvement.mean == pytest.approx(40, abs=1)
    assert (found.collapsed, len(found.table)) == (0, 4)
    assert evaluate([voice], lambda mixture: mixture.sources).statistic("si_sdr_improvement") is None


def test_mixtures_of_one_name_are_refused_for_their_scores_could_not_be_told_apart():
    with pytest.raises(ValueError, match="expected mixtures of different names, got 'a' 2 times"):
        evaluate([one_of("a", "speech", "sound", seed=seed) for seed in (0, 1)], lambda mixture: mixture.sources)


def test_a_silent_estimate_has_no_score_and_has_collapsed():
    two = one_of("two", "speech", "sound")
    for lost in (0.0, 0.5, float("nan")):
        estimates = two.sources + 0.01 * noise(2, 4000, seed=7)
        estimates[1] = lost
        found = evaluate([two], lambda mixture, estimates=estimates: estimates)
        assert (found.rows[1].si_sdr, found.rows[1].si_sdr_improvement) == (None, None)
        assert found.collapsed == 0.5
        assert found.left_out["silent estimates"] == 1
        assert found.statistic("si_sdr").mean == pytest.approx(40, abs=0.3)


def test_a_perfect_estimate_does_not_drag_the_mean_beyond_100_db():
    two = one_of("two", "speech", "sound")
    assert [row.si_sdr for row in evaluate([two], lambda mixture: mixture.sources).rows] == [100.0, 100.0]


def test_long_names_keep_their_columns_and_what_is_left_out_is_said(home, tmp_path, capsys):
    name = "a_mixture_whose_name_has_some_forty_letters"
    for mixture in (one_of(name, "speech", "sound:Cello"), one_of("b", "speech")):
        write_mixture(tmp_path / "mixtures" / mixture.name, mixture)
    assert main(["evaluate", "--mixtures", str(tmp_path / "mixtures"), *FAST]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown[:3]] == [[name, "speech"], [name, "sound:Cello"], ["b", "speech"]]
    assert len({line.index(word) for line, word in zip(shown, ("speech", "sound", "speech"), strict=False)}) == 1
    assert shown[2].endswith("–   ")
    assert "left out of the mean improvement: mixtures of one source 1" in shown


def test_the_python_call_takes_the_commands_words(home, mixtures):
    rows = evaluated(mixtures, "--only", "a", "--seed", "3")["rows"]
    found = evaluate(mixtures, only="a", solver="projection", steps=1, seed=3)
    assert [(row.label, row.si_sdr) for row in found.rows] == [(row["label"], row["si_sdr"]) for row in rows]


@pytest.fixture
def stopping(monkeypatch):
    """The names of mixtures that are separated; `.at` is that at which Ctrl-C comes."""

    class Names(list):
        at = None

    seen, score = Names(), evaluation.mixture_score

    def watched(mixture, *, method, voices):
        if mixture.name == seen.at:
            raise KeyboardInterrupt
        if method is not evaluation.oracle:
            seen.append(mixture.name)
        return score(mixture, method=method, voices=voices)

    monkeypatch.setattr(evaluation, "mixture_score", watched)
    return seen


def without_timings(result):
    return {name: value for name, value in result.items() if name not in ("seconds_per_mixture", "peak_memory_mb")}


def test_a_stopped_evaluation_keeps_what_it_has_and_goes_on_after_it(home, mixtures, stopping, capsys):
    expected, before = evaluated(mixtures, "--voices"), contents(mixtures.parent)
    words = ["evaluate", "--mixtures", str(mixtures), "--json", str(mixtures.parent / "scores.json"), *FAST, "--voices"]
    shown, stopping.at = capsys.readouterr().out, "b_0"
    assert main(words) == 130
    kept = capsys.readouterr().err.splitlines()
    assert kept == [
        f"note: the scores of 1 of 2 mixtures are kept beside {mixtures.parent / 'scores.json'}; "
        "the same command goes on after them",
        "unsep: interrupted",
    ]
    assert before.items() <= contents(mixtures.parent).items()
    stopping.at = None
    stopping.clear()
    assert without_timings(evaluated(mixtures, "--voices")) == without_timings(expected)
    assert stopping == ["b_0"]
    again = capsys.readouterr()
    assert again.err == "note: 1 of 2 mixtures were scored before, by the same command\n"
    assert again.out.splitlines()[:4] == shown.splitlines()[:4]
    assert names(mixtures.parent) == {"home", "mixtures", "scores.json"}


def test_other_words_or_a_changed_mixture_are_scored_anew(home, mixtures, stopping, tmp_path):
    words = ["evaluate", "--mixtures", str(mixtures), "--json", str(tmp_path / "scores.json"), *FAST]
    stopping.at, other = "b_0", f"speech={home / 'priors' / 'sound.safetensors'}"
    for change in ([], ["--seed", "1"], ["--steps", "2"], ["--solver", "dirac"], ["--prior", other]):
        for _ in range(2):
            assert main([*words, *change]) == 130
        assert stopping == ["a_0"]
        stopping.clear()
    shutil.copy(mixtures / "a_0" / "source_1.flac", mixtures / "a_0" / "mix.flac")
    assert main([*words, *change]) == 130
    assert stopping == ["a_0"]


def test_damaged_scores_and_those_of_a_method_of_ones_own_are_made_again(home, mixtures, stopping, tmp_path):
    file, stopping.at = tmp_path / "scores.json", "b_0"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(mixtures, solver="projection", steps=1, json=file)
        (kept,) = tmp_path.glob(".scored-*/*.json")
        kept.write_text('{"rows": 3}')
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(mixtures, lambda mixture: mixture.sources, json=file)
    assert stopping == ["a_0"] * 4
    stopping.at = None
    result = evaluate(mixtures, lambda mixture: mixture.sources, json=file)
    assert json.loads(file.read_text())["si_sdr"]["mean"] == result.statistic("si_sdr").mean > 50
    assert not list(tmp_path.glob(".scored-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixtures", "gone"], "no such folder of mixtures"),
        (["--only", "z"], "no mixture's name starts with 'z'"),
        (["--solver", "magic"], "unknown solver 'magic'"),
        (["--prior", "sound=gone"], "unknown prior 'gone'"),
        (["--prior", "sound=~/gone"], "/gone': known are"),
        (["--prior", "sound=speech", "--prior", "sound=sound"], "each name once with --prior, got 'sound' more than"),
        (["--device", "abacus"], "device 'abacus'"),
    ],
)
def test_bad_evaluations_write_nothing(arguments, message, home, mixtures, tmp_path, capsys):
    before = contents(tmp_path)
    assert main(["evaluate", "--mixtures", str(mixtures), "--json", str(tmp_path / "scores.json"), *arguments]) == 2
    assert message in one_sentence(capsys)
    assert contents(tmp_path) == before
