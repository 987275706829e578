import pytest

from unsep_lib.source_spec import SourceSpec, file_names, parse_spec


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
