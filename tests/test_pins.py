import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PINS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def pip_list(path):
    dependencies = yaml.safe_load((ROOT / path).read_text())["dependencies"]
    (pip,) = (item["pip"] for item in dependencies if isinstance(item, dict))
    return dependencies, pip


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_pin_what_pyproject_pins(path):
    dependencies, pip = pip_list(path)
    assert [item for item in pip if not item.startswith("--editable")] == PINS
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    minor = int(re.fullmatch(r"python=3\.(\d+)", dependencies[0])[1])
    low, high = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())
    assert low <= minor < high


def test_every_pin_is_exact():
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", pin) for pin in PINS)


def test_the_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    assert {pin: version(pin.split("==")[0]).split("+")[0] for pin in PINS} == {pin: pin.split("==")[1] for pin in PINS}


def test_binder_installs_the_clone_and_stops_at_the_first_error():
    script = ROOT / "binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
