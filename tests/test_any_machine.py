"""Machines as strangers have them: closed streams, disks without modes, read-only systems, power that fails, Ctrl-C."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy
import psutil
import pytest
import soundfile
from command_line import FAST, names, noise, write
from places import REPOSITORY

from unsep_lib.__main__ import main
from unsep_lib.data.clips import Clip, read_manifest, write_manifest
from unsep_lib.files import write_text
from unsep_lib.priors.checkpoints import home as home_folder
from unsep_lib.separation import KEPT, separate_file
from unsep_lib.settings import located
from unsep_lib.source_spec import SourceSpec, file_names

UNSEP = [sys.executable, "-m", "unsep_lib"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
PATIENCE = 300  # seconds; only a hang takes that long
WORDS = ["--source", "speech", "--source", "sound", *FAST]


def test_closed_streams_lose_no_result(home, mixture, tmp_path):
    command = shlex.join([*UNSEP, "separate", str(mixture), *WORDS, "--out", str(tmp_path / "out")])
    ended = subprocess.run(["/bin/sh", "-c", f"{command} >&- 2>&-"], env=ENVIRONMENT, capture_output=True, check=False)
    assert ended.returncode == 0
    assert names(tmp_path / "out") == {"speech.wav", "sound.wav", "residual.wav", "report.json"}


def test_a_disk_without_modes_is_written_to(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")  # as FAT does where a mode would change

    monkeypatch.setattr(Path, "chmod", refused)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text" and names(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("name", ["a" * 250 + ".txt", "ü" * 125, "." + "b" * 254])
def test_a_name_as_long_as_the_system_allows_is_written(name, tmp_path):
    write_text(tmp_path / name, "text")
    assert names(tmp_path) == {name}


def test_a_class_of_a_long_name_has_tracks_of_its_own():
    specs = [SourceSpec("sound", label * 120) for label in ("楽", "器", "楽")]
    found = file_names(specs)
    assert len({name.casefold() for name in found}) == 3
    assert all(len(f"{name}.wav".encode()) < 255 for name in found)


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UNSEP_HOME", "~/priors of mine")
    (tmp_path / "mixtures").mkdir()
    assert home_folder() == tmp_path / "priors of mine"
    assert located("~/mixtures") == str(tmp_path / "mixtures")
    assert located("~/nowhere") == str(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", bytes(500)])
def test_a_window_that_was_damaged_when_the_power_failed_is_computed_again(content, home, mixture, tmp_path):
    arguments = {"solver": "projection", "steps": 1}
    expected = [soundfile.read(path)[0] for path in separate_file(mixture, ["speech"], tmp_path / "a", **arguments)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate_file(mixture, ["speech"], tmp_path / "b", **arguments, on_window=stop)
    (window,) = (tmp_path / "b").glob(f"{KEPT}*/*.npz")
    window.write_bytes(content)
    found = [soundfile.read(path)[0] for path in separate_file(mixture, ["speech"], tmp_path / "b", **arguments)]
    assert all(numpy.array_equal(*pair) for pair in zip(expected, found, strict=True))


READ_ONLY = (
    'for f in "$1" "$2"; do mount --bind "$f" "$f" && mount -o remount,ro,bind "$f" || exit 99; done; shift 2; "$@"'
)
CODE = """
import sys
from pathlib import Path
from unsep_lib.__main__ import main
from unsep_lib.evaluation import baselines
try:
    Path.home().joinpath("a").write_text("")
except OSError:
    baselines._let_numba_cache()
    import librosa.decompose  # where numba finds no folder for what it compiles, this ends in an error
    sys.exit(main(sys.argv[1:]))
sys.exit(98)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root mounts read-only folders")
def test_it_runs_where_home_and_the_packages_cannot_be_written(home, mixture, tmp_path):
    users = tmp_path / "user"
    users.mkdir()
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("XDG", "NUMBA"))}
    environment |= {"HOME": str(users), "TMPDIR": str(tmp_path), "UNSEP_HOME": str(home)}
    words = [sys.executable, "-B", "-c", CODE, "separate", str(mixture), *WORDS, "--out", str(tmp_path / "out")]
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(users), sysconfig.get_path("purelib"), *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode == 99 or "unshare failed" in ended.stderr:
        pytest.skip("nothing can be mounted here")
    assert ended.returncode == 0, ended.stderr
    assert "speech.wav" in names(tmp_path / "out")


def interrupted(command, begun, pause):
    """Ctrl-C some time after `begun()`: its exit code and what it said; all its children have ended."""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(pause)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[1]
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    return process.returncode, said


def assert_interrupted(code, said):
    assert code == 130, said
    assert said.splitlines()[-1] == "unsep: interrupted"
    assert "Traceback" not in said and "Error" not in said


@pytest.fixture
def voices(tmp_path):
    """A folder of so many recordings that they are not all read at once."""
    folder = tmp_path / "voices"
    folder.mkdir()
    soundfile.write(folder / "0.wav", noise(120 * 16_000).numpy(), 16_000)
    for number in range(1, 100):
        shutil.copyfile(folder / "0.wav", folder / f"{number}.wav")
    return folder


@pytest.mark.parametrize("pause", [0.1, 3.0])
def test_ctrl_c_ends_data_prepare_with_one_line_and_the_next_run_prepares_all(pause, voices, tmp_path):
    out = tmp_path / "out" / "m.jsonl"
    command = [*UNSEP, "data", "prepare", str(voices), "--out", str(out), "--workers", "2"]
    assert_interrupted(*interrupted(command, out.with_name(".m.jsonl.lock").exists, pause))
    assert not out.parent.exists() or names(out.parent) == set()
    for path in sorted(voices.iterdir())[2:]:
        path.unlink()
    assert main(["data", "prepare", str(voices), "--out", str(out), "--workers", "1"]) == 0
    assert len(read_manifest(out)) == 2


@pytest.mark.parametrize("mixtures", [0, 1])
def test_ctrl_c_ends_data_mix_with_one_line_and_the_next_run_goes_on(mixtures, tmp_path):
    clips = []
    for number in range(2):
        file = write(tmp_path / f"{number}.wav", noise(10 * 44_100, seed=number).numpy(), 44_100)
        clips.append(Clip(f"corpus {number}", str(file), str(number), "", "test", 44_100, 10 * 44_100, ()))
    write_manifest(tmp_path / "m.jsonl", clips)
    out = tmp_path / "out"
    arguments = ["data", "mix", "--task=2speakers", "--speech", str(tmp_path / "m.jsonl"), "--out", str(out)]

    def begun():
        return (out / ".lock").exists() and len(list(out.glob("2speakers_*"))) >= mixtures

    assert_interrupted(*interrupted([*UNSEP, *arguments, "--count=2000", "--workers=2"], begun, 0.1))
    kept = {path: path.stat().st_mtime_ns for path in out.glob("2speakers_*/mix.flac")}
    assert mixtures <= len(kept) < 2000
    assert main([*arguments, f"--count={max(len(kept), *(int(path.parent.name[-5:]) + 1 for path in kept), 1)}"]) == 0
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in out.glob("2speakers_*/mix.flac")}.items()
    assert not list(out.glob(".*"))
