import hashlib
import http.server
import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy
import pytest
import requests
import torchaudio.datasets.librispeech
import torchaudio.datasets.vctk

from unsep_lib.__main__ import main
from unsep_lib.data import fetch as fetching
from unsep_lib.data.fetch import BLOCK, CORPORA, Archive, Corpus, ResumingDownloader, fetch


def zipped(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        for name, content in files.items():
            container.writestr(f"tiny/{name}.txt", content)
    return stream.getvalue()


CONTENT = zipped(one="first", two=numpy.random.default_rng(0).bytes(5 * BLOCK))
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Publisher(http.server.ThreadingHTTPServer):
    """A publisher on the loopback: `content` at every address, with its habits and faults as attributes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.ranges, self.cuts, self.status = CONTENT, '"one"', True, [], []
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/tiny.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, content = self.server, self.server.content
        wanted = self.headers["Range"]
        server.asked.append(wanted)
        if server.status:
            return self.send_error(server.status.pop(0))
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if self.headers["If-Range"] not in (None, server.tag):
            first = 0
        if first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : server.cuts.pop(0) if server.cuts else None])


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Publisher() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def downloaded(publisher, folder, attempts=1, on_bytes=None):
    ResumingDownloader(folder / "a.part", on_bytes, attempts, pause=0.0)(publisher.url, str(folder / "a"), None)
    return (folder / "a").read_bytes()


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_download_arrives_whole_and_reports_its_bytes(publisher, tmp_path):
    seen = []
    assert downloaded(publisher, tmp_path, on_bytes=lambda *numbers: seen.append(numbers)) == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert names(tmp_path) == {"a"}


def test_a_lost_connection_is_taken_up_where_it_broke(publisher, tmp_path):
    publisher.cuts = [BLOCK + 100, 3 * BLOCK + 100]
    assert downloaded(publisher, tmp_path, attempts=3) == CONTENT
    assert publisher.asked == [None, f"bytes={BLOCK}-", f"bytes={3 * BLOCK}-"]


def test_a_second_call_goes_on_where_the_first_gave_up(publisher, tmp_path):
    publisher.cuts = [BLOCK + 100]
    with pytest.raises(ValueError, match=r"tiny\.zip: .*; the same command goes on from there"):
        downloaded(publisher, tmp_path)
    assert (tmp_path / "a.part").read_bytes() == CONTENT[:BLOCK]
    assert downloaded(publisher, tmp_path) == CONTENT
    assert publisher.asked == [None, f"bytes={BLOCK}-"]
    assert names(tmp_path) == {"a"}


def test_a_part_that_is_already_whole_is_taken_as_it_is(publisher, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert downloaded(publisher, tmp_path) == CONTENT


def no_ranges(publisher, validator):
    publisher.ranges = False


def another_file(publisher, validator):
    publisher.tag, publisher.content = '"two"', b"x" * 5000


def a_shorter_file_without_tags(publisher, validator):
    validator.unlink()
    publisher.tag, publisher.content = None, b"short"


@pytest.mark.parametrize("change", [no_ranges, another_file, a_shorter_file_without_tags], ids=lambda c: c.__name__)
def test_what_cannot_be_continued_starts_anew(change, publisher, tmp_path):
    publisher.cuts = [2 * BLOCK]
    with pytest.raises(ValueError, match="goes on from there"):
        downloaded(publisher, tmp_path)
    change(publisher, tmp_path / "a.part.validator")
    assert downloaded(publisher, tmp_path, attempts=2) == publisher.content


def test_a_busy_server_is_asked_again_and_a_refusal_is_final(publisher, tmp_path):
    publisher.status = [503, 429]
    assert downloaded(publisher, tmp_path, attempts=3) == CONTENT
    publisher.status = [404, 404]
    with pytest.raises(ValueError, match=r"tiny\.zip: the server answered 404 Not Found"):
        downloaded(publisher, tmp_path, attempts=2)
    assert publisher.status == [404]


def test_no_server_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/a: no connection \(ConnectionError\)"):
        ResumingDownloader(tmp_path / "a.part", None, 1)("http://127.0.0.1:9/a", str(tmp_path / "a"), None)


def corpus(publisher, **changes):
    return Corpus((Archive(publisher.url, "tiny", **{"hash": SHA256, "origin": "its page"} | changes),), "tiny", "CC0")


def test_a_corpus_is_fetched_checked_unpacked_and_not_fetched_twice(publisher, tmp_path):
    root, records = tmp_path / "root", tmp_path / "records.json"
    (said,) = fetch(corpus(publisher), root, records)
    assert "its hash is the one from its page" in said
    assert (root / "tiny" / "one.txt").read_text() == "first"
    assert names(root) == {"tiny", "archives"}
    assert not records.exists()
    (root / "archives" / "tiny.zip").unlink()
    (said,) = fetch(corpus(publisher), root, records)
    assert "already unpacked" in said
    assert len(publisher.asked) == 1


def test_a_wrong_hash_is_refused_and_nothing_stays(publisher, tmp_path):
    root, records = tmp_path / "root", tmp_path / "records.json"
    with pytest.raises(ValueError, match=r"does not match the known hash: expected sha256:00.*from its page; --trust"):
        list(fetch(corpus(publisher, hash="sha256:" + "0" * 64), root, records))
    assert not root.exists()
    (said,) = fetch(corpus(publisher, hash="sha256:" + "0" * 64), root, records, trust=True)
    assert SHA256 in said
    assert (root / "tiny").is_dir()


def test_without_a_known_hash_the_first_one_is_trusted_and_expected_ever_after(publisher, tmp_path):
    records = tmp_path / "records.json"
    unknown = corpus(publisher, hash=None, origin="")
    (said,) = fetch(unknown, tmp_path / "first", records)
    assert f"compared with no hash; {SHA256} is recorded" in said
    assert json.loads(records.read_text()) == {publisher.url: SHA256}
    (said,) = fetch(unknown, tmp_path / "second", records)
    assert f"its hash is the one recorded in {records}" in said
    publisher.content = zipped(one="changed")
    with pytest.raises(ValueError, match="does not match the known hash"):
        list(fetch(unknown, tmp_path / "third", records))
    assert not (tmp_path / "third" / "tiny").exists()


def test_two_fetches_that_end_at_once_are_both_recorded(tmp_path):
    records, urls = tmp_path / "new" / "downloads.json", {f"https://a.org/{number}" for number in range(16)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda url: fetching._record(records, url, "sha256:0"), sorted(urls)))
    assert json.loads(records.read_text()).keys() == urls
    assert names(records.parent) == {"downloads.json"}


def test_nothing_is_recorded_of_what_is_no_archive(publisher, tmp_path):
    publisher.content = b"<html>please log in</html>"
    with pytest.raises(ValueError, match="expected a zip or tar file, got neither"):
        list(fetch(corpus(publisher, hash=None), tmp_path / "root", tmp_path / "records.json"))
    assert not (tmp_path / "records.json").exists()
    assert names(tmp_path / "root" / "archives") == {"tiny.zip"}


def test_the_command_fetches_and_says_what_comes_next(publisher, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNSEP_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(CORPORA, "vctk", corpus(publisher, hash=None))
    assert main(["data", "fetch", "vctk", "--root", str(tmp_path / "root")]) == 0
    output = capsys.readouterr().out
    assert f"compared with no hash; {SHA256} is recorded in {tmp_path / 'home' / 'downloads.json'}" in output
    assert f"unsep data prepare {tmp_path / 'root' / 'tiny'} --out" in output
    publisher.content = b"changed"
    assert main(["data", "fetch", "vctk", "--root", str(tmp_path / "other")]) == 2
    assert "does not match the known hash" in capsys.readouterr().err


def test_an_unwritable_folder_is_one_sentence(publisher, tmp_path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(ValueError, match=r"cannot write to .*tiny: Not a directory"):
        list(fetch(corpus(publisher), tmp_path / "root", tmp_path / "records.json"))


def test_the_pinned_hashes_are_torchaudios():
    known = torchaudio.datasets.vctk._CHECKSUMS | torchaudio.datasets.librispeech._CHECKSUMS
    by_name = {url.rpartition("/")[2]: f"sha256:{value}" for url, value in known.items()}
    archives = [archive for name, corpus in CORPORA.items() if name != "fsdkaggle2018" for archive in corpus.archives]
    assert {archive.file_name: archive.hash for archive in archives} == {
        archive.file_name: by_name[archive.file_name] for archive in archives
    }


def test_the_table_is_well_formed():
    archives = [archive for corpus in CORPORA.values() for archive in corpus.archives]
    assert len({archive.url for archive in archives}) == len(archives) == 7
    for archive in archives:
        assert requests.utils.urlparse(archive.url).scheme == "https"
        algorithm, _, digest = archive.hash.partition(":")
        assert len(digest) == hashlib.new(algorithm).digest_size * 2
        assert archive.origin
