import json
import tomllib
from importlib.resources import files

import pytest

from unsep_lib.notebook.profiles import load_profile, profile_names
from unsep_lib.solvers import SOLVERS

TABLE = tomllib.loads((files("unsep_lib.notebook.profiles") / "smoke.toml").read_text(encoding="utf-8"))
EXPECTED_KEYS = {"train_minutes", "mixtures_per_task", "seeds", "solver_steps", "speech_prior", "sound_prior", "device"}


def write(path, table):
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return str(path)


def test_the_three_profiles_load_and_grow():
    assert profile_names() == ["paper", "smoke", "tutorial"]
    smoke, tutorial, paper = (load_profile(name) for name in ("smoke", "tutorial", "paper"))
    assert smoke.train_minutes < tutorial.train_minutes < paper.train_minutes
    assert smoke.mixtures_per_task <= tutorial.mixtures_per_task <= paper.mixtures_per_task
    assert (smoke.device, tutorial.device) == ("cpu", "cpu")
    assert paper.solver_steps == 200
    assert [profile.steps_of("hybrid") for profile in (smoke, tutorial, paper)] == [5, 200, 200]
    assert [profile.steps_of("projection-mean") for profile in (smoke, tutorial, paper)] == [4, 30, 30]


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


def test_a_file_of_ones_own_is_a_profile_and_whole_numbers_are_numbers(tmp_path):
    profile = load_profile(write(tmp_path / "mine.toml", TABLE | {"train_minutes": 3, "solver_steps": 21}))
    assert (profile.name, profile.train_minutes, profile.solver_steps) == ("mine", 3.0, 21)
    assert vars(profile) == TABLE | {"name": "mine", "train_minutes": 3.0, "solver_steps": 21}
    assert type(profile.train_minutes) is float


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
    with pytest.raises(ValueError, match=r"unknown key 'sovler_steps': known are .*solver_steps"):
        load_profile(write(tmp_path / "mine.toml", TABLE | {"sovler_steps": 1}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seeds", 1.5, "expected int for 'seeds', got 1.5"),
        ("seeds", True, "expected int for 'seeds', got True"),
        ("train_minutes", "long", "expected float for 'train_minutes', got 'long'"),
        ("device", 0, "expected str for 'device', got 0"),
        ("sound_data", [], r"expected str for 'sound_data', got \[\]"),
    ],
)
def test_a_wrong_type_names_the_key_and_the_value(key, value, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_profile(write(tmp_path / "mine.toml", TABLE | {key: value}))


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text("seeds = = 1")
    with pytest.raises(ValueError, match=r"mine\.toml: not a TOML file"):
        load_profile(str(tmp_path / "mine.toml"))
