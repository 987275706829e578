"""Priors of the paper's network (arXiv 2512.07226): the authors' released checkpoints, and random stand-ins."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

from unsep_lib.files import sha256, write_bytes, write_json
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig, config_of, formula_state
from unsep_lib.priors.checkpoints import TF_FORMAT, Card, Origin, home
from unsep_lib.priors.epsilon import labels_of_classes

PINS = "imported_sha256.json"


def pins_file() -> Path:
    """Where the hashes are kept, in the user's folder: JSON {file name: sha256}."""
    return home() / PINS


def check_pin(name: str, digest: str, accept_new: bool = False) -> None:
    """Refuse a file called `name` unless its hash is the pinned one, none is pinned yet, or a new one is accepted.

    Raises:
        ValueError: another hash is pinned, or the pins cannot be read.
    """
    pinned = _pins().get(name, digest)
    if pinned != digest and not accept_new:
        raise ValueError(
            f"{name}: expected sha256 {pinned}, pinned in {pins_file()} at the first import of a file of this name, "
            f"got {digest}: if you trust the new file, import it with --accept-new-hash"
        )


def pin(name: str, digest: str) -> None:
    """Expect this hash of every later file called `name`.

    Raises:
        ValueError: the pins cannot be read or written.
    """
    write_json(pins_file(), _pins() | {name: digest})


def _pins() -> dict[str, str]:
    file = pins_file()
    if not file.is_file():
        return {}
    try:
        pins = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: not readable as JSON ({error}); repair or remove it") from error
    if not isinstance(pins, dict):
        raise ValueError(f"{file}: expected an object of file names and hashes, got {type(pins).__name__}; repair it")
    return pins


WEIGHTS = "ema"  # the averaged weights; only they separate well
LICENCE = "unresolved; not to be redistributed"
UNTRAINED = "weights from a formula, trained on nothing: they exercise the code and separate nothing"
DIFFERENCES_SHOWN = 3


def read_released(path: Path | str) -> tuple[TfConfig, dict[str, torch.Tensor]]:
    """Configuration and averaged weights of a released `.pt` file; nothing in it is executed.

    Raises:
        ValueError: no such file, no checkpoint, objects other than tensors in it, or weights of another network.
    """
    checkpoint = _load_tensors(_existing(path))
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get(WEIGHTS), Mapping):
        found = ", ".join(map(str, list(checkpoint)[:DIFFERENCES_SHOWN])) if isinstance(checkpoint, Mapping) else ""
        raise ValueError(f"{path}: expected a dictionary with a state under {WEIGHTS!r}, got {found or 'none'}")
    state = checkpoint[WEIGHTS]
    try:
        config = _fitting_config(state)
    except ValueError as error:
        raise ValueError(f"{path}: not the paper's network: {error}") from error
    return config, {name: tensor.detach().float().clone().contiguous() for name, tensor in state.items()}


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path


def _load_tensors(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # an unpickler raises anything on arbitrary bytes
        code = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
        reason = "it holds objects other than tensors, which could run code" if code else "damaged, or of another kind"
        raise ValueError(f"{path}: not a checkpoint that can be read safely: {reason}") from error


def _fitting_config(state: Mapping[str, object]) -> TfConfig:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or not tensor.isfinite().all():
            raise ValueError(f"expected finite numbers under {name}, got {_described(tensor)}")
        shapes[name] = tuple(tensor.shape)
    config = config_of(shapes)
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in TfAttentionNetwork(config).state_dict().items()}
    differing = [name for name in {**expected, **shapes} if expected.get(name) != shapes.get(name)]
    if differing:
        shown = "; ".join(
            f"{name}: expected {_shape(expected.get(name))}, got {_shape(shapes.get(name))}"
            for name in differing[:DIFFERENCES_SHOWN]
        )
        raise ValueError(f"{len(differing)} of {len(expected)} tensors differ: {shown}")
    return config


def _described(value: object) -> str:
    return f"NaN, infinity or {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "×".join(map(str, shape))


def import_released(path: Path | str, target: Path | str, accept_new_hash: bool = False) -> Card:
    """Write a released checkpoint's weights as the prior file `target`, atomically; returns its card.

    The hash of the first file of a name is pinned; `accept_new_hash` pins another one instead.

    Raises:
        ValueError: as `read_released`, a file that is not the one imported before, or `target` cannot be written.
    """
    path = _existing(path)
    digest = sha256(path)
    check_pin(path.name, digest, accept_new_hash)
    config, tensors = read_released(path)
    card = _write_prior(target, config, tensors, {"source": path.name, "sha256": digest, "licence": LICENCE})
    pin(path.name, digest)
    return card


def write_random(target: Path | str, config: TfConfig) -> Card:
    """Write the paper's network with weights from a formula as the prior file `target`, atomically; returns its card.

    It runs wherever an imported prior runs, and separates nothing.

    Raises:
        ValueError: `target` cannot be written.
    """
    with torch.device("meta"):
        network = TfAttentionNetwork(config)
    tensors = {name: tensor.float() for name, tensor in formula_state(network).items()}
    return _write_prior(target, config, tensors, {"untrained": UNTRAINED, "hours": 0.0})


def _write_prior(target: Path | str, config: TfConfig, tensors: Mapping[str, torch.Tensor], origin: Origin) -> Card:
    card: Card = {
        "format": TF_FORMAT,
        "name": Path(target).stem,
        "network": asdict(config),
        "labels": list(labels_of_classes(config.labels)),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        **origin,
    }
    write_bytes(target, save(dict(tensors), metadata={"card": json.dumps(card, ensure_ascii=False)}))
    return card
