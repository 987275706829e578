from pathlib import Path

import numpy
import pytest
import soundfile
import torch
from command_line import one_sentence
from experiment_cases import write_mixtures
from safetensors.torch import load_file, save_file

from unsep_lib.data.clips import Clip
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.data.mixtures import Mixture, read_mixture
from unsep_lib.evaluation.conv_tasnet import SHIPPED, Control, ControlSize, load_control, save_control
from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.experiments import Experiment, PriorSet, SolverChoice, plan
from unsep_lib.experiments.methods import compute
from unsep_lib.source_spec import parse_spec
from unsep_lib.training.conv_tasnet import ControlConfig, improvement, main, train_control

RATE = 16_000
TINY = ControlSize(kernel=32, filters=16, bottleneck=8, hidden=16, blocks=2, repeats=1)
SPECS = (parse_spec("speech"), parse_spec("sound:Cello"))


def tone(hertz, seconds=2.0):
    return 0.3 * numpy.sin(2 * numpy.pi * hertz * numpy.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def kinds(tmp_path):
    """A low tone as the voice, a high one as the other sound."""
    found = []
    for label, hertz in (("", 300), ("Cello", 3000)):
        path = tmp_path / f"{hertz}.wav"
        soundfile.write(path, tone(hertz), RATE)
        found.append([Clip("tones", str(path), "", label, "train", RATE, 2 * RATE, ((0.0, 2.0),))])
    return found


def config(minutes=1.0, **changes):
    return ControlConfig(minutes, **({"size": TINY, "batch": 2, "segment_seconds": 0.25} | changes))


def stopping_at(*steps):
    def stop(run, _):
        if run.step in steps:
            raise KeyboardInterrupt

    return stop


def trained(kinds, folder, steps):
    """Train up to a number of steps, stopping at each of `steps`; returns the file's tensors."""
    for step in steps:
        with pytest.raises(KeyboardInterrupt):
            train_control(*kinds, [], folder, config(), on_step=stopping_at(step))
    return load_file(folder / "conv_tasnet.safetensors")


def test_it_learns_to_part_two_tones(kinds, tmp_path):
    sources = torch.from_numpy(numpy.stack([tone(300, 0.5), tone(3000, 0.5)])).float()
    mixture = Mixture("m", sources.sum(dim=0), sources, SPECS)
    trained(kinds, tmp_path / "run", [60])
    untrained = Control(TINY).eval()
    learnt = load_control(tmp_path / "run" / "conv_tasnet.safetensors")
    assert improvement(learnt, [mixture]) > improvement(untrained, [mixture]) + 10
    loud = learnt.separate(10 * mixture.mixture)
    torch.testing.assert_close(loud, 10 * learnt.separate(mixture.mixture), rtol=1e-4, atol=1e-5)
    assert not learnt.separate(torch.zeros(4000)).isnan().any()


@pytest.mark.parametrize("file", [SHIPPED, SHIPPED.with_stem("conv_tasnet_4h")], ids=lambda file: file.stem)
def test_a_shipped_control_is_light_and_separates_voices_and_sounds_it_never_heard(file):
    assert file.stat().st_size <= 12_000_000
    card = SHIPPED.with_suffix(".md").read_text(encoding="utf-8")
    assert all(
        fact in card
        for fact in (file.name, "## Data", "## Training", "## Benchmark sets", "## Licence", "training.conv_tasnet")
    )
    assert improvement(load_control(file), embedded_mixtures("1speech-1sound")[:3]) > 5


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(kinds, tmp_path):
    whole, parts = trained(kinds, tmp_path / "whole", [6]), trained(kinds, tmp_path / "parts", [3, 6])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.usefixtures("one_thread")
def test_processes_that_read_ahead_change_nothing(kinds, tmp_path):
    for workers in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            train_control(*kinds, [], tmp_path / str(workers), config(60.0), workers=workers, on_step=stopping_at(3))
    alone, helped = (load_file(tmp_path / name / "conv_tasnet.safetensors") for name in "01")
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


def test_the_rate_is_constant_and_then_falls_to_zero():
    one = ControlConfig(10)
    assert [one.rate(60 * minute) for minute in (0, 5, 7.5, 10)] == pytest.approx([1e-3, 1e-3, 5e-4, 0.0])


@pytest.mark.parametrize("good", [0, 3])
def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_last_good_state(good, kinds, tmp_path, monkeypatch):
    folder, forward = tmp_path / "run", Control.forward
    before = trained(kinds, folder, [good]) if good else None
    monkeypatch.setattr(Control, "forward", lambda self, mixture: forward(self, mixture) * float("nan"))
    with pytest.raises(ValueError, match=f"run: the loss of step {good + 1} is nan; "):
        train_control(*kinds, [], folder, config())
    monkeypatch.undo()
    if before is None:
        assert not folder.exists() or list(folder.iterdir()) == []
    else:
        after = load_file(folder / "conv_tasnet.safetensors")
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert trained(kinds, folder, [6]).keys() == before.keys()


def test_a_step_that_breaks_the_weights_is_not_kept(kinds, tmp_path):
    def broken(run, _):
        with torch.no_grad():
            next(run.control.parameters()).fill_(float("inf"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_control(*kinds, [], tmp_path / "run", config(), on_step=broken)
    assert not (tmp_path / "run" / "conv_tasnet.safetensors").exists()


def test_another_recipe_in_the_folder_is_refused_and_more_minutes_are_not(kinds, tmp_path):
    trained(kinds, tmp_path, [1])
    with pytest.raises(ValueError, match="another recipe"):
        train_control(*kinds, [], tmp_path, config(seed=1))
    with pytest.raises(KeyboardInterrupt):
        train_control(*kinds, [], tmp_path, config(2.0), on_step=stopping_at(2))


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_minutes_that_are_none_are_refused(minutes):
    with pytest.raises(ValueError, match="expected a training budget above 0"):
        ControlConfig(minutes)


def test_files_that_are_no_control_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such control file"):
        load_control(tmp_path / "gone.safetensors")
    for name, content in (("torn", b"\x00" * 9), ("text", b"not weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="not a control saved by unsep"):
            load_control(tmp_path / name)
    save_file({"a": torch.zeros(1)}, tmp_path / "other", metadata={"card": '{"format": "other"}'})
    with pytest.raises(ValueError, match="expected format unsep-conv-tasnet-1, got 'other'"):
        load_control(tmp_path / "other")


def test_the_command_refuses_in_one_sentence(tmp_path, capsys):
    gone = str(tmp_path / "gone.jsonl")
    assert main(["--speech", gone, "--sounds", gone, "--minutes", "1", "--out", str(tmp_path / "out")]) == 2
    assert one_sentence(capsys).startswith(f"unsep: error: {gone}: no such manifest")


def test_ctrl_c_ends_the_command_with_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unsep_lib.training.conv_tasnet.read_manifest", interrupted)
    words = ["--speech", "a", "--sounds", "b", "--minutes", "1", "--out", str(tmp_path / "out")]
    assert main(words) == 130
    assert capsys.readouterr().err == "unsep: interrupted\n"


def test_an_experiment_runs_a_control_of_ones_own_beside_the_shipped_one(home, tmp_path):
    folder = Path(write_mixtures(tmp_path / "mixtures", {"1speech-1sound_0": ("speech", "sound:Cello")}))
    untrained, own = Control(TINY).eval(), tmp_path / "own.safetensors"
    save_control(own, untrained, {})
    experiment = Experiment(
        (SolverChoice("conv-tasnet"), SolverChoice("mixture")), (0, 1), mixtures=str(folder),
        priors=(PriorSet("shipped"), PriorSet("mine", {"conv-tasnet": str(own)}), PriorSet("b", {"speech": "sound"})),
    )  # fmt: skip
    rows = plan(experiment)
    assert [(row.solver, row.priors) for row in rows] == [("conv-tasnet", ""), ("mixture", ""), ("conv-tasnet", "mine")]
    mixture = read_mixture(folder / "1speech-1sound_0")
    expected = si_sdr(untrained.separate(mixture.mixture), mixture.sources).tolist()
    assert [scored["si_sdr"] for scored in compute(rows[2])["sources"]] == pytest.approx(expected, abs=1e-3)
    assert [scored["si_sdr"] for scored in compute(rows[0])["sources"]] != pytest.approx(expected, abs=1e-3)
    own.unlink()
    with pytest.raises(ValueError, match=r"own\.safetensors: no such control file"):
        plan(experiment)


def test_weights_without_their_state_are_never_written_over(tmp_path):
    (tmp_path / "conv_tasnet.safetensors").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"conv_tasnet\.safetensors: is there already"):
        train_control([], [], [], tmp_path, config())
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("conv_tasnet.safetensors", b"mine")]
