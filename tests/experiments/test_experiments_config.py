import re
from pathlib import Path

import pytest

from unsep_lib.experiments import Condition, Experiment, PriorSet, SolverChoice, load_experiment, plan
from unsep_lib.experiments.config import CONFIGS, experiment_names

FULL = """
tasks = ["2sounds"]
seeds = [0, 3]
mixtures = "some/where"
mixtures_per_task = 2
clips = "clips.jsonl"
device = "cuda"
solvers = [{ name = "hybrid", steps = [10, 20], tasks = ["2sounds"], seeds = [3] }, { name = "mixture" }]
priors = [{ name = "mine", files = { sound = "my.safetensors" } }]

[[conditions]]
name = "all at once"
labels = "wrong"
swapped = true
absent = "sound:Gong"
unknown = true
also = "2speakers_03"
level_difference = -10
seconds = 2
"""
LEAST = 'seeds = [0]\nsolvers = [{ name = "hybrid" }]\n'


def written(folder, text):
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_every_key_arrives_and_integers_may_stand_for_numbers(tmp_path):
    condition = Condition("all at once", "wrong", True, "sound:Gong", True, "2speakers_03", -10.0, 2.0)
    assert load_experiment(written(tmp_path, FULL)) == Experiment(
        solvers=(SolverChoice("hybrid", (10, 20), ("2sounds",), (3,)), SolverChoice("mixture")),
        seeds=(0, 3),
        tasks=("2sounds",),
        mixtures="some/where",
        mixtures_per_task=2,
        priors=(PriorSet("mine", {"sound": "my.safetensors"}),),
        conditions=(condition,),
        clips="clips.jsonl",
        device="cuda",
    )


def test_what_is_left_out_is_everything_unchanged(tmp_path):
    experiment = load_experiment(written(tmp_path, LEAST))
    assert experiment.conditions == (Condition("plain"),)
    assert (experiment.tasks, experiment.mixtures_per_task, experiment.device) == ((), 0, "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST + "sedes = [1]", "unknown key 'sedes': known are solvers, seeds"),
        ("seeds = [0]", "the key 'solvers' is missing"),
        ('seeds = 0\nsolvers = [{ name = "hybrid" }]', "'seeds': expected a list, got 0"),
        ('seeds = [true]\nsolvers = [{ name = "hybrid" }]', "'seeds', item 1: expected an integer, got True"),
        ("seeds = [0]\nsolvers = [{ steps = [1] }]", "'solvers', item 1: the key 'name' is missing"),
        ('seeds = [0]\nsolvers = [{ name = "x", step = 1 }]', "'solvers', item 1: unknown key 'step'"),
        ('seeds = [0]\nsolvers = ["hybrid"]', "'solvers', item 1: expected a table, got 'hybrid'"),
        ('seeds = [0]\nsolvers = [{ name = "x", steps = [0] }]', "'steps', item 1: expected 1 or above, got 0"),
        (LEAST + 'conditions = [{ name = "a", seconds = "2" }]', "'seconds': expected a number, got '2'"),
        (LEAST + 'conditions = [{ name = "a", seconds = -1 }]', "'seconds': expected 0 or above, got -1"),
        (LEAST + 'conditions = [{ name = "a", swapped = 1 }]', "'swapped': expected true or false, got 1"),
        (
            LEAST + 'conditions = [{ name = "a", labels = "other" }]',
            "'labels': expected one of 'given', 'wrong', 'null' or 'first', got 'other'",
        ),
        (
            LEAST + 'conditions = [{ name = "a", level_difference = 99 }]',
            "'level_difference': expected at most 60, got 99",
        ),
        (LEAST + 'conditions = [{ name = "a" }, { name = "a" }]', "each item of 'conditions' once, got 'a' 2 times"),
        (LEAST + 'priors = [{ name = "a", files = { sound = 1 } }]', "'files', 'sound': expected a string, got 1"),
        (LEAST + "mixtures_per_task = -1", "'mixtures_per_task': expected 0 or above, got -1"),
        ('seeds = []\nsolvers = [{ name = "hybrid" }]', "at least one item in 'seeds'"),
        ('seeds = [-1]\nsolvers = [{ name = "hybrid" }]', "'seeds', item 1: expected 0 or above, got -1"),
        (
            'tasks = ["2sounds"]\nseeds = [0]\nsolvers = [{ name = "hybrid", tasks = ["3sounds"] }]',
            "a solver's 'tasks' among the experiment's, got '3sounds'",
        ),
        (
            'seeds = [0]\nsolvers = [{ name = "hybrid", seeds = [1] }]',
            "a solver's 'seeds' among the experiment's, got 1",
        ),
        (
            'seeds = [0]\nsolvers = [{ name = "hybrid", steps = [1, 2] }, { name = "hybrid", steps = [2] }]',
            "each item of 'solvers' once, got ('hybrid', 2) 2 times",
        ),
        ("seeds = [", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named(text, message, tmp_path):
    with pytest.raises(ValueError, match=r"own\.toml") as caught:
        load_experiment(written(tmp_path, text))
    assert message in str(caught.value)


def test_an_unknown_experiment_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown experiment 'nope': known are ablation, claim, controls, four_hours, four"
    ):
        load_experiment("nope")


EMBEDDED = [name for name in experiment_names() if not load_experiment(name).mixtures]


def test_experiments_on_other_mixtures_name_folders_that_the_benchmark_script_makes():
    others = {name: load_experiment(name) for name in experiment_names() if name not in EMBEDDED}
    assert others.keys() == {"claim", "four_hours", "four_hours_unknown", "several", "unknown"}
    assert {experiment.mixtures.split("out/benchmark/")[1] for experiment in others.values()} == {
        "claim", "unknown", "several"
    }  # fmt: skip
    control = others["four_hours"].priors[1].files["conv-tasnet"]
    assert Path(control).is_absolute() and Path(control).is_file()


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_shipped_experiment_has_the_rows_that_its_header_says(name):
    stated = int(re.search(r"^# (\d+) rows", (CONFIGS / f"{name}.toml").read_text(), re.MULTILINE)[1])
    rows = plan(load_experiment(name))
    assert len(rows) == len({row.key for row in rows}) == stated
