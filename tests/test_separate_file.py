import json
from dataclasses import replace

import numpy
import pytest
import soundfile
import torch

from unsep_lib.__main__ import main
from unsep_lib.audio import resample
from unsep_lib.separation import request, separate, separate_file
from unsep_lib.solvers import SOLVERS
from unsep_lib.source_spec import parse_spec
from unsep_lib.windows import resampled_blocks, survey

SECONDS = 20.0  # three windows
SPECS = [parse_spec("speech"), parse_spec("sound:Cello")]
FAST = {"solver": "projection", "steps": 1}
WORDS = ["--source", "speech", "--source", "sound:Cello", "--solver", "projection", "--steps", "1"]


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recorded(path, rate=16_000, channels=1, seconds=SECONDS, seed=0):
    samples = noise(round(seconds * rate), channels, seed=seed)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples.numpy(), rate, subtype="FLOAT")
    return path


@pytest.fixture
def wanted(home):
    return request(SPECS, **FAST)


def made(path, folder, wanted, on_window=None):
    return separate_file(path, wanted, folder, on_window=on_window)


@pytest.mark.parametrize(
    ("rate_from", "rate_to"), [(16_000, 44_100), (48_000, 16_000), (22_050, 16_000), (44_101, 8000)]
)
@pytest.mark.parametrize("last", [0, 1, 700])
def test_blocks_are_resampled_as_if_they_were_one(rate_from, rate_to, last):
    lengths = [length for length in (2 * rate_from, rate_from, rate_from, last) if length]
    blocks = [noise(2, length, seed=seed) for seed, length in enumerate(lengths)]
    found = torch.cat(list(resampled_blocks(iter(blocks), rate_from, rate_to)), dim=-1)
    torch.testing.assert_close(found, resample(torch.cat(blocks, dim=-1), rate_from, rate_to), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(16_000, 1, 0.01), (44_100, 2, 13.3), (8000, 1, 12.0)])
def test_a_survey_knows_the_shape_and_its_blocks_are_the_file(rate, channels, seconds, tmp_path):
    file = recorded(tmp_path / "x.wav", rate, channels, seconds)
    found = survey(file)
    samples = torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())
    working = resample(samples, rate, 16_000)
    assert (found.channels, found.frames, found.sample_rate) == (channels, samples.shape[-1], rate)
    assert found.working_length == working.shape[-1]
    for _ in range(2):
        assert torch.equal(torch.cat(list(found.blocks()), dim=-1), samples)
    blocks = torch.cat(list(resampled_blocks(found.blocks(), rate, 16_000)), dim=-1)
    torch.testing.assert_close(blocks, working, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8000, 1)])
def test_a_file_is_separated_as_its_samples_are(rate, channels, tmp_path, wanted):
    file = recorded(tmp_path / "x.wav", rate, channels)
    written = made(file, tmp_path / "out", wanted)
    assert [path.name for path in written] == ["speech.wav", "sound_Cello.wav", "residual.wav"]
    samples = torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())
    expected = separate(samples, wanted.priors, rate, **FAST)
    for path, source in zip(written, (*expected.sources, expected.residual), strict=True):
        found, found_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert found_rate == rate
        numpy.testing.assert_allclose(found.T, source.numpy(), atol=2e-6)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["residual_db"] == pytest.approx(expected.residual_db, abs=0.02)


def test_a_stopped_run_goes_on_at_its_window_and_ends_like_another(tmp_path, wanted, monkeypatch):
    file, out = recorded(tmp_path / "x.wav"), tmp_path / "out"

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(file, out, wanted, stop)
    assert len(list(out.glob(".windows-*/*.npz"))) == 2
    assert not list(out.glob("*.wav"))
    asked = []
    for prior in wanted.priors:
        monkeypatch.setattr(prior, "denoise", lambda *given, own=prior.denoise: asked.append(1) or own(*given))
    written = made(file, out, wanted)
    assert len(asked) == 2  # one window, two sources, one step
    assert {path.name for path in out.iterdir()} == {"report.json", *(path.name for path in written)}
    for path, other in zip(written, made(file, tmp_path / "other", wanted), strict=True):
        assert numpy.array_equal(soundfile.read(path)[0], soundfile.read(other)[0])


def test_another_request_begins_anew(tmp_path, wanted, home):
    file, out, seen = recorded(tmp_path / "x.wav"), tmp_path / "out", []

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(file, out, wanted, stop)
    other = request(SPECS, seed=1, **FAST)
    made(file, out, other, lambda *counts: seen.append(counts))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(list(out.iterdir())) == 4


def test_a_solver_of_ones_own_goes_on_only_where_it_is_known_to_be_the_same(tmp_path, home, monkeypatch):
    module, file = tmp_path / "rule_of_a_stopped_run.py", recorded(tmp_path / "x.wav", seconds=1.0)
    module.write_text('from unsep_lib.solvers import SOLVERS\nrule = SOLVERS["projection"].rule\n')
    monkeypatch.syspath_prepend(tmp_path)
    by_name = request(SPECS, solver="rule_of_a_stopped_run:rule", steps=1)
    key = by_name.key(file)
    assert by_name.key(file) == key
    module.write_text(module.read_text() + "# changed\n")
    assert by_name.key(file) != key
    an_object = request(SPECS, solver=replace(SOLVERS["projection"], start=SOLVERS["dirac"].start), steps=1)
    assert an_object.key(file) != an_object.key(file)
    shipped = request(SPECS, solver=SOLVERS["projection"], steps=1)
    assert shipped.key(file) == request(SPECS, **FAST).key(file)


def test_a_folder_is_one_call_and_a_bad_file_does_not_stop_the_others(home, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.wav", "b.wav", "b.flac"):
        recorded(folder / name, seconds=0.1) if name != "b.flac" else soundfile.write(
            folder / name, noise(99).numpy(), 8000
        )
    (folder / "c.wav").write_bytes(b"no sound")
    (folder / "notes.txt").write_text("not one")
    assert main(["separate", str(folder), "--out", str(out), *WORDS]) == 2
    printed = capsys.readouterr()
    assert "c.wav: not a readable audio file" in printed.err
    assert printed.err.splitlines()[-1].endswith("1 of 4 recordings could not be separated, see above")
    assert {path.name for path in out.iterdir()} == {"a", "b.wav", "b.flac"}
    tracks = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav") if path.is_file()}
    assert len(tracks) == 9
    (folder / "c.wav").unlink()
    recorded(folder / "a.wav", seconds=0.1, seed=1)
    assert main(["separate", str(folder), "--out", str(out), *WORDS]) == 0
    changed = {path.parent.name for path, written in tracks.items() if path.stat().st_mtime_ns != written}
    assert changed == {"a"}
    gone = [str(tmp_path / "in" / name) for name in ("a.wav", "gone.wav")]
    assert main(["separate", *gone, "--out", str(out), *WORDS]) == 2
    assert "gone.wav: no such audio file" in capsys.readouterr().err


def test_two_recordings_of_one_name_are_refused(home, tmp_path, capsys):
    files = [str(recorded(tmp_path / folder / "a.wav", seconds=0.1)) for folder in ("x", "y")]
    assert main(["separate", *files, "--out", str(tmp_path / "out"), *WORDS]) == 2
    assert "recordings of different names, got a.wav more than once" in capsys.readouterr().err


def test_a_folder_without_recordings_is_refused(home, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert main(["separate", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *WORDS]) == 2
    assert "the folder holds no recordings" in capsys.readouterr().err
