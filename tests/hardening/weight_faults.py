"""Weights and checkpoints that are broken or hostile."""

from __future__ import annotations

import json
import pickle
import struct
from functools import partial

import torch
from safetensors.torch import load_file, save_file

from hardening.cases import Fault
from hardening.file_faults import DEEP, folder_called, gone, written

TINY = {"labels": 0, "bins": 256, "widths": [8, 8], "blocks": [1, 1], "heads": 2, "embedding": 16}


def header(content, length=None):
    """The bytes of a safetensors file with such a header."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + bytes(64)


def tensor(start, stop, shape=(4,), dtype="F32"):
    return {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}}


def card(**changes):
    return {"format": "unsep-compact-1", "network": TINY, "labels": [], "parameters": 1} | changes


def prior(folder, **changes):
    """A prior of tiny zeros whose card says something else."""
    from unsep_lib.networks.unet import CompactConfig, CompactNetwork

    shape = {key: tuple(value) if isinstance(value, list) else value for key, value in TINY.items()}
    tensors = {f"network.{name}": value for name, value in CompactNetwork(CompactConfig(**shape)).state_dict().items()}
    tensors |= {"spectrum": torch.ones(256)}
    path = folder / "p.safetensors"
    save_file(tensors, path, metadata={"card": json.dumps(card(**changes))})
    return path


def prior_with(folder, name, value):
    path = prior(folder)
    tensors = {key: found for key, found in load_file(path).items() if key != name}
    save_file(tensors | ({} if value is None else {name: value}), path, metadata={"card": json.dumps(card())})
    return path


def plain_tensors(folder, metadata):
    save_file({"x": torch.zeros(4)}, folder / "p.safetensors", metadata=metadata)
    return folder / "p.safetensors"


class Code:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return exec, ("open('/tmp/unsep-this-must-not-exist', 'w')",)


NO_PRIOR, NO_FIT = "not a prior saved by unsep", "do not fit their card"
FILE = "p.safetensors"
HUGE = [200_000_000, 8]
PRIORS = (
    Fault("missing", partial(gone, name=FILE), "unknown prior"),
    Fault("a folder", partial(folder_called, name=FILE), "unknown prior"),
    *(
        Fault(name, partial(written, content=content, name=FILE), NO_PRIOR)
        for name, content in {
            "empty": b"",
            "text": b"half a file",
            "pickle": pickle.dumps({"ema": Code()}),
            "header 2⁶³ long": header({}, 2**63),
            "header 2³⁰ long": header({}, 2**30),
            "header no JSON": header(b"{]"),
            "header no UTF-8": header(b"\xff" * 16),
            "header nested": header(b'{"x":' + b"[" * DEEP + b"}"),
            "header a list": header([1]),
            "offsets outside": header(tensor(0, 2**40)),
            "offsets backwards": header(tensor(16, 0)),
            "offsets overlapping": header(tensor(0, 16) | {"y": tensor(8, 24)["x"]}),
            "shape overflowing": header(tensor(0, 16, (2**40, 2**40))),
            "shape negative": header(tensor(0, 16, (-4,))),
            "type unknown": header(tensor(0, 16, dtype="F31")),
            "twice the same name": header(b'{"x":1,"x":2}'),
        }.items()
    ),
    Fault("no card", partial(plain_tensors, metadata=None), NO_PRIOR),
    Fault("card no JSON", partial(plain_tensors, metadata={"card": "{"}), NO_PRIOR),
    Fault("card nested", partial(plain_tensors, metadata={"card": "[" * DEEP}), NO_PRIOR),
    Fault("card a list", partial(plain_tensors, metadata={"card": "[1]"}), "expected a prior of format"),
    Fault("card a foreign format", partial(prior, format="other"), "expected a prior of format"),
    Fault("card a format list", partial(prior, format=[1]), "expected a prior of format"),
    Fault("card without network", partial(plain_tensors, metadata={"card": '{"format": "unsep-compact-1"}'}), NO_FIT),
    Fault("network huge", partial(prior, network=TINY | {"widths": HUGE}), NO_FIT),
    Fault("network deep", partial(prior, network=TINY | {"blocks": [10**9, 1]}), NO_FIT),
    Fault("network negative", partial(prior, network=TINY | {"widths": [-8, 8]}), NO_FIT),
    Fault("network of words", partial(prior, network=TINY | {"widths": ["a", "b"]}), NO_FIT),
    Fault("network a list", partial(prior, network=[1]), NO_FIT),
    Fault("network unknown key", partial(prior, network=TINY | {"depth": 1}), NO_FIT),
    Fault("labels more than rows", partial(prior, labels=["a", "b"]), NO_FIT),
    Fault("labels a number", partial(prior, labels=3), NO_FIT),
    Fault("labels of numbers", partial(prior, labels=[1]), NO_FIT),
    Fault("weight missing", partial(prior_with, name="spectrum", value=None), NO_FIT),
    Fault("weight extra", partial(prior_with, name="extra", value=torch.ones(2)), NO_FIT),
    Fault("weight of other shape", partial(prior_with, name="spectrum", value=torch.ones(7)), NO_FIT),
    Fault("weight NaN", partial(prior_with, name="spectrum", value=torch.full((256,), torch.nan)), NO_FIT),
    Fault("as saved", prior),
)


def released(folder, value, name="r.pt"):
    torch.save(value, folder / name)
    return folder / name


NO_CHECKPOINT, NO_STATE = "not a checkpoint that can be read safely", "expected a dictionary with a state under 'ema'"
RELEASED = (
    Fault("missing", partial(gone, name="r.pt"), "no such file"),
    Fault("a folder", partial(folder_called, name="r.pt"), "no such file"),
    *(
        Fault(name, partial(written, content=content, name="r.pt"), NO_CHECKPOINT)
        for name, content in {
            "empty": b"",
            "text": b"not a checkpoint",
            "pickle of code": pickle.dumps({"ema": Code()}, protocol=2),
            "newer pickle of code": pickle.dumps({"ema": Code()}),
            "pickle of many lists": b"\x80\x02" + b"(" * DEEP + b"l" * DEEP + b".",
            "zip of nothing": b"PK\x05\x06" + bytes(18),
        }.items()
    ),
    Fault("code in a zip", lambda folder: released(folder, {"ema": Code()}), "could run code"),
    Fault(
        "truncated",
        lambda folder: written(folder, released(folder, {"ema": {}}).read_bytes()[:300], "r.pt"),
        NO_CHECKPOINT,
    ),
    Fault("a tensor", partial(released, value=torch.ones(1)), NO_STATE),
    Fault("another dictionary", partial(released, value={"model": {}}), NO_STATE),
    Fault("no weights", partial(released, value={"ema": {}}), "not the paper's network"),
    Fault("foreign weights", partial(released, value={"ema": {"x": torch.ones(1)}}), "not the paper's network"),
    Fault("names of numbers", partial(released, value={"ema": {3: torch.ones(1)}}), "not the paper's network"),
    Fault("NaN", partial(released, value={"ema": {"x": torch.full((1,), torch.nan)}}), "not the paper's network"),
)
