import re
import tomllib
from urllib.parse import unquote

import pytest
import yaml
from places import REPOSITORY

PINS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]


def pip_list(path):
    dependencies = yaml.safe_load((REPOSITORY / path).read_text())["dependencies"]
    (pip,) = (item["pip"] for item in dependencies if isinstance(item, dict))
    return dependencies, pip


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_pin_what_pyproject_pins(path):
    dependencies, pip = pip_list(path)
    assert [item for item in pip if not item.startswith("--editable")] == PINS
    supported = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    minor = int(re.fullmatch(r"python=3\.(\d+)", dependencies[0])[1])
    low, high = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())
    assert low <= minor < high


def test_every_pin_is_exact():
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", pin) for pin in PINS)


def test_the_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    assert {pin: version(pin.split("==")[0]).split("+")[0] for pin in PINS} == {pin: pin.split("==")[1] for pin in PINS}


def test_binder_installs_the_clone_and_stops_at_the_first_error():
    script = REPOSITORY / "binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


# What repo2docker reads from binder/; it ignores everything else there, and a requirements.txt beside environment.yml.
REPO2DOCKER = {"environment.yml", "postBuild", "start", "apt.txt"}


def test_binder_holds_only_what_repo2docker_reads():
    assert {path.name for path in (REPOSITORY / "binder").iterdir()} <= REPO2DOCKER
    assert not any((REPOSITORY / name).exists() for name in ("Dockerfile", ".binder"))  # either would win over binder/
    environment = yaml.safe_load((REPOSITORY / "binder" / "environment.yml").read_text())
    assert environment.keys() == {"name", "channels", "dependencies"}
    assert "pip" in environment["dependencies"]


def test_the_link_to_binder_opens_the_first_notebook():
    (target,) = set(re.findall(r"mybinder\.org/\S+?labpath=([\w%.]+)", (REPOSITORY / "README.md").read_text()))
    assert unquote(target) == "notebooks/00_start.ipynb" and (REPOSITORY / unquote(target)).is_file()


def test_the_hosted_workflow_runs_what_ci_runs():
    """.ci/run runs `make test`, which holds nbval over all notebooks at smoke size."""
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    supported = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(low, high)]
    assert re.search(r"^make test$", (REPOSITORY / ".ci" / "run").read_text(), flags=re.MULTILINE)
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ntest: ")[2].partition("\n\n")[0].replace("\\\n", " ")
    lines = [line for line in recipe.splitlines() if "--nbval-lax" in line]
    assert len(lines) == 1 and "UNSEP_PROFILE=smoke" in lines[0] and lines[0].endswith(" notebooks")
    assert re.search(r"reproduce --profile smoke .*--check", recipe)
