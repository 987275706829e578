import ast
import graphlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = REPOSITORY / "unsep_lib"
FUNCTION_LINES, FILE_LINES = 40, 250
LIBRARIES_ABOVE = {"notebooks", "data_prep", "tests"}

# What each module or package of unsep_lib may import of unsep_lib: data flows one way.
ARROWS = {
    "files": "",
    "schedule": "",
    "specification": "",
    "versions": "",
    "networks": "",
    "profiles": "",
    "audio": "files",
    "clips": "audio files",
    "pages": "",
    "parallel": "",
    "fetch": "files",
    "corpora": "audio clips files pages parallel players",
    "mixtures": "audio clips files parallel specification",
    "embedded": "clips mixtures",
    "priors": "networks",
    "epsilon_prior": "schedule",
    "checkpoints": "epsilon_prior files networks priors",
    "trust": "checkpoints files",
    "released": "checkpoints epsilon_prior files networks trust",
    "gpu": "",
    "flops": "audio networks schedule",
    "memory": "",
    "benchmarks": "audio epsilon_prior likelihood memory networks schedule solvers",
    "training": "audio checkpoints clips files networks priors",
    "supervised": "checkpoints clips evaluation files mixtures training",
    "likelihood": "schedule",
    "consistency": "priors",
    "contrast": "priors",
    "initialise": "schedule",
    "step_rules": "consistency initialise likelihood priors schedule",
    "undiff": "initialise priors schedule step_rules",
    "solvers": "consistency contrast initialise likelihood priors schedule step_rules undiff",
    "ground_truth": "initialise priors schedule solvers step_rules",
    "windows": "",
    "separate": "audio checkpoints priors solvers specification windows",
    "solver_times": "audio embedded separate solvers",
    "pieces": "audio",
    "separate_file": "audio files memory pieces priors separate solvers specification versions windows",
    "metrics": "specification",
    "intelligibility": "audio metrics mixtures",
    "baselines": "priors",
    "evaluation": "audio baselines memory metrics mixtures separate windows",
    "experiments": "audio baselines checkpoints clips embedded evaluation files metrics mixtures parallel priors "
    "separate solvers specification supervised versions",
    "figures": "audio",
    "widgets": "audio figures players",
    "players": "audio",
    "reference": "files",
    "report": "audio figures files pages players reference versions",
    "notebook": "audio clips embedded files profiles versions",
    "course": "files",
    "app": "audio checkpoints embedded figures players profiles separate solvers specification windows",
    "reproduce": "checkpoints embedded files notebook profiles reference report",
}
TOP = {"commands", "cli", "__main__"}  # may import everything; nothing below may import them


def modules(folder):
    return sorted(folder.rglob("*.py"))


def part(path, root):
    """The top-level module or package of `root` that a file belongs to; "" for its __init__, a program for itself."""
    if path.name == "__main__.py":
        return "__main__"
    name = path.relative_to(root).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


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


def arrows(root):
    """part → parts of the same library that it imports."""
    found = defaultdict(set)
    known = {part(path, root) for path in modules(root)}
    for path in modules(root):
        targets = {name.split(".")[1] for name in imported(path, root) if name.startswith(f"{root.name}.")}
        found[part(path, root)] |= targets & known
    return {source: targets - {source} for source, targets in found.items()}


def forbidden(root):
    """Arrows that ARROWS does not allow, as text."""
    return {
        f"{source} → {target}"
        for source, targets in arrows(root).items()
        for target in targets
        if source not in TOP and target not in ARROWS.get(source, "").split()
    }


def test_only_the_designs_arrows_exist():
    assert forbidden(LIBRARY) == set()


def test_every_module_has_its_arrows_stated_and_every_row_a_module():
    assert {part(path, LIBRARY) for path in modules(LIBRARY)} - {""} == ARROWS.keys() | TOP


def test_the_allowed_arrows_have_no_cycle():
    graph = {source: set(targets.split()) for source, targets in ARROWS.items()}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(ARROWS)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("solvers/greedy.py", "from unsep_lib.mixtures import Mixture"),
        ("solvers/greedy.py", "from ..metrics import si_sdr"),
        ("networks/timed.py", "from unsep_lib import schedule"),
        ("figures.py", "def draw():\n    import unsep_lib.solvers.registry"),
        ("clips.py", "from unsep_lib.cli import main"),
        ("unheard_of.py", "from unsep_lib.audio import Audio"),
    ],
)
def test_a_wrong_arrow_is_found(file, line, tmp_path):
    root = tmp_path / "unsep_lib"
    for path in modules(LIBRARY):
        copy = root / path.relative_to(LIBRARY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    assert forbidden(root) == set()
    (root / file).write_text(line + "\n")
    assert len(forbidden(root)) == 1


def test_the_library_imports_neither_notebooks_nor_data_prep_nor_tests():
    for path in modules(LIBRARY):
        assert not LIBRARIES_ABOVE & {name.split(".")[0] for name in imported(path, LIBRARY)}, path


def test_data_prep_does_not_import_notebooks_or_tests():
    for path in modules(REPOSITORY / "data_prep"):
        names = {name.split(".")[0] for name in imported(path, REPOSITORY / "data_prep")}
        assert not names & {"notebooks", "tests"}, path


def test_files_and_functions_stay_short():
    for path in [*modules(LIBRARY), *modules(REPOSITORY / "data_prep")]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= FILE_LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno + 1 <= FUNCTION_LINES, f"{path}: {node.name}"


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
    code = "import sys, unsep_lib.cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
