import json
import tomllib
from importlib.resources import files

import pytest

from unsep_lib.notebook.profiles import load_profile, profile_names
from unsep_lib.solvers import SOLVERS

TABLE = tomllib.loads((files("unsep_lib.notebook.profiles") / "smoke.toml").read_text(encoding="utf-8"))
EXPECTED_KEYS = {"train_steps", "mixtures_per_task", "seeds", "steps", "speech_prior", "sound_prior", "device"}


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def write(path, table):
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
    return str(path)


def test_the_three_profiles_load_and_grow():
    assert profile_names() == ["paper", "smoke", "tutorial"]
    smoke, tutorial, paper = (load_profile(name) for name in ("smoke", "tutorial", "paper"))
    assert smoke.train_steps < tutorial.train_steps < paper.train_steps
    assert smoke.mixtures_per_task <= tutorial.mixtures_per_task <= paper.mixtures_per_task
    assert (smoke.device, tutorial.device) == ("cpu", "cpu")
    assert [profile.steps_of("hybrid") for profile in (smoke, tutorial, paper)] == [5, 200, 200]
    assert [profile.steps_of("dirac-wiener") for profile in (smoke, tutorial, paper)] == [4, 30, 30]


def test_a_solver_that_the_profile_does_not_name_takes_its_own_number_of_steps(tmp_path):
    profile = load_profile(write(tmp_path / "mine.toml", TABLE | {"steps": {"hybrid": 7}}))
    assert (profile.steps_of("hybrid"), profile.steps_of("projection-mean")) == (7, 20)
    with pytest.raises(ValueError, match=r"mine\.toml: unknown solver 'hybird': known are"):
        load_profile(write(tmp_path / "mine.toml", TABLE | {"steps": {"hybird": 7}}))


def test_every_profiles_solver_is_one_and_only_the_papers_takes_its_network():
    profiles = {name: load_profile(name) for name in profile_names()}
    assert all(profile.solver in SOLVERS for profile in profiles.values())
    assert {name: (profile.speech_prior, profile.sound_prior) for name, profile in profiles.items()} == {
        "smoke": ("speech", "sound"),
        "tutorial": ("speech", "sound"),
        "paper": ("paper-speech", "paper-sound"),
    }


def test_every_profile_has_every_key():
    assert TABLE.keys() >= EXPECTED_KEYS
    for name in profile_names():
        assert vars(load_profile(name)).keys() == TABLE.keys() | {"name"}


def test_the_environment_chooses_and_a_name_overrides_it(monkeypatch):
    monkeypatch.delenv("UNSEP_PROFILE", raising=False)
    assert load_profile().name == "tutorial"
    monkeypatch.setenv("UNSEP_PROFILE", "smoke")
    assert load_profile().name == "smoke"
    assert load_profile("paper").name == "paper"
    monkeypatch.setenv("UNSEP_PROFILE", "")
    assert load_profile().name == "tutorial"


def test_a_file_of_ones_own_is_a_profile(tmp_path):
    profile = load_profile(write(tmp_path / "mine.toml", TABLE | {"train_steps": 3, "truth_seeds": 21}))
    assert (profile.name, profile.train_steps, profile.truth_seeds) == ("mine", 3, 21)
    assert vars(profile) == TABLE | {"name": "mine", "train_steps": 3, "truth_seeds": 21}
    assert type(profile.train_steps) is int


def test_an_unknown_profile_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown profile 'huge': known are paper, smoke, tutorial"):
        load_profile("huge")
    with pytest.raises(ValueError, match=r"unknown profile '.*absent\.toml'"):
        load_profile(str(tmp_path / "absent.toml"))


@pytest.mark.parametrize("key", TABLE)
def test_a_missing_key_is_named(key, tmp_path):
    table = {name: value for name, value in TABLE.items() if name != key}
    with pytest.raises(ValueError, match=f"the key '{key}' is missing"):
        load_profile(write(tmp_path / "mine.toml", table))


def test_an_unknown_key_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"unknown key 'sovler': known are .*solver, steps"):
        load_profile(write(tmp_path / "mine.toml", TABLE | {"sovler": 1}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seeds", 1.5, "'seeds': expected an integer, got 1.5"),
        ("seeds", True, "'seeds': expected an integer, got True"),
        ("seeds", 0, "'seeds': expected a number above 0, got 0"),
        ("steps", {"hybrid": 0}, "'steps', 'hybrid': expected a number above 0, got 0"),
        ("steps", 7, "'steps': expected a table, got 7"),
        ("name", "mine", "unknown key 'name'"),
        ("train_steps", "long", "'train_steps': expected an integer, got 'long'"),
        ("device", 0, "'device': expected a string, got 0"),
        ("sound_data", [], r"'sound_data': expected a string, got \[\]"),
    ],
)
def test_a_wrong_type_names_the_key_and_the_value(key, value, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_profile(write(tmp_path / "mine.toml", TABLE | {key: value}))


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text("seeds = = 1")
    with pytest.raises(ValueError, match=r"mine\.toml: not a TOML file"):
        load_profile(str(tmp_path / "mine.toml"))


def test_a_profiles_files_are_found_beside_it_in_the_working_folder_and_in_the_clone(tmp_path, monkeypatch):
    own, clone, here = (tmp_path / name for name in ("own", "clone", "here"))
    for folder in (own, clone, here):
        folder.mkdir()
    monkeypatch.setattr("unsep_lib.settings.REPOSITORY", clone)
    monkeypatch.chdir(here)
    path = write(own / "mine.toml", TABLE | {"speech_data": "out/a.jsonl", "sound_prior": "my.safetensors"})
    assert (load_profile(path).speech_data, load_profile(path).sound_prior) == ("out/a.jsonl", "my.safetensors")
    for folder in (clone, here, own):
        (folder / "out").mkdir()
        (folder / "out" / "a.jsonl").touch()
        (folder / "my.safetensors").touch()
        assert load_profile(path).speech_data == str(folder / "out" / "a.jsonl")
        assert load_profile(path).sound_prior == str(folder / "my.safetensors")
    (here / "speech").mkdir()
    assert load_profile(path).speech_prior == "speech"
    (clone / "mine.toml").write_bytes((own / "mine.toml").read_bytes())
    assert load_profile("mine.toml").name == "mine"
