"""Sets of mixtures: read one at a time, chosen before they are read, and refused as a whole only before any work."""

import weakref

import pytest
import torch
from command_line import noise

from unsep_lib.data import mixtures as module
from unsep_lib.data.mixtures import Mixture, headings, read_mixtures, write_mixture
from unsep_lib.evaluation.evaluate import evaluate
from unsep_lib.experiments.config import Experiment, SolverChoice
from unsep_lib.experiments.plan import plan
from unsep_lib.source_spec import parse_spec
from unsep_lib.training.conv_tasnet import ControlConfig, train_control

FAST = {"solver": "projection", "steps": 1}


def made(folder, name, *specs):
    sources = noise(len(specs), 1600, seed=len(name))
    write_mixture(folder / name, Mixture(name, sources.sum(dim=0), sources, tuple(map(parse_spec, specs))))
    return folder / name


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        made(tmp_path / "mixtures", f"a_{number}", "speech", "sound:Cello")
    return tmp_path / "mixtures"


def test_memory_holds_one_mixture_of_many(folder, monkeypatch):
    read, alive = module.read_mixture, []

    def noted(*arguments):
        found = read(*arguments)
        alive.append(weakref.ref(found.mixture))
        return found

    monkeypatch.setattr(module, "read_mixture", noted)
    most = []

    def copied(mixture):
        most.append(sum(one() is not None for one in alive))
        return mixture.sources

    evaluation = evaluate(folder, copied)
    assert len(evaluation.rows) == 12 and len(most) == 6 and len(alive) >= 6
    assert max(most) <= 2  # this one, and the one before until it is let go
    assert [one.name for one in headings(read_mixtures(folder))] == [f"a_{number}" for number in range(6)]


def test_what_is_not_chosen_need_not_be_a_mixture(folder):
    (folder / "b_0").mkdir()
    (folder / "c_0").mkdir()
    (folder / "c_0" / "labels.txt").write_text("no: such: source")
    with pytest.raises(ValueError, match=r"b_0: expected a mix\.wav"):
        evaluate(folder, lambda mixture: mixture.sources)
    assert len(evaluate(folder, lambda mixture: mixture.sources, only="a").rows) == 12
    assert len(evaluate(folder, lambda mixture: mixture.sources, part=(2, 8)).rows) == 2


def test_a_sweep_reads_the_mixtures_of_its_tasks_alone(folder, home):
    (folder / "b_0").mkdir()
    made(folder, "a_6", "speech")
    (folder / "a_6" / "mix.flac").unlink()
    choice = (SolverChoice("projection", (1,)),)
    rows = plan(Experiment(choice, (0,), tasks=("a",), mixtures=str(folder), mixtures_per_task=2))
    assert [row.mixture for row in rows] == ["a_0", "a_1"]
    with pytest.raises(ValueError, match=r"b_0: expected a mix\.wav"):
        plan(Experiment(choice, (0,), mixtures=str(folder), mixtures_per_task=2))


def test_a_mixture_of_too_many_sources_is_named_before_any_is_separated(folder, home):
    made(folder, "z_9", *["speech"] * 17)
    heard = []
    with pytest.raises(ValueError, match="z_9: expected at most 16 sources, got 17"):
        evaluate(folder, **FAST, on_mixture=lambda name, rows: heard.append(name))
    assert heard == []
    assert len(evaluate(folder, **FAST, only="a").rows) == 12


def test_an_error_while_a_mixture_is_separated_names_it(folder):
    def odd(mixture):
        if mixture.name == "a_3":
            raise ValueError("too odd")
        return mixture.sources

    with pytest.raises(ValueError, match="a_3: too odd"):
        evaluate(folder, odd)


def test_the_control_is_not_trained_towards_a_validation_that_must_fail(folder, tmp_path):
    made(folder, "b_0", "speech", "sound:Cello", "sound:Flute")
    with pytest.raises(ValueError, match="b_0: expected a mixture of speech and sound to validate on"):
        train_control([], [], read_mixtures(folder), tmp_path / "run", ControlConfig(minutes=1.0))
    assert not (tmp_path / "run").exists()


def test_the_same_mixtures_are_read_by_index_and_slice(folder):
    found = read_mixtures(folder)
    assert len(found) == 6 and [one.name for one in found[1:5:2]] == ["a_1", "a_3"]
    assert torch.equal(found[-1].mixture, found[5:][0].mixture)
    with pytest.raises(IndexError):
        found[6]
