import itertools
import re
import tomllib
from urllib.parse import unquote

import pytest
import yaml
from places import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIRED = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
PINS = sorted({pin for pin in REQUIRED if not pin.startswith("unsep[")})
OPTIONAL = {"pesq"}  # compiled from source, so in no other extra


@pytest.mark.parametrize(("path", "clone"), [("environment.yml", "."), ("binder/environment.yml", "..")])
def test_conda_environments_are_python_and_the_clone_with_all_extras(path, clone):
    environment = yaml.safe_load((REPOSITORY / path).read_text())
    assert environment.keys() == {"name", "channels", "dependencies"}
    python, pip, packages = environment["dependencies"]
    assert pip == "pip" and packages == {"pip": [f"--editable {clone}[all]"]}
    assert ((REPOSITORY / path).parent / clone / "pyproject.toml").is_file()  # pip runs in the file's folder
    minor = int(re.fullmatch(r"python=3\.(\d+)", python)[1])
    low, high = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups())
    assert low <= minor < high


def test_all_holds_every_extra():
    def held(extra):
        for pin in PROJECT["optional-dependencies"][extra]:
            nested = re.fullmatch(r"unsep\[(.+)\]", pin)
            if nested:
                for name in nested[1].split(","):
                    yield from held(name)
            else:
                yield pin

    assert {*PROJECT["dependencies"], *held("all")} == {pin for pin in PINS if pin.split("==")[0] not in OPTIONAL}


def test_every_pin_is_exact():
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", pin) for pin in PINS)


def test_the_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    installed = {pin for pin in PINS if pin.split("==")[0] not in OPTIONAL}
    assert {pin: version(pin.split("==")[0]).split("+")[0] for pin in installed} == {
        pin: pin.split("==")[1] for pin in installed
    }


# What repo2docker reads from binder/; it ignores everything else there, and a requirements.txt beside environment.yml.
REPO2DOCKER = {"environment.yml", "postBuild", "start", "apt.txt", "README.md"}


def test_binder_holds_only_what_repo2docker_reads():
    assert {path.name for path in (REPOSITORY / "binder").iterdir()} <= REPO2DOCKER
    assert not any((REPOSITORY / name).exists() for name in ("Dockerfile", ".binder"))  # either would win over binder/


def test_the_link_to_binder_opens_the_first_notebook():
    (target,) = set(
        re.findall(r"mybinder\.org/\S+?labpath=([\w%.]+)", (REPOSITORY / "binder" / "README.md").read_text())
    )
    assert unquote(target) == "notebooks/00_start.ipynb" and (REPOSITORY / unquote(target)).is_file()


def test_the_hosted_workflow_runs_what_ci_runs():
    """.ci/run runs `make test`, which holds nbval over all notebooks at smoke size."""
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    supported = PROJECT["requires-python"]
    low, high = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(low, high)]
    assert re.search(r"^env -i .* make test$", (REPOSITORY / ".ci" / "run").read_text(), flags=re.MULTILINE)
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ntest: ")[2].partition("\n\n")[0].replace("\\\n", " ")
    lines = [line for line in recipe.splitlines() if "--nbval-lax" in line]
    assert len(lines) == 1 and "UNSEP_PROFILE=smoke" in lines[0] and lines[0].endswith(" notebooks")
    assert re.search(r"reproduce --profile smoke .*--check", recipe)
