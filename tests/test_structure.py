import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from places import LIBRARY, REPOSITORY

LIBRARIES_ABOVE = {"notebooks", "data_prep", "tests"}


def modules(folder):
    return sorted(folder.rglob("*.py"))


def imported(path, root):
    """Full names that a file imports at any depth, relative ones resolved below `root`'s name."""
    package = [root.name, *path.relative_to(root).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def linter(folder):
    """Run import-linter with the contracts of `folder`'s pyproject.toml."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_layers_hold():
    result = linter(REPOSITORY)
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A folder with the library's modules, all of them empty, whose layers hold."""
    folder = tmp_path_factory.mktemp("empty")
    for path in modules(LIBRARY):
        copy = folder / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    (folder / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert linter(folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("solvers/greedy.py", "from unsep_lib.data.mixtures import Mixture"),
        ("solvers/greedy.py", "from ..evaluation.metrics import si_sdr"),
        ("networks/timed.py", "from unsep_lib.priors import paper_schedule"),
        ("figures/late.py", "def draw():\n    import unsep_lib.solvers.registry"),
        ("data/shell.py", "from unsep_lib.__main__ import main"),
    ],
)
def test_an_import_against_the_layers_is_found(file, line, empty, tmp_path):
    folder = shutil.copytree(empty, tmp_path / "copy")
    (folder / LIBRARY.name / file).write_text(line + "\n")
    assert linter(folder).returncode != 0


def circles(imports):
    """What of imports[module] = imported modules remains when, again and again, all that import nothing left go."""
    left = dict(imports)
    while done := {name for name, wanted in left.items() if not wanted & left.keys()}:
        left = {name: wanted for name, wanted in left.items() if name not in done}
    return left


def test_no_files_import_each_other_in_a_circle():
    graph = grimp.build_graph(LIBRARY.name, cache_dir=None)
    assert circles({name: graph.find_modules_directly_imported_by(name) - {name} for name in graph.modules}) == {}


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}).keys() == {"a", "b", "c"}


def test_the_library_imports_neither_notebooks_nor_data_prep_nor_tests():
    for path in modules(LIBRARY):
        assert not LIBRARIES_ABOVE & {name.split(".")[0] for name in imported(path, LIBRARY)}, path


def test_data_prep_does_not_import_notebooks_or_tests():
    for path in modules(REPOSITORY / "data_prep"):
        names = {name.split(".")[0] for name in imported(path, REPOSITORY / "data_prep")}
        assert not names & {"notebooks", "tests"}, path


def public(body):
    """Public functions and classes, with the methods of public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def explained_by_its_module(node):
    """`forward` of a network layer: its class says what it computes."""
    return node.name == "forward"


def test_everything_public_has_a_docstring():
    for path in modules(LIBRARY):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in public(tree.body):
            assert ast.get_docstring(node) or explained_by_its_module(node), f"{path}: {node.name}"


def test_the_command_line_answers_without_loading_torch():
    code = "import sys, unsep_lib.__main__; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


IMPORTED_ALONE = """
import importlib, json, pkgutil, sys
import torch  # asks ldconfig where CUDA lies

module, events = None, []

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
    if writes or event in {"subprocess.Popen", "os.posix_spawn", "os.system", "os.mkdir", "os.rename"}:
        events.append(f"{module}: {event} {arguments[0]}")

sys.addaudithook(watch)
import unsep_lib
for found in pkgutil.walk_packages(unsep_lib.__path__, "unsep_lib."):
    module = found.name
    if not module.endswith("__main__"):
        importlib.import_module(module)
print(json.dumps(events))
"""


def test_no_module_runs_a_program_or_writes_when_it_is_imported(tmp_path):
    """With an empty home folder, where matplotlib's first import lists fonts and dask's writes a configuration."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-B", "-c", IMPORTED_ALONE], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == []
    assert list(tmp_path.iterdir()) == []
