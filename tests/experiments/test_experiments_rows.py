import math
from dataclasses import replace
from pathlib import Path

import fast_bss_eval
import pytest
import torch
from experiment_cases import MIXTURES, SAMPLES, noise, small, write_mixtures

from unsep_lib.audio import write_audio
from unsep_lib.data.clips import Clip, write_manifest
from unsep_lib.data.mixtures import Mixture, read_mixture
from unsep_lib.evaluation.evaluate import source_scores
from unsep_lib.evaluation.metrics import scored, si_sdr
from unsep_lib.experiments import Condition, PriorSet, SolverChoice, plan
from unsep_lib.experiments.conditions import WeightsCache, planned_sources
from unsep_lib.experiments.methods import bss_eval_sdr, compute
from unsep_lib.separation import load_priors, separate
from unsep_lib.source_spec import parse_spec

RATE = 16_000
LABELS = ("Bark", "Cello", "Flute", "Gong")


def given(specs, *, seed=0, **condition):
    cache = WeightsCache(PriorSet("shipped"))
    sources = planned_sources([parse_spec(spec) for spec in specs], Condition("c", **condition), cache, seed)
    return None if sources is None else [(source.spec, source.reference) for source in sources]


@pytest.fixture
def four_labels(home, tiny_prior):
    from unsep_lib.priors.checkpoints import save_prior

    save_prior(home / "priors" / "sound.safetensors", tiny_prior(2, list(LABELS)), {"name": "sound"})


def test_conditions_change_what_is_given(four_labels):
    specs = ("speech", "sound:Cello", "sound:Gong")
    assert given(specs) == [("speech", 0), ("sound:Cello", 1), ("sound:Gong", 2)]
    assert given(specs, labels="null") == [("speech", 0), ("sound", 1), ("sound", 2)]
    assert given(specs, labels="wrong") == [("speech", 0), ("sound:Flute", 1), ("sound:Bark", 2)]
    assert given(specs, labels="wrong", seed=1) == [("speech", 0), ("sound:Bark", 1), ("sound:Flute", 2)]
    assert given(specs, labels="first") == [("speech", 0), ("speech", 1), ("speech", 2)]
    assert given(specs, unknown=True) == [("speech", 0), ("sound:Cello", 1)]
    assert given(specs, swapped=True) == [("sound:Gong", 2), ("sound:Cello", 1), ("speech", 0)]
    assert given(specs, absent="sound:Bark")[-1] == ("sound:Bark", None)
    assert given(("speech",), absent="speech:en") == [("speech", 0), ("speech:en", None)]


def test_a_condition_that_changes_nothing_has_no_sources(four_labels):
    for labels in ("wrong", "null", "first"):
        assert given(("speech", "speech"), labels=labels) is None
    assert given(("speech", "sound:Cello"), unknown=True) is None
    assert given(("speech", "speech"), swapped=True) is None
    assert given(("speech", "sound:Cello"), absent="sound:Cello") is None


def test_without_a_wrong_label_left_there_is_none_to_tell(home):
    with pytest.raises(ValueError, match="a label to mistake sound:Cello for, got Cello, Flute"):
        given(("sound:Cello", "sound:Flute"), labels="wrong")


def test_scores_are_those_of_fast_bss_eval():
    reference, mixture = noise(SAMPLES), noise(SAMPLES) + noise(SAMPLES, seed=1)
    estimate = 0.7 * reference + 0.4 * noise(SAMPLES, seed=2)
    found = scored(estimate, reference, mixture)
    one, other, base = (x.double().numpy()[None] for x in (reference, estimate, mixture))
    assert bss_eval_sdr(estimate, reference) == pytest.approx(
        fast_bss_eval.bss_eval_sources(one, other)[0][0], abs=1e-2
    )
    after, before = (fast_bss_eval.si_sdr(one, x, zero_mean=True)[0] for x in (other, base))
    assert found["si_sdr"] == pytest.approx(after, abs=1e-3)
    assert found["si_sdr_improvement"] == pytest.approx(after - before, abs=1e-3)
    assert found["level"] == pytest.approx(20 * math.log10(other.std() / base.std()), abs=0.01)


def test_what_cannot_be_scored_says_so():
    audible, silence = noise(SAMPLES), torch.zeros(SAMPLES)
    broken = torch.full((SAMPLES,), float("nan"))
    for estimate, reference, present, level in (
        (0.1 * audible, silence, False, -20.0),
        (silence, audible, True, -120.0 + 20.0),
        (broken, audible, True, None),
    ):
        found = scored(estimate, reference, audible)
        assert found["present"] is present
        assert found["level"] == (None if level is None else pytest.approx(level, abs=0.2))
        assert found["si_sdr"] is found["si_sdr_improvement"] is None
    assert bss_eval_sdr(audible, audible) == pytest.approx(100.0)
    same = scored(audible, audible, audible)
    assert (same["si_sdr"], same["si_sdr_improvement"]) == (100.0, None)


def test_a_row_is_what_separating_and_scoring_by_hand_gives(home, tmp_path):
    row = next(row for row in plan(small(tmp_path, seeds=(3,))) if row.mixture == "1speech-1sound_00")
    record = compute(row)
    mixture = read_mixture(tmp_path / "mixtures" / "1speech-1sound_00")
    separation = separate(mixture.mixture, load_priors(mixture.specs), RATE, solver="projection", steps=1, seed=3)
    expected = source_scores(mixture, separation.sources[:, 0])
    assert [source["si_sdr"] for source in record["sources"]] == pytest.approx([row.si_sdr for row in expected])
    assert [source["label"] for source in record["sources"]] == ["speech", "sound:Cello"]
    assert record["seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize(
    ("solver", "evaluations", "gradients"),
    [("projection", 3 * 2, 0), ("projection-mean", 4 * 3 * 2, 0), ("hybrid", 3 * 3, 3 * 2), ("mixture", 0, 0)],
)
def test_networks_are_counted_clip_by_clip(solver, evaluations, gradients, home, tmp_path):
    choice = SolverChoice(solver, () if solver == "mixture" else (3,))
    record = compute(plan(small(tmp_path, solvers=(choice,)))[0])
    assert (record["evaluations"], record["gradients"]) == (evaluations, gradients)


def test_swapped_estimates_come_back_to_their_references_and_absent_ones_are_last(home, tmp_path):
    conditions = (Condition("swap", swapped=True, absent="sound:Flute"),)
    row = plan(small(tmp_path, conditions=conditions))[0]
    sources = compute(row)["sources"]
    assert [(source["source"], source["label"], source["spec"]) for source in sources] == [
        (1, "speech", "speech"), (2, "sound:Cello", "sound:Cello"), (0, "", "sound:Flute"),
    ]  # fmt: skip
    mixture = read_mixture(row.folder)
    specs = [parse_spec(spec) for spec in ("sound:Flute", "sound:Cello", "speech")]
    separation = separate(mixture.mixture, load_priors(specs), RATE, solver="projection", steps=1, seed=0)
    expected = source_scores(mixture, separation.sources[[2, 1], 0])
    assert [source["si_sdr"] for source in sources] == pytest.approx([*(row.si_sdr for row in expected), None])


def test_a_solver_runs_on_its_own_tasks_and_seeds_alone(home, tmp_path):
    choices = (SolverChoice("projection", (1,), ("2speakers",), (1,)), SolverChoice("mixture"))
    rows = plan(small(tmp_path, solvers=choices, seeds=(0, 1)))
    assert [(row.solver, row.task, row.seed) for row in rows] == [
        ("mixture", "1speech-1sound", 0), ("mixture", "2speakers", 0), ("projection", "2speakers", 1),
    ]  # fmt: skip


def test_another_mixture_is_added_unless_a_source_would_be_there_twice(home, tmp_path):
    folder = write_mixtures(tmp_path / "mixtures", MIXTURES | {"more_00": ("sound:Flute",)})
    conditions = (Condition("plain"), Condition("more", also="more_00"))
    rows = plan(small(tmp_path, mixtures=folder, conditions=conditions, tasks=("1speech-1sound", "more"), seeds=(0,)))
    solved = [row for row in rows if row.solver == "projection"]
    assert [(row.mixture, row.condition) for row in solved] == [
        ("1speech-1sound_00", "plain"), ("1speech-1sound_00", "more"), ("more_00", "plain"),
    ]  # fmt: skip
    plain, more, _ = solved
    assert plain.key != more.key
    sources = compute(more)["sources"]
    assert [source["label"] for source in sources] == ["speech", "sound:Cello", "sound:Flute"]
    own, other = (read_mixture(Path(folder) / name) for name in ("1speech-1sound_00", "more_00"))
    separation = separate(
        own.mixture + other.mixture, load_priors(more.specs), RATE, solver="projection", steps=1, seed=0
    )
    expected = si_sdr(separation.sources[2, 0], other.sources[0]).item()
    assert sources[2]["si_sdr"] == pytest.approx(expected)


def test_names_and_places_do_not_change_a_key_and_everything_else_does(home, tmp_path):
    row = plan(small(tmp_path))[0]
    for name in ("mixture", "task", "condition", "priors", "folder", "clips"):
        assert replace(row, **{name: "other"}).key == row.key
    changes = {
        "digest": "x",
        "seconds": 1.0,
        "level_difference": 0.0,
        "sources": row.sources[::-1],
        "clips_sha256": "x",
    }
    changes |= {"also_digest": "x"}
    changes |= {"solver": "hybrid", "steps": 2, "seed": 5, "prior_files": row.prior_files[:1], "device": "cuda"}
    keys = {replace(row, **{name: value}).key for name, value in changes.items()}
    assert len(keys - {row.key}) == len(changes)


def test_files_that_changed_since_the_plan_are_refused(home, tmp_path):
    row = plan(small(tmp_path))[0]
    with pytest.raises(ValueError, match="the mixture that the sweep was planned with, got another"):
        compute(replace(row, digest="another"))
    wrong = tuple(replace(file, sha256="another") for file in row.prior_files)
    with pytest.raises(ValueError, match="the prior that the sweep was planned with, got another"):
        compute(replace(row, prior_files=wrong))


def tone_clip(folder, label, hertz):
    samples = 0.2 * torch.sin(2 * math.pi * hertz * torch.arange(RATE) / RATE)
    write_audio(folder / f"{hertz}.wav", samples, RATE)
    return Clip("own", str(folder / f"{hertz}.wav"), str(hertz), label, "train", RATE, RATE, ((0.0, 1.0),))


def test_nmf_learns_from_the_manifests_clips_of_what_it_is_given(home, tmp_path):
    clips = [tone_clip(tmp_path, "", 500), tone_clip(tmp_path, "Cello", 3000), tone_clip(tmp_path, "Flute", 6000)]
    write_manifest(tmp_path / "clips.jsonl", clips)
    folder = write_mixtures(tmp_path / "mixtures", {"1speech-1sound_00": ("speech", "sound:Cello")})
    from unsep_lib.data.mixtures import write_mixture

    tones = torch.stack([0.1 * torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / RATE) for hertz in (500, 3000)])
    specs = (parse_spec("speech"), parse_spec("sound:Cello"))
    write_mixture(tmp_path / "mixtures" / "1speech-1sound_00", Mixture("m", tones.sum(dim=0), tones, specs))
    conditions = (Condition("plain"), Condition("wrong", labels="wrong"), Condition("swap", swapped=True))
    rows = plan(small(tmp_path / "other", mixtures=folder, solvers=(SolverChoice("nmf"),), conditions=conditions,
                      clips=str(tmp_path / "clips.jsonl")))  # fmt: skip
    assert [row.condition for row in rows] == ["plain", "wrong"]
    right, wrong = ([source["si_sdr"] for source in compute(row)["sources"]] for row in rows)
    assert min(right) > 15
    assert wrong[1] < right[1] - 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solvers": (SolverChoice("magic"),)}, "unknown solver 'magic': known are dirac-wiener"),
        ({"solvers": (SolverChoice("nmf", (3,)),)}, r"the baseline 'nmf' takes no steps, got \[3\]"),
        ({"tasks": ("3sounds",)}, "no mixtures of the task '3sounds', found 1speech-1sound, 2speakers"),
        ({"mixtures": "gone"}, "no such folder of mixtures"),
        ({"priors": (PriorSet("own", {"speech": "ghost"}),)}, "unknown prior 'ghost'"),
        (
            {"conditions": (Condition("a", absent="sound:Gong"),)},
            "sound:Gong: unknown label, the prior's labels",
        ),
        ({"conditions": (Condition("a", swapped=True),), "tasks": ("2speakers",)}, "its conditions change no mixture"),
        ({"solvers": (SolverChoice("nmf"),), "clips": "gone.jsonl"}, "gone.jsonl: no such manifest"),
    ],
)
def test_impossible_plans_are_refused(changes, message, home, tmp_path):
    with pytest.raises(ValueError, match=message):
        plan(small(tmp_path, **changes))


def test_baselines_run_once_and_hpss_only_on_two_sources(home, tmp_path):
    labels = {"a_0": ("speech", "sound:Cello"), "b_0": ("speech", "speech", "sound")}
    folder = write_mixtures(tmp_path / "mixtures", labels)
    choices = (SolverChoice("mixture"), SolverChoice("hpss"), SolverChoice("projection", (1,)))
    priors = (PriorSet("one"), PriorSet("two", {"speech": "sound"}))
    rows = plan(small(tmp_path / "other", mixtures=folder, solvers=choices, priors=priors))
    counts = {(row.mixture, row.solver) for row in rows if row.solver != "projection"}
    assert counts == {("a_0", "mixture"), ("a_0", "hpss"), ("b_0", "mixture")}
    assert len(rows) == 3 + 2 * 2 * 2
    assert {row.priors for row in rows} == {"", "one", "two"}


def test_the_supervised_control_has_rows_of_a_voice_and_a_sound_alone(home, tmp_path):
    specs = {"1speech-1sound_0": ("speech", "sound:Cello"), "2speakers_0": ("speech", "speech")}
    folder = write_mixtures(tmp_path / "mixtures", specs)
    rows = plan(small(tmp_path / "other", mixtures=folder, solvers=(SolverChoice("conv-tasnet"),)))
    assert [row.mixture for row in rows] == ["1speech-1sound_0"]
    assert len(rows[0].prior_files[0].sha256) == 64
