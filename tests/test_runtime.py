"""The package with its runtime dependencies alone, as `pip install .` leaves it, separates a recording."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution

import pytest
from command_line import noise, write
from packaging.requirements import Requirement
from places import REPOSITORY


def closure(requirements):
    """Distributions of `requirements` and of all that these require, extras included where they are asked for."""
    found, left = {}, [Requirement(requirement) for requirement in requirements]
    while left:
        wanted = left.pop()
        key = (wanted.name, frozenset(wanted.extras))
        if key not in found:
            found[key] = distribution(wanted.name)
            extras = {"", *wanted.extras}
            for further in map(Requirement, found[key].requires or []):
                if not further.marker or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                    left.append(further)
    return found.values()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A folder for PYTHONPATH that holds the files of the runtime dependencies, of these and of nothing else."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for one in closure(project["dependencies"]):
        for top in {file.parts[0] for file in one.files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(one.locate_file(top))
    return folder


def run(bare, home, *arguments):
    """`python -m unsep_lib …` where only `bare` and the library can be imported."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{bare}{os.pathsep}{REPOSITORY}"}
    command = [sys.executable, "-S", "-B", *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def test_it_separates(bare, tmp_path):
    write(tmp_path / "mix.wav", noise(1, 8000).numpy())
    options = ["mix.wav", "--source", "speech", "--source", "sound", "--steps", "1", "--out", "out"]
    result = run(bare, tmp_path, "-m", "unsep_lib", "separate", *options)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"speech.wav", "sound.wav", "residual.wav"}


def test_the_others_are_not_there_and_a_command_that_needs_them_says_so(bare, tmp_path):
    assert "No module named 'pandas'" in run(bare, tmp_path, "-c", "import pandas").stderr
    result = run(bare, tmp_path, "-m", "unsep_lib", "reproduce", "--profile", "smoke", "--out", "out")
    assert result.returncode == 2
    assert re.fullmatch(r"unsep: error: this needs \w+, .* pip install unsep\[all\] brings it\n", result.stderr)
