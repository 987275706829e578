import fnmatch
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from unsep_lib.__main__ import main
from unsep_lib.app import server
from unsep_lib.app.page import Download, Drop
from unsep_lib.data.embedded import REPOSITORY


def test_files_travel_as_messages():
    got = []
    drop = Drop(lambda *file: got.append(file))
    drop._handle_custom_msg({"name": "a.wav", "size": 2}, [memoryview(b"ab")])
    drop._handle_custom_msg({"name": "b.wav", "size": 10**9}, [])
    assert got == [("a.wav", 2, b"ab"), ("b.wav", 10**9, None)]


def test_a_download_is_sent_when_asked_for(monkeypatch):
    sent, download = [], Download("Download")
    monkeypatch.setattr(Download, "send", lambda self, content, buffers: sent.append((content, buffers)))
    download.offer("a.zip", b"zip")
    assert download.offered and sent == []
    download._handle_custom_msg({}, [])
    assert sent == [({"name": "a.zip"}, [b"zip"])]
    download.offer("", b"")
    assert not download.offered


def test_it_listens_on_the_loopback_alone_and_asks_for_a_token():
    voila = server.configuration(8123, "secret", open_browser=False).Voila
    assert (voila.ip, voila.port, voila.token, voila.open_browser) == ("127.0.0.1", 8123, "secret", False)


def test_a_free_port_is_found_and_a_taken_one_refused(capsys):
    assert 1024 <= server.checked_port(0) <= 65535
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--no-browser", "--port", str(port)]) == 2
    assert f"cannot listen on port {port} of 127.0.0.1" in capsys.readouterr().err
    assert main(["app", "--no-browser", "--port", "70000"]) == 2


def test_an_unknown_profile_is_refused_before_anything_is_served(capsys):
    assert main(["app", "--no-browser", "--profile", "huge"]) == 2
    assert "unknown profile 'huge'" in capsys.readouterr().err


def test_the_command_is_ready_without_loading_torch():
    code = "import sys, unsep_lib.app.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_the_server_reads_is_packed():
    patterns = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = REPOSITORY / "unsep_lib"
    files = [path for path in (package / "app").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(files) == 5
    for path in files:
        name = Path(path).relative_to(package).as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns["unsep_lib"]), name
