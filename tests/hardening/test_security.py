"""What SECURITY.md promises of the source."""

import ast
import json
import re
import subprocess
import sys

import pytest
from places import LIBRARY, REPOSITORY

DANGERS = {
    "S301": "import pickle\npickle.loads(b'')\n",
    "S602": "import subprocess\nsubprocess.run('ls', shell=True)\n",
    "S605": "import os\nos.system('ls *')\n",
    "S307": "eval('1')\n",
    "S102": "exec('1')\n",
    "S202": "import tarfile\ntarfile.open('x').extractall()\n",
    "S104": "address = '0.0.0.0'\n",
    "S501": "import requests\nrequests.get('https://x.org', verify=False, timeout=1)\n",
    "S506": "import yaml\nyaml.load('x')\n",
}


def found(*paths, text=None):
    """Codes of ruff's security rules in files, or in `text`; comments cannot silence them."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--preview",
               "--output-format=json", f"--select={','.join(DANGERS)}"]  # fmt: skip
    command += ["-"] if text is not None else [str(path) for path in paths]
    shown = subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout
    return [one["code"] for one in json.loads(shown)]


@pytest.mark.parametrize("code", DANGERS)
def test_the_check_sees_what_it_looks_for(code):
    assert code in found(text=DANGERS[code])


def test_nothing_dangerous_is_in_the_library():
    assert found(LIBRARY, REPOSITORY / "data_prep") == []


def unsafe_loads(text):
    """Lines of `torch.load` without `weights_only=True`."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    loads = (call for call in calls if ast.unparse(call.func) == "torch.load")
    return [call.lineno for call in loads if "weights_only=True" not in map(ast.unparse, call.keywords)]


def test_only_tensors_are_loaded():
    assert unsafe_loads("import torch\ntorch.load('x')\ntorch.load('x', weights_only=False)\n") == [2, 3]
    for path in (LIBRARY).rglob("*.py"):
        assert unsafe_loads(path.read_text(encoding="utf-8")) == [], path


def test_every_test_that_the_promises_name_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 5
    for file, function in named:
        assert f"def {function}" in (REPOSITORY / file).read_text(encoding="utf-8"), (file, function)
