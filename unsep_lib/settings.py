"""What a user writes: TOML files read as typed settings, and where the files that they name are."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

Settings = TypeVar("Settings")

REPOSITORY = Path(__file__).resolve().parents[1]  # the clone that the package is run from, if it is
ADAPTERS: dict[object, TypeAdapter[Any]] = {}  # one each kind: making one takes longer than what it checks
PYTHON_NAME = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")  # a solver or a prior of one's own: `module:name`
FOLDERS: list[Path] = []  # of the settings files read, in which the modules that they name may lie
EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or above",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
    "is_instance_of": "{class}",
    "literal_error": "one of {expected}",
}


def read_toml(path: Path, kind: type[Settings]) -> Settings:
    """A TOML file as `kind`, a pydantic dataclass; modules that it names may lie beside it.

    Raises:
        ValueError: no TOML, or a key that is unknown, missing, of the wrong type or impossible, named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from error
    FOLDERS.append(path.resolve().parent)
    return checked(kind, table, str(path))


def checked(kind: type[Settings], value: object, where: str) -> Settings:
    """`value` as `kind`, a pydantic dataclass; `where` begins the sentence on what is wrong.

    Raises:
        ValueError: a key that is unknown, missing, of the wrong type or impossible: the first of them in one sentence.
    """
    from pydantic import TypeAdapter, ValidationError

    if kind not in ADAPTERS:
        ADAPTERS[kind] = TypeAdapter(kind)
    try:
        found: Settings = ADAPTERS[kind].validate_python(value)
    except ValidationError as error:
        wrong = sorted(error.errors(), key=lambda detail: detail["type"] != "unexpected_keyword_argument")
        raise ValueError(f"{where}: {_sentence(kind, wrong[0])}") from error
    return found


def _sentence(kind: type[Any], error: ErrorDetails) -> str:
    """What is wrong with which key of a table of this kind."""
    inside, last = error["loc"][:-1], error["loc"][-1] if error["loc"] else ""
    if error["type"] == "unexpected_keyword_argument":
        return f"{_place(inside)}unknown key {last!r}: known are {', '.join(_keys(kind, inside))}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{_place(inside)}the key {last!r} is missing"
    if error["type"] == "value_error":
        return _place(error["loc"]) + str(error["ctx"]["error"])
    expected = EXPECTED.get(error["type"])
    text = expected.format(**error.get("ctx", {})) if expected else error["msg"]
    return f"{_place(error['loc'])}expected {text}, got {error['input']!r}"


def _place(location: Sequence[int | str]) -> str:
    """`'solvers', item 2: `, or nothing at the top."""
    names = [f"item {part + 1}" if isinstance(part, int) else repr(part) for part in location]
    return f"{', '.join(names)}: " if names else ""


def _keys(kind: type[Any], inside: Sequence[int | str]) -> list[str]:
    for part in inside:
        kind = get_args(kind)[0] if isinstance(part, int) else get_type_hints(kind)[part]
    return list(get_type_hints(kind))


def names_python(name: Path | str) -> bool:
    """Whether `name` names something of one's own in Python, `module:name`, and no file."""
    return PYTHON_NAME.fullmatch(str(name)) is not None and not Path(name).is_file()


def imported(path: str, what: str) -> object:
    """What `module:name` names in Python; `what` says in the sentence what was expected there.

    Modules are found as Python finds them, then in the working directory and beside the settings files that were read,
    also by processes started later.

    Raises:
        ValueError: no such module, no such name in it, or it cannot be imported.
    """
    if not sys.flags.safe_path:
        sys.path += [text for text in dict.fromkeys(map(str, (Path.cwd(), *FOLDERS))) if text not in sys.path]
    module, _, name = path.partition(":")
    try:
        found: object = vars(importlib.import_module(module))[name]
    except (ImportError, KeyError) as error:
        raise ValueError(f"expected {what} at {path!r}, found none ({error})") from error
    except Exception as error:
        raise ValueError(f"expected {what} at {path!r}, got {type(error).__name__} on import: {error}") from error
    return found


def module_file(path: str) -> Path:
    """The file of the module in `module:name`.

    Raises:
        ValueError: no such module, or it has no file, as a notebook has none.
    """
    imported(path, "a module")
    file = getattr(sys.modules[path.partition(":")[0]], "__file__", None)
    if file is None:
        raise ValueError(f"expected a module with a file at {path!r}, which other processes can import, got none")
    return Path(file)


def located(name: str, beside: Path | None = None) -> str:
    """Where a file or folder is that a settings file names, absolute; a name that is nowhere is returned as it is.

    Looked for in the folder of the settings file (`beside`), in the working directory and in the clone, so that it is
    found from wherever a command or a notebook is run.
    """
    folders = [folder.resolve() for folder in (beside, Path.cwd(), REPOSITORY) if folder is not None]
    name = os.path.expanduser(name)  # noqa: PTH111
    return next((str(folder / name) for folder in folders if name and (folder / name).exists()), name)


def located_weights(name: str, beside: Path | None = None) -> str:
    """As `located` for a file of weights; the name of a prior is returned as it is."""
    return located(name, beside) if name.endswith(".safetensors") else name
