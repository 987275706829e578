"""Runs commands in forked children that are killed at their n-th write, have little room on disk, or no privileges.

Reads a job as a line of JSON and answers with one: everything heavy is imported once, so that a child costs little.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

CAPABILITY_VERSION, DAC_READ_SEARCH = 0x20080522, 1 << 2  # of linux/capability.h
WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile", "shutil.rmtree"}


def preload():
    """Import what the commands import when they run, so that children need no file of Python's."""
    import unsep_lib.data.fetch
    import unsep_lib.evaluation.evaluate
    import unsep_lib.experiments
    import unsep_lib.priors.released
    import unsep_lib.reproduce.corpus_report
    import unsep_lib.reproduce.run
    import unsep_lib.training  # noqa: F401


class Here:
    """An executor that computes in the process that runs the sweep."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def submit(self, function, row):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(row))
        return future


def make_small():
    """Small training steps that are saved one by one, sweeps in one process, and only the priors of the user."""
    import unsep_lib.experiments
    import unsep_lib.priors.checkpoints
    import unsep_lib.training.by_name
    import unsep_lib.training.loop
    import unsep_lib.training.state
    from unsep_lib.networks.unet import CompactConfig
    from unsep_lib.training import TrainingConfig

    tiny = functools.partial(CompactConfig, widths=(8, 8), blocks=(1, 1), heads=2, embedding=16)
    unsep_lib.training.state.CompactConfig = tiny
    unsep_lib.training.state.SPECTRUM_CROPS = 8
    unsep_lib.priors.checkpoints.PRETRAINED = Path("/nowhere")
    unsep_lib.training.by_name.TrainingConfig = functools.partial(TrainingConfig, crop_seconds=0.1)
    unsep_lib.training.loop.CHECKPOINT_SECONDS = 0.0
    unsep_lib.experiments.process_executor = lambda workers: Here()


def count_writes(watched, kill_at, seen, number):
    """Count what changes files below the folder `watched`; send this process a signal just before its `kill_at`-th."""

    def hook(event, arguments):
        writes = event in WRITES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3)
        if not writes or not isinstance(arguments[0], str | os.PathLike):
            return
        if os.path.realpath(os.fspath(arguments[0])).startswith(watched):
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def drop_privileges():
    """Let root write no more than the modes of files and folders allow.

    It stays the owner of its files and reads what it read before: the interpreter and the clone may lie where nobody
    else may enter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice
    for call in (libc.capget, libc.capset):
        if call(header, sets):
            raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
        kept = sets[0] & DAC_READ_SEARCH
        sets[:] = [kept, kept, 0, 0, 0, 0]


def run(job, seen):
    """The command's exit code; what it raises beyond that is printed as Python would."""
    from unsep_lib.__main__ import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background was begun without it
    os.environ.update(job.get("environment", {}))
    make_small()
    if job.get("size_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["size_limit"],) * 2)
    if job.get("unprivileged"):
        drop_privileges()
    if "watched" in job:
        number = job.get("signal", signal.SIGKILL)
        count_writes(os.path.realpath(job["watched"]) + os.sep, job.get("kill_at"), seen, number)
    try:
        if "notebooks" in job:
            from unsep_lib.reproduce.run import reproduce

            reproduce(Path(job["notebooks"]), "smoke", Path(job["watched"]))
            return 0
        return main(job["arguments"])
    except SystemExit as stop:
        return stop.code
    except BaseException:
        traceback.print_exc()
        return 1


def child(job, output, counted):
    """Never returns."""
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    seen = [0]
    code = run(job, seen)
    with contextlib.suppress(OSError):
        os.write(counted, str(seen[0]).encode())
    os._exit(code)


def answer(job):
    """Run the job in a child: its exit code (−9 if it was killed), what it printed, and how often it wrote."""
    output, counted = (os.memfd_create(name) for name in ("output", "counted"))
    process = os.fork()
    if process == 0:
        child(job, output, counted)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    printed, writes = (os.pread(handle, 1 << 20, 0).decode(errors="replace") for handle in (output, counted))
    os.close(output)
    os.close(counted)
    return {"code": code, "printed": printed, "writes": int(writes or 0)}


def serve():
    """Answer jobs until there are no more; threads of the libraries are not waited for."""
    preload()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
    os._exit(0)


if __name__ == "__main__":
    serve()
