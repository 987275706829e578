"""`python -m unsep_lib.supervised`: train the control on manifests of voices and of sounds, or go on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from unsep_lib.clips import read_manifest
from unsep_lib.mixtures import read_mixtures
from unsep_lib.supervised.config import ControlConfig
from unsep_lib.supervised.run import ControlRun, train_control


def main(argv: Sequence[str] | None = None) -> int:
    """Train and say where the control lies."""
    arguments = _parser().parse_args(argv)
    try:
        speech, sounds = (
            [clip for manifest in manifests for clip in read_manifest(manifest)]
            for manifests in (arguments.speech, arguments.sounds)
        )
        validation = list(read_mixtures(arguments.validation)) if arguments.validation else []
        config = ControlConfig(arguments.minutes, batch=arguments.batch, seed=arguments.seed)
        with tqdm(total=100.0, miniters=0, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}") as bar:

            def show(run: ControlRun, config: ControlConfig) -> None:
                bar.update(100 * config.progress(run.seconds) - bar.n)
                bar.set_postfix_str(f"step {run.step}, loss {run.loss:.2f} dB, {run.curve[-1:]}", refresh=False)

            path = train_control(
                speech, sounds, validation, arguments.out, config, device=arguments.device,
                bfloat16=arguments.bfloat16, workers=arguments.workers, on_step=show,
            )  # fmt: skip
        print(path)
    except ValueError as error:
        print(f"unsep: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m unsep_lib.supervised", description=__doc__)
    parser.add_argument("--speech", nargs="+", required=True, type=Path, metavar="MANIFEST")
    parser.add_argument("--sounds", nargs="+", required=True, type=Path, metavar="MANIFEST")
    parser.add_argument("--minutes", required=True, type=float, help="of training in all, over every resumption")
    parser.add_argument("--validation", type=Path, metavar="DIR", help="mixtures that the curve is measured on")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--batch", type=int, default=ControlConfig.batch, help="mixtures a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that read clips ahead: for GPUs")
    parser.add_argument("--bfloat16", action="store_true", help="multiply in bfloat16: faster on processors with AMX")
    return parser


if __name__ == "__main__":
    sys.exit(main())
