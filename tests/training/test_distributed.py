import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unsep_lib.data.clips import write_manifest
from unsep_lib.data.embedded import embedded_clips
from unsep_lib.priors.checkpoints import card_of
from unsep_lib.training.distributed import Processes, launched, launched_in_bfloat16

STEP = Path(__file__).with_name("gradient_of_a_step.py")
FLOAT_TOLERANCE = 1e-5  # of the largest element: sums in another order; 3e-6 seen on an AMD EPYC
PLAIN = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", *PLAIN]


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    manifest = tmp_path_factory.mktemp("voices") / "voices.jsonl"
    write_manifest(manifest, [clip for clip in embedded_clips() if clip.split == "train" and not clip.label])
    return manifest


def python(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def step(manifest, batch, file):
    """One training step in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(STEP), str(manifest), str(batch), str(file)])
        patch.setattr(torch.nn.utils, "clip_grad_norm_", torch.nn.utils.clip_grad_norm_)  # as it was, afterwards
        runpy.run_path(str(STEP))


def test_two_processes_give_the_gradient_of_one_with_twice_the_batch(voices, tmp_path):
    step(voices, 4, tmp_path / "one")
    python(*LAUNCH, STEP, voices, 2, tmp_path / "two")
    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=FLOAT_TOLERANCE * float(gradient.abs().max()))
    step(voices, 2, tmp_path / "half")
    half = load_file(tmp_path / "half")
    assert any((half[name] - one[name]).norm() > 0.1 * one[name].norm() for name in one)


def test_the_launched_command_writes_one_prior(voices, tmp_path):
    options = ["--data", voices, "--steps", 2, "--batch", 1, "--out", tmp_path / "run"]
    said = python(*LAUNCH, "-m", "unsep_lib", "train", "own", *options)
    assert said.count("own.safetensors") == 1
    assert card_of(tmp_path / "run" / "own.safetensors")["steps"] == 2


def test_each_process_has_its_own_share_and_gpu(monkeypatch):
    assert launched() == Processes(0, 1, 0)
    assert str(launched().device("cuda")) == "cuda"
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert list(launched().places(3)) == [15, 16, 17]
    assert str(launched().device("cuda")) == "cuda:1"
    assert not launched().first


def test_the_launchers_precision_is_heeded(monkeypatch):
    assert not launched_in_bfloat16()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert launched_in_bfloat16()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(ValueError, match="expected --mixed_precision no or bf16, got fp16"):
        launched_in_bfloat16()
