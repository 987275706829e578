"""Priors on disk: safetensors with a model card in their metadata; found by name, loaded by their card's format."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from unsep_lib.files import atomic_path, clear_partials, sha256, write_bytes
from unsep_lib.networks.tf_attention import TfAttentionNetwork
from unsep_lib.networks.tf_config import TfConfig
from unsep_lib.networks.unet import PATCH, CompactConfig, CompactNetwork
from unsep_lib.priors.base import Prior
from unsep_lib.priors.edm import EdmPrior, fastest_precision
from unsep_lib.priors.epsilon import EpsilonPrior
from unsep_lib.settings import imported, module_file, names_python
from unsep_lib.source_spec import SourceSpec, parse_spec

FORMAT = "unsep-compact-1"  # names the network and preconditioning that the tensors belong to
TF_FORMAT = "unsep-tf-attention-1"  # the paper's network and its ε, imported
PRETRAINED = Path(__file__).parents[1] / "pretrained"
RELEASED = {"paper-speech": "speech_source.pt", "paper-sound": "sound_source.pt"}  # prior → the authors' file


class Origin(TypedDict, total=False):
    """What a model card says of where its weights come from; a trained prior's holds its curve and corpora too."""

    hours: float
    source: str
    sha256: str
    licence: str
    untrained: str


class Card(TypedDict):
    """A prior's model card."""

    format: str
    network: dict[str, Any]
    labels: list[str]
    parameters: int
    name: NotRequired[str]
    hours: NotRequired[float]
    source: NotRequired[str]
    sha256: NotRequired[str]
    licence: NotRequired[str]
    untrained: NotRequired[str]


def home() -> Path:
    """The folder of the user's own priors and training runs: `$UNSEP_HOME`, or the platform's data folder."""
    own = os.path.expanduser(os.environ.get("UNSEP_HOME", ""))  # noqa: PTH111
    return Path(own or platformdirs.user_data_dir("unsep"))


def available_priors() -> dict[str, Path]:
    """Name → file of every prior found; the user's own come before shipped ones of the same name."""
    folders = (PRETRAINED, home() / "priors")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("[!.]*.safetensors"))}


def priors_that_know(label: str) -> list[str]:
    """The names of the priors found that have this label; damaged ones are passed over."""
    found = []
    for name, file in available_priors().items():
        with contextlib.suppress(OSError, ValueError):
            found += [name] if label in card_of(file)["labels"] else []
    return found


def find_prior(name: str) -> Path:
    """The file of the prior called `name`, or `name` itself if it is a file.

    Raises:
        ValueError: neither; the message lists the known names, or says what makes a prior of the paper.
    """
    known = available_priors()
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    remedy = "or give a file"
    if name in RELEASED:
        remedy = f"and `unsep checkpoint import {RELEASED[name]} --name {name}` makes this one"
    raise ValueError(f"unknown prior {name!r}: known are {', '.join(known) or 'none'}, {remedy}")


def prior_file(name: str) -> Path:
    """Where the user's own prior called `name` lies, or would lie.

    Raises:
        ValueError: a name that `unsep separate --source` could not take.
    """
    if parse_spec(name) != SourceSpec(name):
        raise ValueError(f"expected a name of letters, digits, '_', '.' and '-', got {name!r}")
    return home() / "priors" / f"{name}.safetensors"


def install(path: Path, target: Path) -> Path:
    """Copy a prior's file to where it is found by name, whole or not at all; returns `target`."""
    clear_partials(target.parent)
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    return target


def save_prior(path: Path | str, prior: EdmPrior, card: Mapping[str, object]) -> None:
    """Write a prior's weights and its card (JSON-serialisable) as one safetensors file, atomically."""
    header = dict(card) | {
        "format": FORMAT,
        "network": asdict(prior.network.config),
        "labels": list(prior.labels),
        "parameters": sum(parameter.numel() for parameter in prior.parameters()),
    }
    save_weights(path, prior, header)


def save_weights(path: Path | str, network: nn.Module, card: Mapping[str, object]) -> None:
    """Write a network's weights and a card (JSON-serialisable) as one safetensors file, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(path, save(tensors, metadata={"card": json.dumps(card, ensure_ascii=False)}))


def save_state(path: Path | str, state: Mapping[str, object]) -> None:
    """Write what a training run goes on from, as torch.save does, atomically."""
    encoded = io.BytesIO()
    torch.save(dict(state), encoded)
    write_bytes(path, encoded.getbuffer())


def card_of(path: Path | str) -> Card:
    """The model card in a prior's file.

    Raises:
        ValueError: the file is missing, truncated, no safetensors, or holds no such prior.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such prior file")
    try:
        with safe_open(path, framework="pt") as archive:
            card: Card = json.loads((archive.metadata() or {})["card"])
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a prior saved by unsep ({error})") from error
    found = card.get("format") if isinstance(card, dict) else card
    if not isinstance(found, str) or found not in LOADERS:
        raise ValueError(f"{path}: expected a prior of format {' or '.join(LOADERS)}, got {found!r}")
    try:
        _check_labels(card.get("labels"))
    except ValueError as error:
        raise ValueError(f"{path}: the weights do not fit their card ({error})") from error
    return card


def load_prior(name: str | Path, device: str | torch.device = "cpu", precision: torch.dtype | None = None) -> Prior:
    """Load a prior by name, by file, or of one's own as `module:name`, ready to denoise on `device`.

    precision: what a compact prior multiplies matrices in; None is the fastest there. A paper's network stays float32.
    `module:name` is imported: a Prior, or a function of no arguments that makes one. A file's card names its format,
    which `register_format` can add to.

    Raises:
        ValueError: unknown name, or a file that is no prior.
    """
    if names_python(name):
        return _ready(_imported(str(name)), device)
    path = find_prior(str(name))
    card = card_of(path)
    try:
        with safe_open(path, framework="pt") as archive:
            tensors = {key: archive.get_tensor(key).float() for key in archive.keys()}  # noqa: SIM118
        _check_labels(card["labels"])
        _check_finite(tensors)
        prior = LOADERS[card["format"]](card, tensors)
    except UNFITTING as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: the weights do not fit their card ({reason})") from error
    if isinstance(prior, EdmPrior):
        prior.precision = precision or fastest_precision(device)
    return _ready(prior, device)


def _ready(prior: Prior, device: str | torch.device) -> Prior:
    if isinstance(prior, nn.Module):
        prior.to(device).eval().requires_grad_(False)
    return prior


def digest_of(name: str | Path) -> str:
    """What tells a prior, or a solver `module:name`, from all others and from what it was before it was changed.

    Its file's SHA-256, or `module:name` with that of the module's file.

    Raises:
        ValueError: unknown name, or a module that is not there or has no file.
    """
    return f"{name} {sha256(module_file(str(name)))}" if names_python(name) else sha256(find_prior(str(name)))


def _imported(path: str) -> Prior:
    found = imported(path, "a prior")
    if not isinstance(found, Prior) and callable(found):
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            raise ValueError(f"expected a prior or a function of no arguments at {path!r}: {error}") from error
        found = found()
    if not isinstance(found, Prior):
        raise ValueError(f"expected a prior at {path!r}, got {type(found).__name__}")
    return found


def _check_labels(labels: object) -> None:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"expected a list of labels, got {labels!r}")


def _check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"expected finite numbers under {name}, got NaN or infinity")


def _load_compact(card: Card, tensors: dict[str, torch.Tensor]) -> EdmPrior:
    network = card["network"]
    shape: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in network.items()}
    config = CompactConfig(**shape)
    _check_compact(config, card["labels"], tensors)
    prior = EdmPrior(CompactNetwork(config), tensors["spectrum"], card["labels"])
    prior.load_state_dict(tensors)
    return prior


def _check_compact(config: CompactConfig, labels: list[str], tensors: Mapping[str, torch.Tensor]) -> None:
    """Compare what the card promises with what the file holds before memory is taken for it."""
    blocks = tuple(
        len({name.split(".")[4] for name in tensors if name.startswith(f"network.encoder.{level}.blocks.")})
        for level in range(len(config.blocks))
    )
    if blocks != config.blocks:
        raise ValueError(f"expected blocks {config.blocks} for widths {config.widths}, got {blocks}")
    if config.labels != len(labels):
        raise ValueError(f"expected {config.labels} labels, got {len(labels)}")
    expected = {
        "spectrum": (config.bins,),
        "network.frequency": (config.widths[0], config.bins // PATCH, 1),
        "network.embedding.label.weight": (config.labels + 1, config.embedding),
    } | {
        f"network.down.{level}.weight": (coarse, 4 * fine)
        for level, (fine, coarse) in enumerate(itertools.pairwise(config.widths))
    }
    for name, shape in expected.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            raise ValueError(f"expected {name} of shape {shape}")


def _load_tf_attention(card: Card, tensors: dict[str, torch.Tensor]) -> EpsilonPrior:
    config = TfConfig(**card["network"])
    with torch.device("meta"):
        network = TfAttentionNetwork(config)
    network.load_state_dict(tensors, assign=True)
    only_class = config.labels == 1
    return EpsilonPrior(network, card["labels"], unlabelled=0 if only_class else config.labels)


UNFITTING = (
    SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    ArithmeticError,
    RuntimeError,
)  # what network code raises for a card that promises something else
Loader = Callable[[Card, dict[str, torch.Tensor]], Prior]  # (the card, the file's tensors as float32) → the prior
LOADERS: dict[str, Loader] = {FORMAT: _load_compact, TF_FORMAT: _load_tf_attention}


def register_format(name: str, loader: Loader) -> None:
    """Have `load_prior` read the files whose card names this format by `loader`.

    Such a file is a safetensors file whose metadata holds the card under "card", as `save_weights` writes it: JSON with
    the keys format, labels (none: an empty list), network and parameters. What the loader raises for a file that does
    not fit becomes a ValueError that names the file.

    Raises:
        ValueError: another loader reads this format already.
    """
    if LOADERS.setdefault(name, loader) is not loader:
        raise ValueError(f"expected a format that no other loader reads, got {name!r}")
