"""The supervised control trained on random mixtures of clips (Conv-TasNet): resumable, one process."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from tqdm import tqdm

from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.mixtures import LEVEL_HIGH, LEVEL_LOW, Mixture, headings, read_mixtures
from unsep_lib.evaluation.conv_tasnet import SOURCES, Control, ControlSize, save_control
from unsep_lib.evaluation.evaluate import evaluate
from unsep_lib.files import alone
from unsep_lib.parallel import exit_code, undisturbed
from unsep_lib.priors.checkpoints import save_state
from unsep_lib.training.config import check_recipe, decayed, share_of
from unsep_lib.training.data import CropStream, prefetched
from unsep_lib.training.loop import CHECKPOINT_SECONDS, STATE_FILE, VALIDATION_SECONDS, refuse_foreign

CONTROL_FILE = "conv_tasnet.safetensors"
COUNTERS = ("step", "seconds", "loss", "curve")  # of a run, kept in its state


@dataclass(frozen=True)
class ControlConfig:
    """How the control is trained: the published loss, optimiser, rate and clipping (arXiv 1809.07454).

    minutes: training time in all, over every resumption; batch: mixtures per step; segment_seconds: half the published,
    which gained more in equal minutes; decay_from (share of the minutes): from there on the rate falls linearly to
    zero, as the priors' does. (The published recipe halves it when the validation loss stands still, which it does not
    within hours on one thread.)
    """

    minutes: float
    size: ControlSize = field(default_factory=ControlSize)
    batch: int = 4
    segment_seconds: float = 2.0
    learning_rate: float = 1e-3
    gradient_clip: float = 5.0
    decay_from: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_recipe(self.minutes, self.batch, self.seed)

    def progress(self, seconds: float) -> float:
        """Share of the minutes that is spent, 0 … 1."""
        return share_of(self.minutes, seconds)

    def rate(self, seconds: float) -> float:
        """The learning rate after `seconds` of training: constant, then falling linearly to zero."""
        return self.learning_rate * decayed(self.progress(seconds), self.decay_from, final=0.0)


@dataclass
class ControlRun:
    """A run's network, optimiser, counters and curve; `curve` rows hold step, seconds, loss and improvement in dB."""

    control: Control
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    diverged: bool = False


def train_control(
    speech: Sequence[Clip],
    sounds: Sequence[Clip],
    validation: Sequence[Mixture],
    folder: Path | str,
    config: ControlConfig,
    *,
    device: str = "cpu",
    bfloat16: bool = False,
    workers: int = 0,
    on_step: Callable[[ControlRun, ControlConfig], None] | None = None,
) -> Path:
    """Train the control on mixtures of a voice and a sound; returns its file, `folder/conv_tasnet.safetensors`.

    Crops are drawn and augmented as for the priors, from clips of split "train"; each gets a level of −25 … −20 dBFS,
    as the sources of the task do. validation: mixtures of a voice and a sound; the curve holds their mean improvement.
    The run's state lies in `folder/state.pt`: the same call continues it, and with more minutes prolongs it. bfloat16
    (weights stay float32) is faster on processors with AMX; `workers` processes read the same crops ahead of time.

    Raises:
        ValueError: no training clips of a kind, validation on other mixtures, another recipe's state or weights without
            one in `folder`, or a loss that is not finite: then `folder` keeps the last good state.
    """
    for one in headings(validation):
        if tuple(spec.prior for spec in one.specs) != SOURCES:
            expected, got = " and ".join(SOURCES), ", ".join(map(str, one.specs))
            raise ValueError(f"{one.name}: expected a mixture of {expected} to validate on, got {got}")
    with alone(folder := Path(folder)):
        refuse_foreign(folder / CONTROL_FILE, folder / STATE_FILE)
        run = _start(folder / STATE_FILE, config, device)
        draw = partial(_drawn, [_stream(clips, config) for clips in (speech, sounds)], config)
        batches = prefetched(draw, run.step, workers)
        torch.set_flush_denormal(True)
        saved, saved_step = time.monotonic(), run.step
        try:
            while config.progress(run.seconds) < 1.0:
                began = time.monotonic()
                loss, norm = _gradient(run, batches, config, bfloat16)
                if not math.isfinite(loss + norm):
                    run.diverged = True
                    raise ValueError(_diverged(folder, run.step + 1, loss, saved_step))
                if time.monotonic() - saved > CHECKPOINT_SECONDS:  # these weights have just given a finite loss
                    paused = time.monotonic()
                    _save(run, folder, config, validation)
                    saved, saved_step = time.monotonic(), run.step
                    began += saved - paused
                with undisturbed():
                    _advance(run, loss, began, config)
                if on_step is not None:
                    on_step(run, config)
            run.diverged = not _is_finite(run.control)
            if run.diverged:
                raise ValueError(_diverged(folder, run.step, math.nan, saved_step))
        finally:
            torch.set_flush_denormal(False)
            if not run.diverged and _is_finite(run.control):
                _save(run, folder, config, validation)
    return folder / CONTROL_FILE


def _is_finite(control: Control) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in control.state_dict().values())


def _diverged(folder: Path, step: int, loss: float, saved_step: int) -> str:
    kept = f"step {saved_step} is kept there" if saved_step else "nothing was written"
    return f"{folder}: the loss of step {step} is {loss}; {kept}"


def improvement(control: Control, mixtures: Sequence[Mixture]) -> float:
    """Mean SI-SDR improvement in dB over the sources of mixtures of a voice and a sound, in this order.

    Raises:
        ValueError: no source of the mixtures has an improvement.
    """
    device = next(control.parameters()).device
    scored = evaluate(mixtures, lambda mixture: control.separate(mixture.mixture.to(device)).cpu())
    found = scored.statistic("si_sdr_improvement")
    if found is None:
        raise ValueError("expected mixtures of two audible sources, got none")
    return found.mean


def _start(path: Path, config: ControlConfig, device: str) -> ControlRun:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        control = Control(config.size).to(device)
    run = ControlRun(control, torch.optim.Adam(control.parameters(), lr=config.learning_rate))
    if not path.is_file():
        return run
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if saved["config"] != asdict(replace(config, minutes=saved["config"]["minutes"])):
            raise ValueError("it was trained with another recipe; choose another folder")
        control.load_state_dict(saved["control"])
        run.optimiser.load_state_dict(saved["optimiser"])
        run.step, run.seconds, run.loss, run.curve = (saved[name] for name in COUNTERS)
    except Exception as error:
        raise ValueError(f"{path}: not a state that this training can resume from ({error})") from error
    return run


def _stream(clips: Sequence[Clip], config: ControlConfig) -> CropStream:
    chosen = [clip for clip in clips if clip.split == "train"]
    levels, generator = (LEVEL_LOW, LEVEL_HIGH), numpy.random.default_rng(config.seed)
    return CropStream(chosen, (), config.segment_seconds, levels, generator, augment=True)


def _drawn(streams: Sequence[CropStream], config: ControlConfig, step: int) -> torch.Tensor:
    """Sources [mixture, source, time] of a step: the same in whichever process they are drawn."""
    generators = [
        [numpy.random.default_rng([config.seed, step, place, source]) for place in range(config.batch)]
        for source in range(len(SOURCES))
    ]
    crops = [stream.drawn_with(own)[0] for stream, own in zip(streams, generators, strict=True)]
    return torch.stack(crops, dim=1)


def _gradient(
    run: ControlRun, batches: Iterator[torch.Tensor], config: ControlConfig, bfloat16: bool
) -> tuple[float, float]:
    """Leave the loss's clipped gradient; returns the loss and the gradient's norm."""
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio  # imports matplotlib

    sources = next(batches).to(next(run.control.parameters()).device)
    with torch.autocast(sources.device.type, torch.bfloat16, enabled=bfloat16):
        estimates = run.control(sources.sum(dim=1)).float()
    loss = -scale_invariant_signal_distortion_ratio(estimates, sources, zero_mean=True).mean()
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.control.parameters(), config.gradient_clip)
    return loss.item(), norm.item()


def _advance(run: ControlRun, loss: float, began: float, config: ControlConfig) -> None:
    """Apply the gradient and count the step; `began`: when it began."""
    for group in run.optimiser.param_groups:
        group["lr"] = config.rate(run.seconds)
    run.optimiser.step()
    run.step += 1
    run.loss += (loss - run.loss) / min(run.step, 50)
    run.seconds += time.monotonic() - began


def _save(run: ControlRun, folder: Path, config: ControlConfig, validation: Sequence[Mixture]) -> None:
    due = run.seconds - (run.curve[-1]["seconds"] if run.curve else 0.0)
    if due > VALIDATION_SECONDS or (due and config.progress(run.seconds) >= 1.0):
        run.control.eval()
        row = {"step": run.step, "seconds": run.seconds, "loss": run.loss}
        run.curve.append(row | ({"improvement": improvement(run.control, validation)} if validation else {}))
        run.control.train()
    state = {
        "config": asdict(config),
        "control": run.control.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        **{name: getattr(run, name) for name in COUNTERS},
    }
    save_state(folder / STATE_FILE, state)
    card = {"recipe": asdict(config), "steps": run.step, "hours": run.seconds / 3600, "curve": run.curve}
    save_control(folder / CONTROL_FILE, run.control, card)


def _trained(arguments: argparse.Namespace) -> Path:
    speech, sounds = (
        [clip for manifest in manifests for clip in read_manifest(manifest)]
        for manifests in (arguments.speech, arguments.sounds)
    )
    validation = read_mixtures(arguments.validation) if arguments.validation else ()
    config = ControlConfig(arguments.minutes, batch=arguments.batch, seed=arguments.seed)
    with tqdm(total=100.0, miniters=0, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}") as bar:

        def show(run: ControlRun, config: ControlConfig) -> None:
            bar.update(100 * config.progress(run.seconds) - bar.n)
            bar.set_postfix_str(f"step {run.step}, loss {run.loss:.2f} dB, {run.curve[-1:]}", refresh=False)

        return train_control(
            speech, sounds, validation, arguments.out, config, device=arguments.device,
            bfloat16=arguments.bfloat16, workers=arguments.workers, on_step=show,
        )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Train and say where the control lies."""
    arguments = _parser().parse_args(argv)

    def work() -> int:
        print(_trained(arguments))
        return 0

    return exit_code(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m unsep_lib.training.conv_tasnet", description=__doc__)
    parser.add_argument("--speech", nargs="+", required=True, type=Path, metavar="MANIFEST")
    parser.add_argument("--sounds", nargs="+", required=True, type=Path, metavar="MANIFEST")
    parser.add_argument("--minutes", required=True, type=float, help="of training in all, over every resumption")
    parser.add_argument("--validation", type=Path, metavar="DIR", help="mixtures that the curve is measured on")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--batch", type=int, default=ControlConfig.batch, help="mixtures per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that read clips ahead: for GPUs")
    parser.add_argument("--bfloat16", action="store_true", help="multiply in bfloat16: faster on processors with AMX")
    return parser


if __name__ == "__main__":
    sys.exit(main())
