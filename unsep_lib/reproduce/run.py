"""Run the notebooks in order, skip what is up to date, and write the report."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

import papermill
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from traitlets.config import Config

from unsep_lib.data.embedded import REPOSITORY, embedded_dir
from unsep_lib.files import alone, clear_partials, refuse_overwriting, write_json
from unsep_lib.notebook.profiles import PROFILE_VARIABLE, load_profile, profile_path
from unsep_lib.notebook.start import OUT_VARIABLE
from unsep_lib.parallel import spread
from unsep_lib.priors.checkpoints import PRETRAINED
from unsep_lib.reproduce.reference import reference_path, write_reference
from unsep_lib.reproduce.report import write_report

MEMORY_INTERVAL = 0.2  # seconds between readings of a notebook's memory
ENCRYPTED = Config(KernelManager={"transport_encryption": "auto"})  # else ipykernel warns of plain TCP
SILENT = ["--log-level=50"]  # a kernel that is ended at Ctrl-C logs that it cannot answer any more
CELL_SECONDS = 3600  # a cell may take, beside the training that the profile asks for
TRAIN_STEP_SECONDS = 10


def notebooks_dir() -> Path:
    """The notebooks of the clone that the package is run from.

    Raises:
        ValueError: there are none beside the package.
    """
    folder = REPOSITORY / "notebooks"
    if not folder.is_dir():
        raise ValueError(f"{folder}: no notebooks; run from a clone of the repository")
    return folder


def reproduce(
    notebooks: Path, profile: str, out: Path, *, force: bool = False, update_reference: bool = False, jobs: int = 1
) -> Path:
    """Execute `notebooks`/*.ipynb by papermill into `out` and write `out/index.html`; returns its path.

    `jobs` notebooks run at a time, with one thread each where they are several. A notebook is skipped when it, the
    library, the priors and the profile are as at its last good run and no notebook before it runs. The notebook that
    fails is kept as executed so far, beside a sentence on its cell. `update_reference` makes this run the one that
    later runs of the profile are compared with.

    Raises:
        ValueError: no notebooks, one that fails, an `out` in which they would be written over, another run there, or
            fewer than one job.
    """
    out = out.resolve()
    if profile.endswith(".toml"):
        profile = str(profile_path(profile).resolve())  # notebooks run in a folder of their own
    sources = sorted(notebooks.glob("*.ipynb"))
    if not sources:
        raise ValueError(f"{notebooks}: no notebooks found")
    refuse_overwriting([out / "notebooks" / source.name for source in sources], sources)
    with alone(out):
        for folder in (path for path in out.rglob("*") if path.is_dir()):
            clear_partials(folder)
        current = [] if force else list(takewhile(partial(_up_to_date, profile=profile, out=out), sources))
        for source in current:
            print(f"{source.stem}: up to date", file=sys.stderr)
        due = sources[len(current) :]
        threads = 1 if min(jobs, len(due)) > 1 else None
        run = partial(_run, profile=profile, out=out, threads=threads)
        for done, _ in enumerate(spread(run, due, jobs, chunk=1), start=len(current) + 1):
            print(f"{done} of {len(sources)} notebooks are done", file=sys.stderr, flush=True)
        names, reference = [source.stem for source in sources], reference_path(load_profile(profile).name)
        if update_reference:
            write_reference(out, names, reference)
        return write_report(out, names, profile, reference)


def _stamp(source: Path, out: Path) -> Path:
    return out / "stamps" / f"{source.stem}.json"


def _up_to_date(source: Path, profile: str, out: Path) -> bool:
    stamp = _stamp(source, out)
    return stamp.is_file() and bool(json.loads(stamp.read_text())["digest"] == _digest(source, profile))


def _run(source: Path, profile: str, out: Path, threads: int | None) -> None:
    """Execute a notebook and write its stamp."""
    stamp, digest = _stamp(source, out), _digest(source, profile)
    stamp.unlink(missing_ok=True)
    print(f"{source.stem} …", file=sys.stderr, flush=True)
    seconds, memory = _execute(source, profile, out, threads)
    print(f"{source.stem}: {seconds:.0f} s", file=sys.stderr, flush=True)
    write_json(stamp, {"digest": digest, "seconds": seconds, "memory_mb": memory, "profile": profile})


def _digest(notebook: Path, profile: str) -> str:
    digest = hashlib.sha256(profile.encode())
    package, sizes = Path(__file__).parents[1], load_profile(profile)
    files = [
        profile_path(profile),
        *(Path(name) for name in (sizes.speech_data, sizes.sound_data) if Path(name).is_file()),
    ]
    files += [notebook, *sorted(package.rglob("*.py")), *sorted(package.rglob("*.toml"))]
    files += [*sorted(PRETRAINED.glob("*.safetensors")), embedded_dir() / "manifest.jsonl"]
    for file in files:
        digest.update(hashlib.sha256(_code_of(file)).digest())
    return digest.hexdigest()


def _code_of(file: Path) -> bytes:
    if file.suffix != ".ipynb":
        return file.read_bytes()
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return json.dumps([(cell["cell_type"], cell["source"]) for cell in cells]).encode()


def _execute(source: Path, profile: str, out: Path, threads: int | None) -> tuple[float, float]:
    target = out / "notebooks" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    environment = {PROFILE_VARIABLE: profile, OUT_VARIABLE: str(out)}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with _environment(environment), _peak_memory() as peak:
        try:
            papermill.execute_notebook(
                source, target, parameters={"profile": profile}, kernel_name="python3", cwd=str(source.parent),
                progress_bar=False, execution_timeout=_timeout(profile), config=ENCRYPTED, extra_arguments=SILENT,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            raise ValueError(
                f"{source.stem}: cell {error.exec_count} failed with {error.ename}: {error.evalue}; see {target}"
            ) from error
        except CellTimeoutError as error:
            raise ValueError(
                f"{source.stem}: a cell ran for more than {_timeout(profile)} s and was stopped; see {target}"
            ) from error
        except DeadKernelError as error:
            raise ValueError(f"{source.stem}: the kernel died, often for want of memory; see {target}") from error
        except OSError as error:
            target.unlink(missing_ok=True)
            raise ValueError(f"cannot write {target}: {error.strerror or error}") from error
    return time.monotonic() - began, peak.megabytes


def _timeout(profile: str) -> int:
    return CELL_SECONDS + TRAIN_STEP_SECONDS * load_profile(profile).train_steps


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@dataclass
class Peak:
    """The largest resident memory so far."""

    megabytes: float = 0.0


@contextmanager
def _peak_memory() -> Iterator[Peak]:
    """Watch the resident memory of this process's children, all together."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(MEMORY_INTERVAL):
            children = psutil.Process().children(recursive=True)
            peak.megabytes = max(peak.megabytes, sum(_resident(child) for child in children) / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _resident(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.Error:
        return 0
    return resident


def open_report(report: Path) -> None:
    """Show the report in the desktop's browser, where there is a desktop."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(report.as_uri())
