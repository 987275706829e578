import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsep_lib.source_spec import SourceSpec, class_label, file_names, parse_spec


def test_specifications_round_trip():
    assert parse_spec("speech") == SourceSpec("speech")
    assert parse_spec("sound:Hi-hat") == SourceSpec("sound", "Hi-hat")
    assert str(parse_spec(" sound:Cello ")) == "sound:Cello"


@pytest.mark.parametrize("text", ["", ":", "sound:", ":Cello", "a:b:c", "../evil", "sound:a/b"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="expected a source"):
        parse_spec(text)


def test_repeated_specifications_are_numbered():
    specs = [parse_spec(text) for text in ("speech", "sound:Cello", "speech")]
    assert file_names(specs) == ["speech_1", "sound_Cello", "speech_2"]


@pytest.mark.parametrize("name", ["Übung", "ドラム", "R&B", "_misc", "Hi-hat_(open)", "50%"])
def test_a_folder_s_name_is_a_class(name):
    assert class_label(name) == name
    assert parse_spec(f"sound:{name}") == SourceSpec("sound", name)


def test_spellings_of_one_name_are_one_class():
    assert class_label("Hi-hat (open)") == "Hi-hat_(open)" == parse_spec("sound:Hi-hat (open)").label
    apart = unicodedata.normalize("NFD", "Übung")
    assert apart != "Übung" and class_label(apart) == "Übung" == parse_spec(f"sound:{apart}").label


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(min_size=1).filter(lambda name: class_label(name)))
def test_what_becomes_a_class_is_accepted_as_a_source(name):
    label = class_label(name)
    assert parse_spec(f"sound:{label}") == SourceSpec("sound", label)
    assert class_label(label) == label


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.text("aAb_1:?*", min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_two_sources_share_a_file(labels):
    names = file_names([SourceSpec("sound", label) for label in labels])
    assert len({name.casefold() for name in names}) == len(labels)
    assert not any(set(name) & set('<>:"/|?*') for name in names)
